"""BAD-INPUTS, "Content": the header line and the lines that a bundle must not have.

What is wrong with one line rejects that line; what is wrong with the header line quarantines the
bundle, with a receipt that says why.
"""

import base64
import json

import pytest

from stranger import archive, expand, new_id, transaction

UUID_TEXT = "0190163d-8694-739b-aea5-966c26f8ad91"


def quarantined(device, bundle_id, data):
    device.upload(bundle_id, data)
    receipt = device.receipt_of(bundle_id)
    assert receipt["state"] == "quarantined", receipt
    assert receipt["exceptions"] == [] and "counts" not in receipt
    assert device.status(bundle_id)["receipt"] == receipt
    return receipt["code"]


def entry_of(device, bundle_id, case):
    """The bytes of an entry whose header line is wrong in the way that the case says."""
    line = json.dumps(transaction())
    header = device.header(bundle_id, 1)
    text = json.dumps(header)
    return {
        "missing": line,
        "second": f"{line}\n{text}",
        "too long": json.dumps({**header, "note": "x" * device.limits["record_bytes_max"]})
        + "\n" + line,
        "10,000 levels deep": text[:-1] + ',"note":' + "[" * 10_000 + "]" * 10_000 + "}\n" + line,
        "wrong version": json.dumps({**header, "waybill": 2}) + "\n" + line,
        "version as text": json.dumps({**header, "waybill": "1"}) + "\n" + line,
        "byte order mark": "\ufeff" + text + "\n" + line,
        "empty line before it": "\n" + text + "\n" + line,
        "duplicate key": text[:-1] + ',"part":1}\n' + line,
        "other bundle": json.dumps({**header, "bundle_id": new_id()}) + "\n" + line,
        "other device": json.dumps({**header, "device_id": new_id()}) + "\n" + line,
        "other part": json.dumps({**header, "part": 2, "parts": 2}) + "\n" + line,
        "count too high": json.dumps({**header, "transactions": 2}) + "\n" + line,
        "count too low": json.dumps({**header, "transactions": 0}) + "\n" + line,
        "count below 0": json.dumps({**header, "transactions": -1}) + "\n" + line,
        "count as text": json.dumps({**header, "transactions": "1"}) + "\n" + line,
        "count of a half": text.replace('"transactions": 1', '"transactions": 1.5') + "\n" + line,
        "device_seq 0": json.dumps({**header, "device_seq": 0}) + "\n" + line,
        "sealed_at no time": json.dumps({**header, "sealed_at": "yesterday"}) + "\n" + line,
        "more transactions than a bundle may have": json.dumps(
            {**header, "transactions": device.limits["bundle_transactions_max"] + 1})
        + "\n" + line,
    }[case]


HEADER = {
    "missing": "header_invalid", "second": "header_invalid", "too long": "header_invalid",
    "10,000 levels deep": "header_invalid", "wrong version": "header_invalid",
    "version as text": "header_invalid", "duplicate key": "header_invalid",
    "byte order mark": "header_invalid", "empty line before it": "header_invalid",
    "other bundle": "binding_mismatch", "other device": "binding_mismatch",
    "other part": "binding_mismatch", "count too high": "binding_mismatch",
    "count too low": "binding_mismatch", "count below 0": "header_invalid",
    "count as text": "header_invalid", "count of a half": "header_invalid",
    "device_seq 0": "header_invalid", "sealed_at no time": "header_invalid",
    "more transactions than a bundle may have": "header_invalid",
}


@pytest.mark.parametrize("case", HEADER)
def test_header_missing_second_too_long_deep_wrong_is_quarantined(device, case):
    """Header missing, second, too long, 10,000 levels deep, wrong version, other bundle, device or
    part, wrong count: Q. The next bundle is not held up, and nothing of this one is stored."""
    bundle_id = new_id()
    data = archive(device.password(bundle_id), entry_of(device, bundle_id, case).encode())
    assert quarantined(device, bundle_id, data) == HEADER[case]
    assert device.send([transaction()])["counts"]["accepted"] == 1


def test_every_class_of_fault_looks_the_same_to_the_device(device):
    """To a device all content failures of one class look the same; detail is for the audit log."""
    details = {}
    for case in (
            "missing", "wrong version", "duplicate key", "device_seq 0", "other bundle",
            "other device", "other part", "count too high", "count too low",
            "more transactions than a bundle may have"):
        bundle_id = new_id()
        data = archive(device.password(bundle_id), entry_of(device, bundle_id, case).encode())
        quarantined(device, bundle_id, data)
        receipt = device.receipt_of(bundle_id)
        details.setdefault(receipt["code"], set()).add(receipt["detail"])
    assert {code: len(texts) for code, texts in details.items()} == {
        "header_invalid": 1, "binding_mismatch": 1}


def test_null_for_device_seq_and_actor_counts_as_absent(device):
    receipt = device.send([transaction(actor=None)], header={"device_seq": None})
    assert receipt["counts"]["accepted"] == 1
    assert "device_seq" not in device.get("/v1/device")


def line_with(**members):
    return json.dumps(transaction(**members))


def with_payload(text):
    return '{"id":"%s","type":"t","occurred_at":"2026-11-21T03:00:00Z","payload":%s}' % (
        new_id(), text)


def nested(levels):
    """A line whose deepest value stands this many levels deep; the line itself is the first."""
    return with_payload("[" * (levels - 1) + "]" * (levels - 1))


def body(text, content_type="a/b"):
    return line_with(payload=..., content_type=content_type, body=text)


REJECTED = {
    "not JSON: nothing": (" ", "invalid_json"),
    "not JSON: two values": ("{}{}", "invalid_json"),
    "not JSON: a comment": (with_payload("1 /* one */"), "invalid_json"),
    "not JSON: single quotes": (with_payload("'x'"), "invalid_json"),
    "not JSON: a leading zero": (with_payload("01"), "invalid_json"),
    "not JSON: a leading plus": (with_payload("+1"), "invalid_json"),
    "not JSON: a bare point": (with_payload("1."), "invalid_json"),
    "not JSON: a control in a string": (with_payload('"\t"'), "invalid_json"),
    "not JSON: an unknown escape": (with_payload('"\\x41"'), "invalid_json"),
    "not JSON: a byte order mark": ("\ufeff" + line_with(), "invalid_json"),
    "not an object: null": ("null", "invalid_json"),
    "not an object: a string": ('"x"', "invalid_json"),
    "Infinity": (with_payload("-Infinity"), "invalid_json"),
    "-1e999": (with_payload("-1e999"), "unstorable"),
    "duplicate keys in an array": (with_payload('[{"a":{"b":1,"b":1}}]'), "duplicate_key"),
    "duplicate keys of the line": (line_with()[:-1] + ',"type":"t"}', "duplicate_key"),
    "a lone surrogate, the second half": (
        with_payload('"\\udc00\\ud800"'), "unstorable"),
    "a lone surrogate in a key": (with_payload('{"\\ud800":1}'), "unstorable"),
    "\\u0000 in a key": (with_payload('{"\\u0000":1}'), "unstorable"),
    "invalid UTF-8: overlong": (
        with_payload('"X"').encode().replace(b"X", b"\xc0\xaf"), "invalid_utf8"),
    "invalid UTF-8: surrogate": (
        with_payload('"X"').encode().replace(b"X", b"\xed\xa0\x80"), "invalid_utf8"),
    "invalid UTF-8: cut": (
        with_payload('"X"').encode().replace(b"X", b"\xe2\x82"), "invalid_utf8"),
    "too deep: 129 levels": (nested(129), "too_deep"),
    "too deep: 10,000 levels": (nested(10_000), "too_deep"),
    "id missing: null": (line_with(id=None), "invalid_id"),
    "id missing: a number": (line_with(id=1), "invalid_id"),
    "id not a UUID: braces": (line_with(id="{%s}" % UUID_TEXT), "invalid_id"),
    "id not a UUID: urn": (line_with(id="urn:uuid:" + UUID_TEXT), "invalid_id"),
    "id not a UUID: a letter too many": (line_with(id=UUID_TEXT + "0"), "invalid_id"),
    "type a number": (line_with(type=7), "invalid_type"),
    "type with DEL": (line_with(type="a\x7fb"), "invalid_type"),
    "type with a C1 control": (line_with(type="a\x85b"), "invalid_type"),
    "time a number": (line_with(occurred_at=1732158000), "invalid_time"),
    "time without a time": (line_with(occurred_at="2026-11-21"), "invalid_time"),
    "year 10,000": (line_with(occurred_at="10000-01-01T00:00:00Z"), "invalid_time"),
    "hour 24": (line_with(occurred_at="2026-11-21T24:00:00Z"), "invalid_time"),
    "offset of 24 hours": (line_with(occurred_at="2026-11-21T03:00:00+24:00"), "invalid_time"),
    "offset without a colon": (line_with(occurred_at="2026-11-21T03:00:00+0100"), "invalid_time"),
    "29 February of no leap year": (line_with(occurred_at="2100-02-29T00:00:00Z"), "invalid_time"),
    "both payload and content_type": (line_with(content_type="a/b"), "invalid_body"),
    "content_type alone": (line_with(payload=..., content_type="a/b"), "invalid_body"),
    "body without padding": (body("AA"), "invalid_body"),
    "body in the URL's alphabet": (body("_-A="), "invalid_body"),
    "body with a line break": (body("AAAA\nAAAA"), "invalid_body"),
    "body with bits left over": (body("AB=="), "invalid_body"),
    "body a number": (line_with(payload=..., content_type="a/b", body=1), "invalid_body"),
}


@pytest.mark.parametrize("case", REJECTED)
def test_that_transaction_is_rejected_and_the_rest_accepted(device, case):
    """A line that is not JSON, not an object, has duplicate keys, NaN, 1e999, a lone surrogate,
    \\u0000, invalid UTF-8; id missing or not a UUID; type empty, over 128 characters, with control
    characters; time without offset, year 0 or 10,000; both payload and body, neither; body not
    base64: that transaction rejected, the rest accepted."""
    line, code = REJECTED[case]
    receipt = device.send([transaction(), line, transaction()])
    assert receipt["counts"] == {"accepted": 2, "duplicate": 0, "rejected": 1, "conflict": 0}
    exception = expand(receipt["exceptions"])[1]
    assert exception["outcome"] == "rejected"
    assert exception["code"] == code, exception
    assert exception["detail"]


def test_a_rejected_line_says_its_id_where_it_has_one(device):
    id_ = new_id()
    receipt = device.send([
        json.dumps(transaction(id=id_.upper(), type="")), line_with(id="7"), "{", ])
    assert [one["id"] for one in receipt["exceptions"]] == [id_, None, None]


ACCEPTED = {
    "128 levels deep": nested(128),
    "the largest double": with_payload("1.7976931348623157e308"),
    "the smallest double": with_payload("4.9e-324"),
    "a number of 1,000 digits behind the point": with_payload("0." + "1" * 1000),
    "escapes of every kind": with_payload('"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\ud83d\\ude00"'),
    "a payload that is null": with_payload("null"),
    "a payload that is a string": with_payload('""'),
    "members that mean nothing": line_with(extra={"deep": [{}]}, waybill=1),
    "a \\r before the line feed": line_with() + "\r",
    "an actor of 128 characters": line_with(actor="é" * 128),
    "no seconds' fraction, lower-case t and z": line_with(occurred_at="2026-11-21t03:00:00z"),
    "nine decimals": line_with(occurred_at="2026-11-21T03:00:00.123456789-11:59"),
    "29 February": line_with(occurred_at="2028-02-29T00:00:00Z"),
    "an empty body": body(""),
    "a body with every byte": body(base64.b64encode(bytes(range(256))).decode()),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_a_line_within_the_rules_is_accepted(device, case):
    assert device.send([ACCEPTED[case]])["counts"]["accepted"] == 1


@pytest.mark.parametrize("end", ["\n", "\r\n", "", "\r"])
def test_the_last_line_feed_is_optional_and_a_carriage_return_is_white_space(device, end):
    bundle_id = new_id()
    lines = [transaction({"n": n}) for n in range(3)]
    feed = "\r\n" if "\r" in end else "\n"
    text = feed.join(json.dumps(one) for one in [device.header(bundle_id, 3), *lines]) + end
    device.upload(bundle_id, archive(device.password(bundle_id), text.encode()))
    assert device.receipt_of(bundle_id)["counts"]["accepted"] == 3


@pytest.mark.parametrize("line", [line_with(actor="é" * 129), line_with(actor=7)], ids=range(2))
def test_an_actor_over_128_characters_or_no_text_is_rejected(device, line):
    receipt = device.send([line, transaction()])
    exception, = receipt["exceptions"]
    assert (exception["index"], exception["outcome"]) == (0, "rejected")
    assert receipt["counts"]["accepted"] == 1


def test_the_same_id_twice_in_a_bundle_in_two_bundles_and_with_other_content(device):
    """The same id twice in a bundle, in two bundles; same id with other content."""
    line, other = transaction({"v": 1}), transaction({"v": 1})
    receipt = device.send([
        line, {**other, "payload": {"v": 2}}, other, line, {**line, "payload": {"v": 3}}])
    assert [expand(receipt["exceptions"]).get(n, {}).get("outcome") for n in range(5)] == [
        None, None, "conflict", "duplicate", "conflict"]
    assert [one["id"] for one in receipt["exceptions"]] == [
        other["id"], line["id"], line["id"]]
    again = device.send([line, other])
    assert [one["outcome"] for one in again["exceptions"]] == ["duplicate", "conflict"]


def test_the_same_id_in_two_tenants_is_two_transactions(server, device):
    """The same id in two tenants."""
    line = transaction()
    stranger = server.new_device(server.create_tenant("next-door"))
    for sender in (device, stranger, device, stranger):
        first = sender.last == 0
        counts = sender.send([line])["counts"]
        assert counts["accepted" if first else "duplicate"] == 1


def test_neighbouring_exceptions_of_one_outcome_are_folded(device):
    lines = [transaction({"n": n}) for n in range(300)]
    assert device.send(lines)["exceptions"] == []
    bad = ["{"] * 100
    receipt = device.send([*lines[:100], transaction(), *lines[100:], *bad, "[]", transaction()])
    assert receipt["counts"] == {"accepted": 2, "duplicate": 300, "rejected": 101, "conflict": 0}
    told = expand(receipt["exceptions"])
    assert {n for n in range(403) if n not in told} == {100, 402}
    assert len(receipt["exceptions"]) < 10 and "from" in receipt["exceptions"][0]


def test_a_page_has_at_most_1_mib_but_at_least_one_receipt(device):
    """Receipts of over 1 MiB come one a page; small ones before them in a page of their own."""
    device.send([transaction()])
    # Neighbours with different codes are not folded.
    lines = ["{", "{}"] * 9_000
    large = [device.send(lines) for _ in range(2)]
    assert all(len(json.dumps(one)) > 1 << 20 for one in large)
    sizes, after = [], 0
    while True:
        page = device.page(after=after)
        assert page["last"] == 3
        if not page["receipts"]:
            break
        sizes.append(len(page["receipts"]))
        after = page["receipts"][-1]["seq"]
    assert sizes == [1, 1, 1]

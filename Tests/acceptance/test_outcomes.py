import base64
import json
import secrets

import pytest

from stranger import expand, new_id, transaction


def outcomes(receipt, count):
    assert receipt["state"] == "settled"
    exceptions = expand(receipt["exceptions"])
    result = [exceptions.get(index, {"outcome": "accepted"}) for index in range(count)]
    for name in ("accepted", "duplicate", "rejected", "conflict"):
        assert receipt["counts"][name] == sum(1 for one in result if one["outcome"] == name)
    return result


def send(device, *lines):
    return [one["outcome"] for one in outcomes(device.send(list(lines)), len(lines))]


def test_content_that_was_stored_before_is_a_duplicate(device):
    line = transaction()
    assert send(device, line) == ["accepted"]
    assert send(device, line, transaction()) == ["duplicate", "accepted"]


def test_within_a_bundle_the_lowest_index_wins(device):
    line = transaction({"v": 1})
    assert send(device, line, line, {**line, "payload": {"v": 2}}) == [
        "accepted", "duplicate", "conflict"]


def test_same_id_with_other_content_is_a_conflict_and_overwrites_nothing(device):
    line = transaction({"v": 1})
    assert send(device, line) == ["accepted"]
    for change in (
        {"payload": {"v": 2}}, {"type": "other"}, {"occurred_at": "2026-11-21T03:00:01+01:00"},
    ):
        assert send(device, {**line, **change}) == ["conflict"], change
    assert send(device, line) == ["duplicate"]


def test_values_count_and_not_their_spelling(device):
    id_ = new_id()
    first = (
        '{"id":"%s","type":"t","occurred_at":"2026-11-21T03:00:00.123456Z",'
        '"payload":{"a":1.0,"b":[0,"\\u00e9"]}}' % id_)
    for other in (
        '{ "payload" : {"b":[-0.0, "é"],"a":10e-1}, "id":"%s", "type":"t",'
        ' "occurred_at":"2026-11-21T04:00:00.1234569+01:00", "ignored": [] }' % id_.upper(),
        '{"id":"%s","type":"t","occurred_at":"2026-11-21T03:00:00.123456Z",'
        '"payload":{"a":100e-2,"b":[0e9,"\\u00E9"]}}\r' % id_,
    ):
        if first:
            assert send(device, first) == ["accepted"]
            first = None
        assert send(device, other) == ["duplicate"]


def test_exact_decimals_differ_where_doubles_would_not(device):
    id_ = new_id()
    line = '{"id":"%s","type":"t","occurred_at":"2026-11-21T03:00:00Z","payload":%s}'
    assert send(device, line % (id_, "9007199254740993")) == ["accepted"]
    assert send(device, line % (id_, "9007199254740992")) == ["conflict"]


def test_bytes_are_compared_as_bytes(device):
    def line(id_, content, media="image/png"):
        return transaction(
            payload=..., id=id_, content_type=media, body=base64.b64encode(content).decode())

    id_ = new_id()
    assert send(device, line(id_, b"\x00\xff")) == ["accepted"]
    assert send(device, line(id_, b"\x00\xff")) == ["duplicate"]
    assert send(device, line(id_, b"\x00\xfe")) == ["conflict"]
    assert send(device, line(id_, b"\x00\xff", "image/gif")) == ["conflict"]


def test_only_type_instant_and_content_are_compared(device):
    line = transaction({"text": "AA=="}, actor="nurse 7", extra=1)
    assert send(device, line) == ["accepted"]
    for change in ({"actor": "nurse 8"}, {"actor": ...}, {"extra": 2}, {"id": line["id"].upper()},
                   {"occurred_at": "2026-11-21T02:00:00.0000009Z"}):
        changed = {name: value for name, value in {**line, **change}.items() if value is not ...}
        assert send(device, changed) == ["duplicate"], change
    for change in ({"occurred_at": "2026-11-21T02:00:00.000001Z"}, {"type": "Visit.completed"},
                   {"payload": {"text": "AA== "}}, {"payload": [{"text": "AA=="}]}):
        assert send(device, {**line, **change}) == ["conflict"], change
    del line["payload"]
    assert send(device, {**line, "content_type": "text/plain", "body": "AA=="}) == ["conflict"]


def test_tenants_do_not_share_ids(server, device):
    line = transaction()
    assert send(device, line) == ["accepted"]
    stranger = server.new_device(server.create_tenant("another"))
    assert send(stranger, line) == ["accepted"]


def test_devices_of_one_tenant_share_ids(server, tenant, device):
    line = transaction()
    assert send(device, line) == ["accepted"]
    assert send(server.new_device(tenant), line) == ["duplicate"]


def raw(**members):
    return json.dumps(transaction(**members))


def with_payload(text):
    return '{"id":"%s","type":"t","occurred_at":"2026-11-21T03:00:00Z","payload":%s}' % (
        new_id(), text)


REJECTED = {
    "not json": ("{", "invalid_json"),
    "empty line": ("", "invalid_json"),
    "no object": ("[1]", "invalid_json"),
    "NaN": (with_payload("NaN"), "invalid_json"),
    "trailing comma": (with_payload("[1,]"), "invalid_json"),
    "duplicate key": (with_payload('{"a":1,"a":2}'), "duplicate_key"),
    "duplicate key, escaped": (with_payload('[[{"a":1,"\\u0061":2}]]'), "duplicate_key"),
    "duplicate id": ('{"id":"%s","id":"%s"}' % (new_id(), new_id()), "duplicate_key"),
    "invalid UTF-8": (with_payload('"X"').encode().replace(b"X", b"\xff"), "invalid_utf8"),
    "NUL": (with_payload('"\\u0000"'), "unstorable"),
    "lone surrogate": (with_payload('"\\ud800"'), "unstorable"),
    "beyond a double": (with_payload("1e999"), "unstorable"),
    "too deep": (with_payload("[" * 128 + "]" * 128), "too_deep"),
    "too long": (with_payload('"' + "x" * (1 << 20) + '"'), "too_long"),
    "no id": (raw(id=...), "invalid_id"),
    "id is no UUID": (raw(id="7"), "invalid_id"),
    "id without hyphens": (raw(id="0190163d8694739baea5966c26f8ad91"), "invalid_id"),
    "no type": (raw(type=...), "invalid_type"),
    "type empty": (raw(type=""), "invalid_type"),
    "type too long": (raw(type="x" * 129), "invalid_type"),
    "type with control": (raw(type="a\nb"), "invalid_type"),
    "no time": (raw(occurred_at=...), "invalid_time"),
    "time without offset": (raw(occurred_at="2026-11-21T03:00:00"), "invalid_time"),
    "day that is none": (raw(occurred_at="2026-02-30T03:00:00Z"), "invalid_time"),
    "year 0": (raw(occurred_at="0000-01-01T00:00:00Z"), "invalid_time"),
    "payload and body": (raw(content_type="a/b", body="AA=="), "invalid_body"),
    "neither": (raw(payload=...), "invalid_body"),
    "not base64": (raw(payload=..., content_type="a/b", body="*"), "invalid_body"),
    "body without type": (raw(payload=..., body="AA=="), "invalid_body"),
}


@pytest.mark.parametrize("case", REJECTED)
def test_a_bad_line_is_rejected_and_its_neighbours_are_not(device, case):
    line, code = REJECTED[case]
    result = outcomes(device.send([transaction(), line, transaction()]), 3)
    assert [one["outcome"] for one in result] == ["accepted", "rejected", "accepted"], result
    assert result[1]["code"] == code


def test_a_rejected_line_never_claims_its_id(device):
    line = transaction()
    assert send(device, {**line, "type": ""}) == ["rejected"]
    assert send(device, line) == ["accepted"]


@pytest.mark.parametrize("line", [
    raw(type="x" * 128), raw(type="é" * 128), raw(actor="nurse 7"), raw(extra={"a": [1]}),
    raw(occurred_at="0001-01-01T00:00:00Z"), raw(occurred_at="9999-12-31T23:59:59.999999Z"),
    raw(payload=None) .replace('"payload": {"n": 1}', '"payload": null'),
    with_payload("[" * 126 + "]" * 126), with_payload("1e308"), with_payload('"\\ud83d\\ude00"'),
    raw(payload=..., content_type="a/b", body=""),
], ids=range(11))
def test_a_line_at_the_limit_is_accepted(device, line):
    assert send(device, line) == ["accepted"]


def test_the_record_limit_is_exact(device):
    limit = device.limits["record_bytes_max"]
    frame = len(with_payload('""'))
    # Two such records of one letter would break the ratio.
    text = secrets.token_hex(limit // 2 + 1)
    fits = with_payload('"' + text[:limit - frame] + '"')
    over = with_payload('"' + text[:limit - frame + 1] + '"')
    below = with_payload('"' + text[:limit - frame - 1] + '"')
    assert [len(line) for line in (below, fits, over)] == [limit - 1, limit, limit + 1]
    result = outcomes(device.send([below, fits, over]), 3)
    assert [one["outcome"] for one in result] == ["accepted", "accepted", "rejected"]
    assert result[2]["code"] == "too_long"


def test_a_thousand_duplicates_fit_in_a_receipt(device):
    lines = [transaction({"n": n}) for n in range(1000)]
    assert send(device, *lines) == ["accepted"] * 1000
    assert send(device, *lines, transaction()) == ["duplicate"] * 1000 + ["accepted"]

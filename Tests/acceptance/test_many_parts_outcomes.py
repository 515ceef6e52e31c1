"""What becomes of the transactions of a bundle of many parts."""

import hashlib

import pytest

from stranger import ENTRY, archive, bundle_sha256, checked, expand, new_id, part_password, transaction


def seal_part(device, bundle_id, part, parts, lines, *, password_part=None, **header):
    """One sealed part; `password_part` seals it with another part's password."""
    password = part_password(
        device.secret, device.tenant, device.id, bundle_id, device.epoch, password_part or part)
    return archive(
        password, device.entry(bundle_id, lines, part=part, parts=parts, **header), name=ENTRY)


def send_parts(device, bundle_id, sealed):
    """Declares the bundle and sends its parts, the last one first."""
    declaration = {
        "bundle_id": bundle_id, "epoch": device.epoch,
        "parts": [
            {"size": len(part), "sha256": hashlib.sha256(part).hexdigest()} for part in sealed
        ],
    }
    checked(device.http.post(device.base + "/v1/bundles", json=declaration, timeout=30))
    for number in range(len(sealed), 0, -1):
        checked(device.http.put(
            f"{device.base}/v1/bundles/{bundle_id}/parts/{number}", data=sealed[number - 1],
            headers={"Content-Type": "application/zip"}, timeout=60))
    receipt = device.receipt_of(bundle_id)
    assert receipt["bundle_sha256"] == bundle_sha256(*sealed)
    return receipt


def send(device, *parts, **header):
    """Seals lists of lines as the parts of one bundle; its receipt."""
    bundle_id = new_id()
    return send_parts(device, bundle_id, [
        seal_part(device, bundle_id, number, len(parts), lines, **header)
        for number, lines in enumerate(parts, 1)
    ])


def test_index_counts_through_the_bundle_in_part_order(device):
    """A bundle's transactions are the parts' transactions in part order."""
    first, second = transaction({"n": 1}), transaction({"n": 2})
    receipt = send(
        device, [first, "no json"], [], [dict(second, type=""), second],
        [dict(first, payload={"n": 1.0}), dict(second, payload={"n": 3})], device_seq=1)
    assert receipt["counts"] == {"accepted": 2, "rejected": 2, "duplicate": 1, "conflict": 1}
    told = expand(receipt["exceptions"])
    assert {index: one["outcome"] for index, one in told.items()} == {
        1: "rejected", 2: "rejected", 4: "duplicate", 5: "conflict"}
    assert told[1]["code"] == "invalid_json" and told[2]["code"] == "invalid_type"
    assert told[4]["id"] == first["id"] and told[5]["id"] == second["id"]


def test_what_another_bundle_stored_is_a_duplicate_in_any_part(device):
    lines = [transaction({"n": n}) for n in range(6)]
    assert device.send(lines[2:4])["counts"]["accepted"] == 2
    receipt = send(device, lines[:3], lines[3:])
    assert set(expand(receipt["exceptions"])) == {2, 3}
    assert receipt["counts"] == {"accepted": 4, "rejected": 0, "duplicate": 2, "conflict": 0}


def test_a_bundle_of_duplicates_has_a_short_receipt(device):
    """`{"from":0,"count":99999,"outcome":"duplicate"}`"""
    lines = [transaction({"n": n}) for n in range(3000)]
    assert device.send(lines)["counts"]["accepted"] == 3000
    receipt = send(device, lines[:1000], lines[1000:1001], lines[1001:])
    assert receipt["exceptions"] == [{"from": 0, "count": 3000, "outcome": "duplicate"}]


@pytest.mark.parametrize("order", [(2, 1, 3), (1, 3, 2), (1, 1, 3), (1, 2, 1)])
def test_parts_in_the_wrong_order_or_one_part_twice_are_quarantined(device, order):
    bundle_id = new_id()
    sealed = {
        number: seal_part(device, bundle_id, number, 3, [transaction()]) for number in (1, 2, 3)
    }
    receipt = send_parts(device, bundle_id, [sealed[number] for number in order])
    assert (receipt["state"], receipt["code"]) == ("quarantined", "binding_mismatch")


@pytest.mark.parametrize("case", [
    dict(part=1), dict(parts=3), dict(device_seq=9), dict(transactions=1), dict(transactions=3),
    dict(bundle_id=new_id()), dict(device_id=new_id()),
], ids=str)
def test_a_second_part_that_is_not_what_it_says_quarantines_all(server, tenant, device, case):
    bundle_id = new_id()
    first = seal_part(device, bundle_id, 1, 2, [transaction()])
    entry = device.entry(
        bundle_id, [transaction(), transaction()], **{"part": 2, "parts": 2, **case})
    password = part_password(
        device.secret, device.tenant, device.id, bundle_id, device.epoch, 2)
    receipt = send_parts(device, bundle_id, [first, archive(password, entry)])
    assert (receipt["state"], receipt["code"]) == ("quarantined", "binding_mismatch")
    # Not one row of the sound part.
    assert server.row_count(tenant) == 0


@pytest.mark.parametrize("place", ["salt", "verifier", "ciphertext", "authentication code"])
def test_a_bit_of_the_last_part_stops_the_first_row(server, tenant, device, place):
    """one bit of salt, verifier, authentication code, ciphertext: Q"""
    bundle_id = new_id()
    first = seal_part(device, bundle_id, 1, 2, [transaction()])
    last = bytearray(seal_part(device, bundle_id, 2, 2, [transaction()]))
    start = 30 + len(ENTRY) + int.from_bytes(last[28:30], "little")
    size = int.from_bytes(last[18:22], "little")
    offset = {"salt": 3, "verifier": 17, "ciphertext": 40, "authentication code": size - 1}[place]
    last[start + offset] ^= 1
    receipt = send_parts(device, bundle_id, [first, bytes(last)])
    assert (receipt["state"], receipt["code"]) == ("quarantined", "cannot_open")
    assert server.row_count(tenant) == 0

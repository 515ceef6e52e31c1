import threading
import time

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from stranger import Refused, new_id, transaction, unb64url


def fill(device, count):
    for _ in range(count):
        bundle_id = new_id()
        device.upload(bundle_id, device.seal(bundle_id, [transaction()]))
    while device.last < count:
        device.collect(wait=10)


def test_receipts_form_one_chain_without_a_gap(device):
    fill(device, 12)
    assert device.last == 12
    page = device.page()
    assert [receipt["seq"] for receipt in page["receipts"]] == list(range(1, 13))
    assert page["receipts"][0]["previous"] == "0" * 64
    assert [one["hash"] for one in page["receipts"][:-1]] == [
        one["previous"] for one in page["receipts"][1:]]
    assert page["last"] == 12 and page["safe_through"] == 12


def test_bundles_of_one_device_are_settled_in_their_order(device):
    sent = []
    for _ in range(20):
        bundle_id = new_id()
        device.upload(bundle_id, device.seal(bundle_id, [transaction()]))
        sent.append(bundle_id)
    while device.last < 20:
        device.collect(wait=10)
    assert [receipt["bundle_id"] for receipt in device.page()["receipts"]] == sent


def test_pages_have_the_asked_size_and_values_over_the_maximum_are_clamped(device):
    fill(device, 5)
    assert [r["seq"] for r in device.page(after=1, limit=2)["receipts"]] == [2, 3]
    assert len(device.page(limit=100_000)["receipts"]) == 5
    assert len(device.page(limit=10**30)["receipts"]) == 5
    assert len(device.page(wait=10**30)["receipts"]) == 5
    for after in (5, 2**63 - 1, 2**63, 10**30):
        assert device.page(after=after) == {"receipts": [], "last": 5, "safe_through": 5}


@pytest.mark.parametrize("parameters", [
    {"after": -1}, {"limit": -1}, {"wait": -1}, {"after": "x"}, {"limit": "x"}, {"wait": "x"}])
def test_values_below_zero_or_no_numbers_are_400(device, parameters):
    with pytest.raises(Refused) as refused:
        device.get("/v1/receipts", params=parameters)
    assert (refused.value.status, refused.value.code) == (400, "invalid_request")


def test_a_new_device_has_no_receipts(device):
    page = device.page()
    assert page["receipts"] == [] and page["last"] == 0 and page["safe_through"] == 0


def test_a_long_poll_answers_when_the_receipt_is_there(device):
    answers = []

    def poll():
        began = time.monotonic()
        answers.append((device.page(wait=50), time.monotonic() - began))

    poller = threading.Thread(target=poll)
    poller.start()
    time.sleep(1)
    bundle_id = new_id()
    device.upload(bundle_id, device.seal(bundle_id, [transaction()]))
    poller.join(60)
    page, seconds = answers[0]
    assert page["receipts"][0]["bundle_id"] == bundle_id
    assert 1 <= seconds < 10


def test_a_long_poll_without_news_ends_in_time(device):
    began = time.monotonic()
    assert device.page(wait=2)["receipts"] == []
    assert 1.9 <= time.monotonic() - began < 8


def test_confirming_is_idempotent_and_never_goes_back(device):
    fill(device, 3)
    for through, confirmed in ((2, 2), (2, 2), (1, 2), (0, 2), (3, 3)):
        assert device.confirm(through).status_code == 204
        assert device.get("/v1/device")["confirmed"] == confirmed


def test_what_was_not_issued_cannot_be_confirmed(device):
    fill(device, 1)
    with pytest.raises(Refused) as refused:
        device.confirm(2)
    assert (refused.value.status, refused.value.code) == (409, "not_issued")
    assert device.get("/v1/device")["confirmed"] == 0
    with pytest.raises(Refused) as refused:
        device.confirm(-1)
    assert (refused.value.status, refused.value.code) == (400, "invalid_request")


@pytest.mark.parametrize("through", [2**63 - 1, 2**63, 10**30])
def test_numbers_of_any_size_over_the_last_are_not_issued(device, through):
    fill(device, 1)
    with pytest.raises(Refused) as refused:
        device.confirm(through)
    assert (refused.value.status, refused.value.code) == (409, "not_issued")


def test_keys_are_public(device):
    fill(device, 1)
    receipt, = device.page()["receipts"]
    answer = requests.get(device.base + "/.well-known/waybill-keys.json", timeout=30)
    assert answer.status_code == 200
    keys = answer.json()["keys"]
    assert [one for one in keys if len(unb64url(one["public_key"])) != 32] == []
    # The one that signed is there, and was valid then.
    key, = [one for one in keys if one["key_id"] == receipt["key_id"]]
    assert key["not_before"] <= receipt["settled_at"] and key["not_after"] is None
    Ed25519PublicKey.from_public_bytes(unb64url(key["public_key"])).verify(
        unb64url(receipt["signature"]), b"waybill/v1/receipt\0" + bytes.fromhex(receipt["hash"]))


def test_a_devices_receipts_are_its_own(server, tenant, device):
    fill(device, 1)
    assert server.new_device(tenant).page()["receipts"] == []

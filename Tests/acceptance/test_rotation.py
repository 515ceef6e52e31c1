"""CONTRACT.md: "`rotate` prints a code whose enrolment returns the same device id with the next epoch"."""

import uuid

import pytest

from server import Postgres, Server
from stranger import Device, Refused, enroll, new_id, transaction


def rotated(server, device, **options):
    code = server.command("device", "rotate", device.id).stdout.strip()
    return Device(enroll(server.device_url, code, **options))


def test_rotation_returns_the_same_device_with_the_next_epoch(server, tenant, device):
    device.send([transaction()])
    code = server.json("device", "rotate", device.id)["code"]
    # The old token lives until the enrolment.
    assert device.get("/v1/device")["epoch"] == 1
    assert device.send([transaction()])["seq"] == 2
    new = Device(enroll(server.device_url, code))
    assert new.id == device.id and new.tenant == tenant and new.epoch == 2
    assert new.token != device.token and new.secret != device.secret
    with pytest.raises(Refused) as refused:
        device.get("/v1/device")
    assert (refused.value.status, refused.value.code) == (401, "unauthorized")
    me = new.get("/v1/device")
    assert me["epoch"] == 2 and me["last"] == 2
    new.last, new.last_hash = device.last, device.last_hash
    receipt = new.send([transaction()])
    assert receipt["seq"] == 3 and receipt["counts"]["accepted"] == 1


def test_bundles_sealed_before_the_rotation_still_open(server, device):
    """`Waybill-Epoch: N` says under which epoch it was sealed; otherwise the open epochs are tried."""
    sealed = {bundle: device.seal(bundle, [transaction()]) for bundle in (new_id(), new_id())}
    with_header, without = sealed
    new = rotated(server, device)
    new.upload(with_header, sealed[with_header], headers={"Waybill-Epoch": "1"})
    new.upload(without, sealed[without])
    for bundle in sealed:
        receipt = new.receipt_of(bundle)
        assert receipt["state"] == "settled" and receipt["counts"]["accepted"] == 1
    # Under the epoch that is named, no other is tried.
    wrong = new_id()
    new.upload(wrong, device.seal(wrong, [transaction()]), headers={"Waybill-Epoch": "2"})
    assert new.receipt_of(wrong)["code"] == "cannot_open"


def test_an_epoch_that_the_device_has_not_come_to_is_refused_at_once(server, device):
    """It could never be opened; nothing is kept, and the id is free."""
    bundle_id = new_id()
    parts = device.seal_parts(bundle_id, [[transaction()]])
    for answer in (
            device.upload_raw(parts[0], bundle_id, headers={"Waybill-Epoch": "2"}),
            device.declare_raw(bundle_id, parts, epoch=2)):
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    device.upload(bundle_id, parts[0], headers={"Waybill-Epoch": "1"})
    assert device.receipt_of(bundle_id)["state"] == "settled"


def test_a_declaration_with_another_epoch_is_another_declaration(server, device):
    new = rotated(server, device)
    bundle_id = new_id()
    parts = new.seal_parts(bundle_id, [[transaction()], [transaction()]])
    new.declare(bundle_id, parts, epoch=1)
    assert new.declare_raw(bundle_id, parts, epoch=1).status_code == 200
    for epoch in (2, None):
        again = new.declare_raw(bundle_id, parts, epoch=epoch)
        assert (again.status_code, again.json()["code"]) == (422, "idempotency_conflict")


def test_the_header_of_a_declaration_tells_its_epoch_too_and_never_another_one(server, device):
    new = rotated(server, device)
    bundle_id = new_id()
    parts = new.seal_parts(bundle_id, [[transaction()], [transaction()]])
    for epoch, header in ((None, "x"), (None, "0"), (2, "1"), (1, "x"), (None, "3")):
        answer = new.declare_raw(bundle_id, parts, epoch=epoch, headers={"Waybill-Epoch": header})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    new.declare(bundle_id, parts, headers={"Waybill-Epoch": "1"})
    assert new.declare_raw(bundle_id, parts, epoch=1).status_code == 200
    again = new.declare_raw(bundle_id, parts, epoch=1, headers={"Waybill-Epoch": "1"})
    assert again.status_code == 200


@pytest.mark.parametrize("told, opens", [(None, True), (1, True), (2, False)])
def test_a_declaration_says_under_which_epoch_its_parts_were_sealed(server, device, told, opens):
    """`{"bundle_id":"…","epoch":1,…}`; without it the open epochs are tried."""
    bundle_id = new_id()
    parts = device.seal_parts(bundle_id, [[transaction()], [transaction()]])
    new = rotated(server, device)
    status = new.declare(bundle_id, parts, epoch=told)
    for part, data in zip(status["parts"], parts):
        assert new.put_raw(part["upload"], data).status_code == 201
    receipt = new.receipt_of(bundle_id)
    assert (receipt["state"], receipt.get("code")) == (
        ("settled", None) if opens else ("quarantined", "cannot_open"))


def test_a_lost_answer_to_a_rotation_costs_nothing(server, device):
    device.send([transaction()])
    code, request_id = server.json("device", "rotate", device.id)["code"], str(uuid.uuid4())
    lost = enroll(server.device_url, code, request_id=request_id)
    again = enroll(server.device_url, code, request_id=request_id)
    assert again["epoch"] == lost["epoch"] == 2
    assert again["device_id"] == lost["device_id"] == device.id
    assert again["token"] != lost["token"] and again["secret"] != lost["secret"]
    new = Device(again)
    new.last, new.last_hash = device.last, device.last_hash
    assert new.send([transaction()])["counts"]["accepted"] == 1
    with pytest.raises(Refused) as refused:
        enroll(server.device_url, code, request_id=request_id)
    assert refused.value.code == "code_invalid"


def test_a_rotation_code_works_once_and_the_newest_one_only(server, device):
    first = server.json("device", "rotate", device.id)["code"]
    second = server.json("device", "rotate", device.id)["code"]
    for code, works in ((first, False), (second, True), (second, False)):
        if works:
            assert enroll(server.device_url, code)["epoch"] == 2
        else:
            with pytest.raises(Refused) as refused:
                enroll(server.device_url, code)
            assert (refused.value.status, refused.value.code) == (403, "code_invalid")


def test_a_revoked_device_cannot_be_rotated(server, device):
    code = server.json("device", "rotate", device.id)["code"]
    server.command("device", "revoke", device.id)
    with pytest.raises(Refused) as refused:
        enroll(server.device_url, code)
    assert refused.value.code == "code_invalid"
    answer = server.admin("POST", f"/admin/v1/devices/{device.id}/rotate")
    assert (answer.status_code, answer.json()["code"]) == (409, "device_revoked")
    unknown = server.admin("POST", f"/admin/v1/devices/{uuid.uuid4()}/rotate")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")


def test_old_epochs_close_after_the_time_of_grace(tmp_path):
    postgres = Postgres()
    server = Server(
        tmp_path / "data", "--database-url", postgres.url, "--set", "epoch-grace=0").start()
    try:
        device = server.new_device(server.create_tenant("acme"))
        bundle = new_id()
        sealed = device.seal(bundle, [transaction()])
        new = rotated(server, device)
        new.upload(bundle, sealed)
        assert new.receipt_of(bundle)["code"] == "cannot_open"
        assert new.send([transaction()])["counts"]["accepted"] == 1
    finally:
        server.stop()
        postgres.stop("fast")
        postgres.remove()


def test_revoked_in_the_middle_of_an_upload_the_next_request_is_401(server, device):
    bundle = new_id()
    data = device.seal(bundle, [transaction()])

    def body():
        yield data[:10]
        server.command("device", "revoke", device.id)
        yield data[10:]

    # It was authenticated when it began; what it has received counts.
    assert device.upload_raw(body(), bundle).status_code == 202
    for call in (
        lambda: device.upload_raw(data, bundle),
        lambda: device.http.get(device.base + "/v1/device", timeout=30),
        lambda: device.http.get(device.base + f"/v1/bundles/{bundle}", timeout=30),
    ):
        answer = call()
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")

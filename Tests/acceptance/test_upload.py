import base64
import hashlib
import uuid

import pytest

from stranger import Refused, archive, bundle_sha256, new_id, transaction


def refusal(response):
    assert response.headers["Content-Type"].split(";")[0] == "application/problem+json"
    problem = response.json()
    assert isinstance(problem["detail"], str) and isinstance(problem["retryable"], bool)
    return response.status_code, problem["code"]


def test_received_means_202_with_the_bundles_status(device):
    bundle_id = new_id()
    data = device.seal(bundle_id, [transaction()])
    response = device.upload_raw(data, bundle_id)
    assert response.status_code == 202
    status = response.json()
    assert status["bundle_id"] == bundle_id
    assert status["state"] in ("queued", "processing", "settled")
    assert response.headers["Location"] == f"{device.base}/v1/bundles/{bundle_id}"
    part = status["parts"][0]
    assert (part["part"], part["size"], part["received"], part["complete"]) == (
        1, len(data), len(data), True)
    device.receipt_of(bundle_id)
    settled = device.status(bundle_id)
    assert settled["state"] == "settled"
    assert settled["receipt"] == device.receipt_of(bundle_id)


def test_the_same_bytes_again_are_answered_with_the_status(device):
    bundle_id = new_id()
    data = device.seal(bundle_id, [transaction()])
    for _ in range(3):
        assert device.upload_raw(data, bundle_id).status_code == 202
    receipt = device.receipt_of(bundle_id)
    answer = device.upload_raw(data, bundle_id)
    assert answer.status_code == 202
    assert answer.json()["state"] == "settled" and answer.json()["receipt"] == receipt
    device.collect(wait=1)
    assert len(device.receipts[bundle_id]) == 1


def test_other_bytes_under_a_known_id_are_a_conflict(device):
    bundle_id, line = new_id(), transaction()
    data = device.seal(bundle_id, [line])
    device.upload(bundle_id, data)
    other = device.seal(bundle_id, [line])
    assert other != data
    expected = (422, "idempotency_conflict")
    assert refusal(device.upload_raw(other, bundle_id)) == expected
    receipt = device.receipt_of(bundle_id)
    assert receipt["bundle_sha256"] == bundle_sha256(data)
    assert refusal(device.upload_raw(other, bundle_id)) == expected


def test_the_key_may_come_without_quotes_and_in_upper_case(device):
    bundle_id = new_id()
    data = device.seal(bundle_id, [transaction()])
    answer = device.upload_raw(data, headers={"Idempotency-Key": bundle_id.upper()})
    assert answer.status_code == 202 and answer.json()["bundle_id"] == bundle_id


def test_without_a_key_it_is_400(device):
    data = device.seal(new_id(), [transaction()])
    assert refusal(device.upload_raw(data)) == (400, "idempotency_key_missing")


@pytest.mark.parametrize("key", ['"not a uuid"', "{}", '"0190163d8694739baea5966c26f8ad91"'])
def test_a_key_that_is_no_uuid_is_400(device, key):
    data = device.seal(new_id(), [transaction()])
    answer = device.upload_raw(data, headers={"Idempotency-Key": key})
    assert refusal(answer) == (400, "invalid_request")


@pytest.mark.parametrize("headers", [
    {"Content-Type": "text/plain"}, {"Content-Type": None}, {"Content-Encoding": "gzip"}])
def test_other_media_types_and_codings_are_415(device, headers):
    bundle_id = new_id()
    data = device.seal(bundle_id, [transaction()])
    answer = device.upload_raw(data, bundle_id, headers=headers)
    assert refusal(answer) == (415, "unsupported_media_type")


@pytest.mark.parametrize("field", ["Content-Digest", "Repr-Digest"])
@pytest.mark.parametrize("algorithm", ["sha-256", "sha-512"])
def test_digests_are_checked_and_a_wrong_one_keeps_nothing(device, field, algorithm):
    def digest(content):
        value = hashlib.new(algorithm.replace("-", ""), content).digest()
        return f"{algorithm}=:{base64.b64encode(value).decode()}:"

    bundle_id = new_id()
    data = device.seal(bundle_id, [transaction()])
    wrong = device.upload_raw(data, bundle_id, headers={field: digest(data + b"x")})
    assert refusal(wrong) == (422, "digest_mismatch")
    with pytest.raises(Refused) as refused:
        device.status(bundle_id)
    assert refused.value.status == 404
    right = device.upload_raw(data, bundle_id, headers={field: digest(data)})
    assert right.status_code == 202
    assert device.receipt_of(bundle_id)["state"] == "settled"


def test_what_is_not_there_is_404(device):
    for path in ("/v1/bundles/" + str(uuid.uuid4()), "/v1/nothing", "/nothing"):
        with pytest.raises(Refused) as refused:
            device.get(path)
        assert (refused.value.status, refused.value.code) == (404, "not_found"), path


def test_another_devices_bundle_is_404(server, tenant, device):
    bundle_id = new_id()
    device.upload(bundle_id, device.seal(bundle_id, [transaction()]))
    with pytest.raises(Refused) as refused:
        server.new_device(tenant).status(bundle_id)
    assert refused.value.status == 404


def test_two_devices_may_use_the_same_bundle_id(server, tenant, device):
    other, bundle_id = server.new_device(tenant), new_id()
    for sender in (device, other):
        sender.upload(bundle_id, sender.seal(bundle_id, [transaction()]))
        assert sender.receipt_of(bundle_id)["counts"]["accepted"] == 1


def test_the_epoch_may_be_told(device):
    bundle_id = new_id()
    data = device.seal(bundle_id, [transaction()])
    device.upload(bundle_id, data, headers={"Waybill-Epoch": "1"})
    assert device.receipt_of(bundle_id)["state"] == "settled"
    answer = device.upload_raw(data, new_id(), headers={"Waybill-Epoch": "one"})
    assert refusal(answer) == (400, "invalid_request")


def test_settled_bundles_cannot_be_given_up(device):
    bundle_id = new_id()
    device.upload(bundle_id, device.seal(bundle_id, [transaction()]))
    device.receipt_of(bundle_id)
    answer = device.http.delete(f"{device.base}/v1/bundles/{bundle_id}", timeout=30)
    assert refusal(answer) == (409, "already_complete")
    answer = device.http.delete(f"{device.base}/v1/bundles/{new_id()}", timeout=30)
    assert refusal(answer) == (404, "not_found")


def test_a_large_bundle_is_received_and_settled(device):
    text = "".join(chr(33 + (i * 7919) % 90) for i in range(5000))
    lines = [transaction({"n": n, "text": text[n:] + text[:n]}) for n in range(1200)]
    receipt = device.send(lines, method=0)
    assert receipt["counts"]["accepted"] == 1200 and receipt["exceptions"] == []


def test_an_upload_cut_short_leaves_nothing(device):
    import socket
    from urllib.parse import urlsplit

    bundle_id = new_id()
    data = device.seal(bundle_id, [transaction()])
    address = urlsplit(device.base)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(
            f"POST /v1/bundles HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {device.token}\r\n"
            f"Content-Type: application/zip\r\nIdempotency-Key: {bundle_id}\r\n"
            f"Content-Length: {len(data)}\r\n\r\n".encode() + data[:-7])
    device.upload(bundle_id, data)
    assert device.receipt_of(bundle_id)["counts"]["accepted"] == 1


def test_a_server_knows_what_it_did_not_get_as_json(device):
    answer = device.http.post(
        device.base + "/v1/receipts/confirm", data=b"{", timeout=30,
        headers={"Content-Type": "application/json"})
    assert refusal(answer) == (400, "invalid_request")


def test_an_empty_bundle_gets_a_receipt(device):
    receipt = device.send([])
    assert receipt["state"] == "settled"
    assert receipt["counts"] == {"accepted": 0, "duplicate": 0, "rejected": 0, "conflict": 0}


def test_gaps_in_the_devices_numbers_show(device):
    for number in (1, 2, 5):
        device.send([transaction()], header={"device_seq": number})
    me = device.get("/v1/device")
    assert me["device_seq"] == 5
    assert me["gaps"] == [[3, 4]]
    for number, gaps in ((8, [[3, 4], [6, 7]]), (4, [[3, 3], [6, 7]]), (3, [[6, 7]])):
        device.send([transaction()], header={"device_seq": number})
        me = device.get("/v1/device")
        assert (me["device_seq"], me["gaps"]) == (8, gaps)


def test_sealed_anew_it_takes_a_new_id_and_the_same_number(device):
    """Sealing anew changes bytes (random salt), so it takes a new bundle id (and the same `device_seq`)."""
    device.send([transaction()], header={"device_seq": 1})
    line, bundle_id = transaction(), new_id()
    data = device.seal(bundle_id, [line], header={"device_seq": 2, "transactions": 7})
    device.upload(bundle_id, data)
    assert device.receipt_of(bundle_id)["state"] == "quarantined"
    for outcome in ("accepted", "duplicate"):
        assert device.send([line], header={"device_seq": 2})["counts"][outcome] == 1
    me = device.get("/v1/device")
    assert (me["device_seq"], me["gaps"]) == (2, [])


def test_archive_helper_makes_what_the_contract_asks_for(device):
    bundle_id = new_id()
    entry = device.entry(bundle_id, [transaction()])
    device.upload(bundle_id, archive(device.password(bundle_id), entry.rstrip(b"\n")))
    assert device.receipt_of(bundle_id)["counts"]["accepted"] == 1


@pytest.mark.parametrize("field", ["Content-Digest", "Repr-Digest"])
def test_digests_are_checked_wherever_they_are_sent(device, field):
    device.send([transaction()])
    for call, body in (
        ("/v1/receipts/confirm", b'{"through":1}'),
        ("/v1/bundles", b'{"bundle_id":"%s","parts":[{"size":1,"sha256":"%s"}]}' % (
            new_id().encode(), b"0" * 64)),
    ):
        def send(digest):
            return device.http.post(device.base + call, data=body, timeout=30, headers={
                "Content-Type": "application/json", field: digest})

        def digest_of(content):
            value = base64.b64encode(hashlib.sha256(content).digest()).decode()
            return f"sha-256=:{value}:"

        assert refusal(send(digest_of(body + b" "))) == (422, "digest_mismatch")
        assert refusal(send("nonsense")) == (400, "invalid_request")
        assert send(digest_of(body)).status_code in (201, 204)

import base64
import hashlib
import uuid

import pytest
import requests

from stranger import Device, Refused, enroll, transaction


def test_enrolment_tells_everything_once(server, tenant):
    answer = enroll(server.device_url, server.codes(tenant)[0], "tablet 7")
    device = Device(answer)
    assert answer["tenant"] == tenant
    assert len(device.secret) == 32
    assert answer["epoch"] == 1
    assert answer["server_time"].endswith("Z")
    assert answer["limits"]["record_bytes_max"] == 1 << 20
    assert answer["base_url"] == server.device_url.removesuffix("/v1") + "/v1"
    me = device.get("/v1/device")
    assert me["device_id"] == device.id and me["tenant"] == tenant and me["epoch"] == 1
    assert me["last"] == 0 and me["confirmed"] == 0 and me["safe_through"] == 0
    assert me["gaps"] == [] and "device_seq" not in me
    assert me["limits"] == answer["limits"] and me["server_time"] >= answer["server_time"]
    assert len({enroll(server.device_url, code)["secret"] for code in server.codes(tenant, 3)}) == 3


def test_a_wrong_digest_does_not_use_up_the_code(server, tenant):
    code = server.codes(tenant)[0]
    body = ('{"code":"%s","name":"x"}' % code).encode()
    for field in ("Content-Digest", "Repr-Digest"):
        value = base64.b64encode(hashlib.sha256(body + b" ").digest()).decode()
        answer = requests.post(
            server.device_url + "/v1/enrollments", data=body, timeout=30,
            headers={"Content-Type": "application/json", field: f"sha-256=:{value}:"})
        assert (answer.status_code, answer.json()["code"]) == (422, "digest_mismatch")
    enroll(server.device_url, code)


def test_a_request_id_is_a_promise_until_the_first_authenticated_request_only(server, tenant):
    """The first authenticated request counts, whatever it asks for; a code without a request_id works once."""
    code, request_id = server.codes(tenant)[0], str(uuid.uuid4())
    devices = {enroll(server.device_url, code, request_id=request_id)["device_id"] for _ in range(3)}
    assert len(devices) == 1
    last = enroll(server.device_url, code, request_id=request_id)
    assert Device(last).http.get(
        server.device_url + "/v1/nothing", timeout=30,
        headers={"Authorization": f"Bearer {last['token']}"}).status_code == 404
    assert Device(last).get("/v1/receipts")["receipts"] == []
    with pytest.raises(Refused) as refused:
        enroll(server.device_url, code, request_id=request_id)
    assert (refused.value.status, refused.value.code) == (403, "code_invalid")


def test_a_wrong_code_is_refused(server):
    with pytest.raises(Refused) as refused:
        enroll(server.device_url, "no-such-code")
    assert (refused.value.status, refused.value.code) == (403, "code_invalid")
    assert refused.value.media_type == "application/problem+json"
    assert refused.value.problem["retryable"] is False


def test_a_code_works_once(server, tenant):
    code = server.codes(tenant)[0]
    enroll(server.device_url, code)
    with pytest.raises(Refused) as refused:
        enroll(server.device_url, code)
    assert refused.value.code == "code_invalid"


def test_a_lost_answer_costs_nothing_until_the_first_authenticated_request(server, tenant):
    code, request_id = server.codes(tenant)[0], str(uuid.uuid4())
    lost = enroll(server.device_url, code, request_id=request_id)
    again = enroll(server.device_url, code, request_id=request_id)
    assert again["device_id"] == lost["device_id"]
    assert again["token"] != lost["token"] and again["secret"] != lost["secret"]
    with pytest.raises(Refused) as stale:
        Device(lost).get("/v1/device")
    assert stale.value.status == 401
    device = Device(again)
    assert device.send([transaction()])["counts"]["accepted"] == 1
    with pytest.raises(Refused) as refused:
        enroll(server.device_url, code, request_id=request_id)
    assert refused.value.code == "code_invalid"


def test_another_request_id_does_not_get_the_device(server, tenant):
    code = server.codes(tenant)[0]
    enroll(server.device_url, code, request_id=str(uuid.uuid4()))
    with pytest.raises(Refused) as refused:
        enroll(server.device_url, code, request_id=str(uuid.uuid4()))
    assert refused.value.code == "code_invalid"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"code":7}', b'{"name":"x"}'])
def test_a_body_that_is_no_enrolment_is_400(server, body):
    answer = requests.post(
        server.device_url + "/v1/enrollments", data=body, timeout=30,
        headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_request"


def test_no_token_a_wrong_token_and_a_revoked_one_get_the_same_answer(server, device):
    def answer(headers):
        response = requests.get(device.base + "/v1/device", headers=headers, timeout=30)
        return response.status_code, response.json()

    good = {"Authorization": f"Bearer {device.token}"}
    assert answer(good)[0] == 200
    missing = answer({})
    wrong = answer({"Authorization": "Bearer AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"})
    server.command("device", "revoke", device.id)
    revoked = answer(good)
    assert missing[0] == wrong[0] == revoked[0] == 401
    assert missing[1] == wrong[1] == revoked[1]
    assert missing[1]["code"] == "unauthorized"

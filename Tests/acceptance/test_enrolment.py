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
    me = device.get("/v1/device")
    assert me["device_id"] == device.id and me["tenant"] == tenant and me["epoch"] == 1
    assert me["last"] == 0 and me["confirmed"] == 0 and me["safe_through"] == 0
    assert me["gaps"] == []


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

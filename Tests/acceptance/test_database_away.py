"""PostgreSQL goes away and comes back; devices hardly notice."""

import signal

import pytest
import requests

from server import Postgres, Server
from stranger import Refused, enroll, new_id, transaction


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    postgres = Postgres()
    server = Server(
        tmp_path_factory.mktemp("away") / "data", "--database-url", postgres.url).start()
    yield server, postgres
    if server.is_running:
        server.stop()
    postgres.signal_all(signal.SIGCONT)
    postgres.stop("fast")
    postgres.remove()


def upload(device, count):
    sent = []
    for _ in range(count):
        bundle_id = new_id()
        response = device.upload_raw(device.seal(bundle_id, [transaction()]), bundle_id)
        assert response.status_code == 202, response.text
        assert response.json()["state"] in ("queued", "processing")
        sent.append(bundle_id)
    return sent


def test_uploads_go_on_and_settle_later(world):
    server, postgres = world
    tenant = server.create_tenant("acme")
    device = server.new_device(tenant)
    code = server.codes(tenant)[0]
    device.send([transaction()])
    postgres.stop()
    try:
        sent = upload(device, 10)
        assert device.status(sent[-1])["state"] in ("queued", "processing")
        for call in (
            lambda: device.page(),
            lambda: device.confirm(1),
            lambda: enroll(server.device_url, code),
            lambda: device.status(new_id()),
        ):
            with pytest.raises(Refused) as refused:
                call()
            assert (refused.value.status, refused.value.code) == (503, "database_unavailable")
            assert refused.value.problem["retryable"] is True
        unknown = requests.get(
            device.base + "/v1/device", timeout=60,
            headers={"Authorization": "Bearer AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"})
        assert (unknown.status_code, unknown.json()["code"]) == (503, "database_unavailable")
        assert requests.get(server.admin_url + "/livez", timeout=30).status_code == 200
    finally:
        postgres.start()
    for bundle_id in sent:
        assert device.receipt_of(bundle_id, seconds=120)["counts"]["accepted"] == 1
    assert server.row_count(tenant) == 11
    enroll(server.device_url, code)


def test_a_restart_without_the_database_keeps_the_backlog(world):
    server, postgres = world
    tenant = server.create_tenant("beta")
    device = server.new_device(tenant)
    device.send([transaction()])
    postgres.stop()
    try:
        sent = upload(device, 5)
        server.kill()
        server.start()
        sent += upload(device, 5)
    finally:
        postgres.start()
    for bundle_id in sent:
        assert device.receipt_of(bundle_id, seconds=120)["counts"]["accepted"] == 1
    assert server.row_count(tenant) == 11


def test_a_frozen_database_delays_and_loses_nothing(world):
    server, postgres = world
    tenant = server.create_tenant("gamma")
    device = server.new_device(tenant)
    device.send([transaction()])
    postgres.signal_all(signal.SIGSTOP)
    try:
        sent = upload(device, 10)
    finally:
        postgres.signal_all(signal.SIGCONT)
    for bundle_id in sent:
        assert device.receipt_of(bundle_id, seconds=180)["counts"]["accepted"] == 1
    assert server.row_count(tenant) == 11

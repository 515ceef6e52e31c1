"""PostgreSQL goes away and comes back; devices hardly notice."""

import os
import pathlib
import re
import signal
import time

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


def test_a_private_database_that_dies_is_started_again(tmp_path):
    """Nobody else would: it is the server's own."""
    server = Server(tmp_path / "data").start()
    try:
        tenant = server.create_tenant("delta")
        device = server.new_device(tenant)
        device.send([transaction()])
        for round_number in range(2):
            old = private_postmaster(server)
            for process in [old, *children(old)]:
                os.kill(process, signal.SIGKILL)
            sent = upload(device, 5)
            wait_until_readable(device)
            for bundle_id in sent:
                assert device.receipt_of(bundle_id, seconds=120)["counts"]["accepted"] == 1
            assert private_postmaster(server) != old
            assert server.row_count(tenant) == 1 + 5 * (round_number + 1)
    finally:
        assert server.stop() == 0
    assert private_postmaster(server) is None


def test_a_server_stops_in_order_when_its_database_is_dead(tmp_path):
    server = Server(tmp_path / "data").start()
    old = private_postmaster(server)
    for process in [old, *children(old)]:
        os.kill(process, signal.SIGKILL)
    assert server.stop() == 0
    assert private_postmaster(server) is None
    server.start()
    assert server.stop() == 0


def wait_until_readable(device, seconds=60):
    deadline = time.monotonic() + seconds
    while True:
        try:
            return device.page()
        except Refused as refused:
            assert refused.code == "database_unavailable" and time.monotonic() < deadline
            time.sleep(0.1)


def private_postmaster(server):
    """The number of the private PostgreSQL's first process; None where no such process is there."""
    folder = pathlib.Path(server.data, "postgres")
    location = folder / "LOCATION"
    if location.exists():
        folder = pathlib.Path(location.read_text().strip())
    try:
        number = int((folder / "cluster" / "postmaster.pid").read_text().split()[0])
        command = pathlib.Path(f"/proc/{number}/cmdline").read_text()
    except FileNotFoundError:
        return None
    return number if str(folder) in command else None


def children(parent):
    found = []
    for status in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            text = status.read_text()
        except OSError:
            continue
        match = re.match(r"(\d+) \(.*\) \S (\d+)", text)
        if match and int(match[2]) == parent:
            found.append(int(match[1]))
    return found

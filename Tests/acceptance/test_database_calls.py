"""CONTRACT.md, "When PostgreSQL is away", call by call: while it is stopped, while it is frozen, and while the network
swallows every packet."""

import json
import signal
import socket
import threading
import time

import pytest
import requests

from server import Postgres, Server, free_port
from stranger import Refused, enroll, new_id, transaction
from test_receipt_stream import Stream

MODES = ("stopped", "frozen", "swallowed")
STRANGER = {"Authorization": "Bearer AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}
# A call's own five seconds, and a slow machine.
SECONDS_MAX = 15


class Wire:
    """A TCP port in front of PostgreSQL's Unix socket that can stop passing anything on."""

    def __init__(self, path):
        self.path = path
        self.port = free_port()
        self.passing = threading.Event()
        self.passing.set()
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.join, args=(client,), daemon=True).start()

    def join(self, client):
        self.passing.wait()
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(self.path)
        except OSError:
            client.close()
            return
        for source, target in ((client, server), (server, client)):
            threading.Thread(target=self.copy, args=(source, target), daemon=True).start()

    def copy(self, source, target):
        try:
            while data := source.recv(65536):
                self.passing.wait()
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class World:
    def __init__(self, directory):
        self.postgres = Postgres()
        self.wire = Wire(self.postgres.directory + "/.s.PGSQL.5432")
        self.server = Server(
            directory / "data", "--database-url",
            f"postgresql://waybill@127.0.0.1:{self.wire.port}/waybill").start()

    def take_away(self, mode):
        if mode == "stopped":
            self.postgres.stop()
        elif mode == "frozen":
            self.postgres.signal_all(signal.SIGSTOP)
        else:
            self.wire.passing.clear()

    def bring_back(self, mode):
        if mode == "stopped":
            self.postgres.start()
        elif mode == "frozen":
            self.postgres.signal_all(signal.SIGCONT)
        else:
            self.wire.passing.set()

    def remove(self):
        self.wire.passing.set()
        if self.server.is_running:
            self.server.stop()
        self.postgres.stop("fast")
        self.postgres.remove()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("calls"))
    yield world
    world.remove()


def upload(device, bundle_id=None, data=None):
    bundle_id = bundle_id or new_id()
    data = data or device.seal(bundle_id, [transaction()])
    answer = device.upload_raw(data, bundle_id)
    assert answer.status_code == 202, answer.text
    return bundle_id, answer.json()


def unavailable(response):
    assert response.status_code == 503, response.text
    problem = response.json()
    assert problem["code"] == "database_unavailable" and problem["retryable"] is True
    assert int(response.headers["Retry-After"]) >= 1


def until_back(device):
    """What a device does: it tries again while the answer is 503."""
    until = time.monotonic() + 60
    while True:
        try:
            return device.page()
        except Refused as refused:
            assert refused.code == "database_unavailable" and time.monotonic() < until


@pytest.mark.parametrize("mode", MODES)
def test_call_by_call(world, mode):
    server = world.server
    tenant = server.create_tenant(f"calls-{mode}")
    device, watcher = server.new_device(tenant), server.new_device(tenant)
    code = server.codes(tenant)[0]
    settled = new_id()
    settled_data = device.seal(settled, [transaction()])
    upload(device, settled, settled_data)
    device.receipt_of(settled)
    stream = Stream(watcher)
    keys = requests.get(device.base + "/.well-known/waybill-keys.json", timeout=30).json()
    base, fields = device.base, {"Authorization": f"Bearer {device.token}"}

    def get(path, headers=fields):
        return requests.get(base + path, headers=headers, timeout=60)

    rows = {
        "unknown tokens": lambda: get("/v1/device", STRANGER),
        "unknown tokens, uploading": lambda: requests.post(
            base + "/v1/bundles", data=b"x", timeout=60,
            headers={**STRANGER, "Content-Type": "application/zip", "Idempotency-Key": new_id()}),
        "enrolment": lambda: requests.post(
            base + "/v1/enrollments", json={"code": code, "name": "x"}, timeout=60),
        "receipts": lambda: get("/v1/receipts"),
        "receipts, waiting": lambda: get("/v1/receipts?wait=30&after=1"),
        "receipts as events": lambda: get(
            "/v1/receipts", {**fields, "Accept": "text/event-stream"}),
        "confirm": lambda: requests.post(
            base + "/v1/receipts/confirm", json={"through": 1}, headers=fields, timeout=60),
        "status of bundles not on this server": lambda: get(f"/v1/bundles/{new_id()}"),
        "device": lambda: get("/v1/device"),
    }
    world.take_away(mode)
    try:
        began = time.monotonic()
        # Uploads of known devices are received as ever.
        bundle, status = upload(device)
        assert status["state"] in ("queued", "processing")
        assert device.status(bundle)["state"] in ("queued", "processing")
        # A bundle that was settled before and is sent again is taken; other bytes are not.
        _, status = upload(device, settled, settled_data)
        assert status["state"] in ("queued", "processing") and status["receipt"] is None
        other = device.upload_raw(device.seal(settled, [transaction()]), settled)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_conflict")
        watched, _ = upload(watcher)
        assert time.monotonic() - began < SECONDS_MAX, "uploads wait for the database"
        for name, call in rows.items():
            began = time.monotonic()
            unavailable(call())
            assert time.monotonic() - began < SECONDS_MAX, name
        again = requests.get(base + "/.well-known/waybill-keys.json", timeout=30).json()
        assert again == keys
    finally:
        world.bring_back(mode)
    until_back(device)
    assert device.receipt_of(bundle, seconds=120)["counts"]["accepted"] == 1
    # It was resolved at settling: no second receipt.
    assert len(device.receipts[settled]) == 1 and device.last == 2
    # The stream has survived.
    event = stream.take(1)[0]
    assert json.loads(event[2])["bundle_id"] == watched
    stream.close()
    enroll(server.device_url, code)


def test_a_device_is_known_after_a_crash_right_after_its_enrolment(world):
    """Its enrolment was answered, the process was killed, the database is dead."""
    server = world.server
    tenant = server.create_tenant("crash")
    code = server.codes(tenant)[0]
    known = server.new_device(tenant)
    revoked = server.new_device(tenant)
    server.command("device", "revoke", revoked.id)
    device = server.new_device(tenant)
    server.kill()
    world.postgres.stop()
    try:
        server.start()
        sent = [(one, upload(one)[0]) for one in (device, known)]
        # Revoked is revoked, also without a database.
        answer = revoked.http.get(revoked.base + "/v1/device", timeout=30)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
        with pytest.raises(Refused) as refused:
            enroll(server.device_url, code)
        assert refused.value.code == "database_unavailable"
    finally:
        world.postgres.start()
    for one, bundle in sent:
        assert one.receipt_of(bundle, seconds=120)["counts"]["accepted"] == 1


def test_two_nodes_learn_from_each_other_at_once(world, tmp_path):
    """Receipts, enrolment, rotation and revocation, over one database."""
    first = world.server
    keys = [
        "--set", f"root-key-file={first.data}/keys/root.key"]
    second = Server(
        tmp_path / "second", "--database-url",
        f"postgresql://waybill@127.0.0.1:{world.wire.port}/waybill", *keys).start()
    try:
        tenant = first.create_tenant("nodes")
        device = first.new_device(tenant)
        url = second.device_url
        headers = {"Authorization": f"Bearer {device.token}"}
        assert requests.get(url + "/v1/device", headers=headers, timeout=30).status_code == 200
        answers = []

        def poll():
            answers.append((requests.get(
                url + "/v1/receipts?wait=60", headers=headers, timeout=90), time.monotonic()))

        poller = threading.Thread(target=poll)
        poller.start()
        bundle, _ = upload(device)
        device.receipt_of(bundle)
        settled = time.monotonic()
        poller.join(60)
        assert answers[0][0].json()["receipts"][0]["bundle_id"] == bundle
        assert answers[0][1] - settled < 5
        first.command("device", "revoke", device.id)
        until = time.monotonic() + 5
        while requests.get(url + "/v1/device", headers=headers, timeout=30).status_code != 401:
            assert time.monotonic() < until, "the other node has not heard of it"
    finally:
        second.stop()

"""Damage in the queue's log: what is lost is named, its device hears of it, the rest goes on."""

import glob
import json
import os
import time

import pytest

from server import Server
from stranger import new_id, transaction


@pytest.fixture
def closed(tmp_path):
    """A server with four bundles of two devices in a closed segment of its log, and no listener."""
    server = Server(tmp_path / "data", "--set", "listeners=0").start()
    tenant = server.create_tenant("acme")
    devices = [server.new_device(tenant) for _ in range(2)]
    sent = []
    for number in range(4):
        device, bundle_id = devices[number % 2], new_id()
        device.upload(bundle_id, device.seal(bundle_id, [transaction({"n": number})]))
        sent.append((device, bundle_id))
    server.stop()
    server.start()
    deadline = time.monotonic() + 30
    while not glob.glob(server.data + "/log/*.idx"):
        assert time.monotonic() < deadline, "a closed segment gets an index"
        time.sleep(0.02)
    yield server, sent
    if server.is_running:
        server.stop()


def verify(server):
    """Exit code and document of `waybill queue verify`."""
    result = server.command("queue", "verify", "--output", "json", check=False)
    return result.returncode, json.loads(result.stdout)


def settle(server):
    server.command("listeners", "set", "1")
    deadline = time.monotonic() + 30
    while server.json("queue", "status")["depth"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def named(report):
    return {(lost["device_id"], lost["bundle_id"]) for lost in report["lost_bundles"]}


def test_case_08_a_flipped_bit_is_found_named_and_told_and_nothing_else_is_lost(closed):
    server, sent = closed
    code, report = verify(server)
    assert code == 0 and report["faults"] == [] and report["records"] == 4 and report["lost"] == 0
    device, bundle_id = sent[1]
    with open(min(glob.glob(server.data + "/log/*.seg")), "r+b") as segment:
        content = segment.read()
        second = content.index(b"WREC", content.index(b"WREC", content.index(b"WREC") + 4) + 4)
        segment.seek(second + 100)
        segment.write(bytes([content[second + 100] ^ 0x10]))
    code, report = verify(server)
    assert code == 2 and len(report["faults"]) == 1 and report["lost"] == 1
    assert named(report) == {(device.id, bundle_id)}
    assert report["lost_bundles"][0]["sequence"] > 0
    status = server.json("queue", "status")
    assert status["depth"] == 3 and status["lost"] == 1 and named(status) == named(report)
    assert bundle_id in server.command("queue", "status").stdout
    for known in bundle_id, device.id:
        found = [f for f in server.json("trace", known)["findings"] if f["state"] == "lost"]
        assert [f["bundle_id"] for f in found] == [bundle_id]
        assert found[0]["events"][-1]["what"] == "bundle.lost"
    assert device.status(bundle_id)["state"] == "lost"
    settle(server)
    # Lost until it is sent again, however often the server starts.
    server.kill()
    server.start()
    assert named(server.json("queue", "status")) == {(device.id, bundle_id)}
    device.upload(bundle_id, device.seal(bundle_id, [transaction({"n": 1})]))
    for device, bundle_id in sent:
        assert device.receipt_of(bundle_id)["state"] == "settled"
    assert server.json("queue", "status")["lost"] == 0


def test_case_10_bundles_of_a_segment_that_is_gone_are_named_at_the_start(closed):
    server, sent = closed
    server.stop()
    os.remove(min(glob.glob(server.data + "/log/*.seg")))
    server.start()
    status = server.json("queue", "status")
    assert status["depth"] == 0 and status["lost"] == 4
    assert status["fault_count"] == len(status["faults"]) == 1
    assert "damaged: " + status["faults"][0] in server.command("queue", "status").stdout
    assert named(status) == {(device.id, bundle_id) for device, bundle_id in sent}
    server.kill()
    server.start()
    assert named(server.json("queue", "status")) == named(status)
    server.command("listeners", "set", "1")
    for device, bundle_id in sent:
        assert device.status(bundle_id)["state"] == "lost"
        device.upload(bundle_id, device.seal(bundle_id, [transaction()]))
        assert device.receipt_of(bundle_id)["state"] == "settled"
    assert verify(server)[1]["lost"] == 0

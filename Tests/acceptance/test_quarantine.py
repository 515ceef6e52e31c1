"""Bundles that cannot be processed, and copies that were damaged: what the device is told."""

import base64
import glob
import os
import time

import pytest

from server import Server
from stranger import Refused, bundle_sha256, new_id, transaction


def depth(server):
    return server.json("queue", "status")["depth"]


def test_a_bundle_sealed_with_another_secret_gets_a_receipt_and_the_next_goes_on(server, device):
    """wrong password: Q; its bytes kept as a dead letter."""
    before = server.json("queue", "status")["dead_letters"]
    secret, device.secret = device.secret, bytes(32)
    bad = new_id()
    sealed = device.seal(bad, [transaction()])
    device.secret = secret
    device.upload(bad, sealed)
    good = device.send([transaction()])
    receipt = device.receipt_of(bad)
    assert receipt["state"] == "quarantined" and receipt["code"] == "cannot_open"
    assert receipt["bundle_sha256"] == bundle_sha256(sealed)
    assert not receipt["exceptions"] and "counts" not in receipt
    assert good["seq"] == receipt["seq"] + 1 and good["state"] == "settled"
    assert server.json("queue", "status")["dead_letters"] == before + 1
    # The same bytes again: the status as of now, and no second receipt.
    status = device.upload(bad, sealed)
    assert status["state"] == "quarantined" and status["receipt"]["seq"] == receipt["seq"]


def test_an_epoch_that_is_not_open_is_cannot_open(device):
    # Another epoch's password, without the header: the open epochs are tried.
    other = new_id()
    password, device.epoch = device.epoch, 9
    sealed = device.seal(other, [transaction()])
    device.epoch = password
    device.upload(other, sealed)
    assert device.receipt_of(other)["code"] == "cannot_open"


@pytest.fixture
def still(tmp_path):
    """A server whose queue is not worked off, with one device."""
    server = Server(tmp_path / "data", "--set", "listeners=0").start()
    yield server, server.new_device(server.create_tenant("acme"))
    if server.is_running:
        server.stop()


def test_a_damaged_copy_is_lost_and_sent_again_as_new(still):
    """`lost`: the server found its copy damaged and says so; send it again."""
    server, device = still
    bundle_id = new_id()
    sealed = device.seal(bundle_id, [transaction()])
    device.upload(bundle_id, sealed)
    other = new_id()
    device.upload(other, device.seal(other, [transaction()]))
    flip_byte_of_first_bundle(server)
    server.command("listeners", "set", "1")
    assert device.receipt_of(other)["state"] == "settled"
    assert device.status(bundle_id)["state"] == "lost"
    with pytest.raises(Refused) as refused:
        checked_delete(device, bundle_id)
    assert refused.value.status == 404
    # Other bytes are as new, too: nothing is left of the first ones.
    again = device.seal(bundle_id, [transaction(), transaction()])
    assert device.upload(bundle_id, again)["state"] in ("queued", "processing", "settled")
    receipt = device.receipt_of(bundle_id)
    assert receipt["bundle_sha256"] == bundle_sha256(again)
    assert receipt["counts"]["accepted"] == 2
    while device.collect():
        pass
    assert [len(receipts) for receipts in device.receipts.values()] == [1, 1]


def flip(path):
    with open(path, "r+b") as part:
        part.seek(os.path.getsize(path) // 2)
        byte = part.read(1)[0]
        part.seek(-1, os.SEEK_CUR)
        part.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("harm", [flip, os.remove])
def test_a_part_file_that_is_damaged_or_gone_is_lost_and_sent_again_as_new(still, harm):
    """`lost` for files as for the log: no receipt calls sound bytes bad, and nobody else waits."""
    server, device = still
    bundle_id = new_id()
    texts = [base64.b64encode(os.urandom(1500)).decode() for _ in range(300)]
    sealed = device.seal(bundle_id, [transaction({"text": text}) for text in texts])
    assert len(sealed) > 256 << 10
    device.upload(bundle_id, sealed)
    part, = glob.glob(server.data + "/parts/*.part")
    harm(part)
    behind = new_id()
    device.upload(behind, device.seal(behind, [transaction()]))
    server.command("listeners", "set", "1")
    assert device.receipt_of(behind)["seq"] == 1
    assert device.status(bundle_id)["state"] == "lost"
    assert server.json("queue", "status")["dead_letters"] == 0
    assert device.upload(bundle_id, sealed)["state"] in ("queued", "processing", "settled")
    receipt = device.receipt_of(bundle_id)
    assert (receipt["state"], receipt["seq"]) == ("settled", 2)
    assert receipt["bundle_sha256"] == bundle_sha256(sealed)


def checked_delete(device, bundle_id):
    response = device.http.delete(f"{device.base}/v1/bundles/{bundle_id}", timeout=30)
    if response.status_code >= 300:
        raise Refused(response)


def flip_byte_of_first_bundle(server):
    """In the payload of the log's first record of type 1; see OnDiskFormat, "Record"."""
    path = sorted(glob.glob(server.data + "/log/*.seg"))[-1]
    with open(path, "r+b") as segment:
        content = segment.read()
        place = 8192
        while int.from_bytes(content[place + 24:place + 26], "little") != 1:
            assert content[place:place + 4] == b"WREC"
            place += 48 + int.from_bytes(content[place + 4:place + 8], "little")
        segment.seek(place + 40)
        segment.write(bytes([content[place + 40] ^ 1]))


def test_kill_9_while_bundles_are_opened_loses_and_spoils_nothing(still):
    """Attempts survive a crash; only errors of the bundle itself count."""
    server, device = still
    lines = [transaction({"n": n, "text": "x" * 500}) for n in range(4000)]
    bundles = []
    for _ in range(3):
        bundle_id = new_id()
        device.upload(bundle_id, device.seal(bundle_id, lines))
        bundles.append(bundle_id)
        lines = [transaction({"n": n, "text": "y" * 500}) for n in range(4000)]
    for _ in range(3):
        server.command("listeners", "set", "2")
        until = time.monotonic() + 30
        while device.status(bundles[-1])["state"] == "queued" and time.monotonic() < until:
            if any(device.status(bundle)["state"] == "processing" for bundle in bundles):
                break
        server.kill()
        server.start()
    server.command("listeners", "set", "2")
    for bundle_id in bundles:
        receipt = device.receipt_of(bundle_id, seconds=120)
        assert receipt["state"] == "settled" and receipt["counts"]["accepted"] == 4000, receipt
    assert server.json("queue", "status")["dead_letters"] == 0

"""CONTRACT.md: "`safe_through` is the receipt number covered by the operator's backup policy; without one it
equals `last`. A `last` below the device's own highest number means that the server was restored from a backup:
send again everything above `last`." """

import os
import shutil
import subprocess

import pytest

from server import Postgres, Server
from stranger import new_id, transaction


@pytest.fixture
def world(tmp_path):
    postgres = Postgres()
    server = Server(
        tmp_path / "data", "--database-url", postgres.url, "--set",
        "backup-policy=recorded").start()
    yield server, postgres
    if server.is_running:
        server.stop()
    postgres.stop("fast")
    postgres.remove()


def safe(device):
    me, page = device.get("/v1/device"), device.page()
    assert (me["last"], me["safe_through"]) == (page["last"], page["safe_through"])
    return page["safe_through"]


def test_safe_through_follows_complete_backups(world):
    server, _ = world
    device = server.new_device(server.create_tenant("acme"))
    for _ in range(2):
        device.send([transaction()])
    assert safe(device) == 0
    backup = server.command("backup", "begin").stdout.strip()
    device.send([transaction()])
    assert safe(device) == 0
    server.command("backup", "complete", backup)
    assert safe(device) == 2
    assert [b["id"] for b in server.json("backup", "list")] == [int(backup)]
    unknown = server.admin("POST", "/admin/v1/backups/77/complete")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")


def test_a_server_restored_from_a_backup_takes_everything_above_last_again(world):
    server, postgres = world
    device = server.new_device(server.create_tenant("acme"))
    sent = []

    def send():
        bundle = new_id()
        data = device.seal(bundle, [transaction()])
        device.upload(bundle, data)
        device.receipt_of(bundle)
        sent.append((bundle, data))

    send()
    backup = server.command("backup", "begin").stdout.strip()
    postgres.stop("fast")
    copy = postgres.directory + "/copy"
    shutil.copytree(postgres.data, copy)
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", f"{postgres.user}:", copy], check=True)
    postgres.start()
    server.command("backup", "complete", backup)
    send()
    send()
    assert device.page()["last"] == 3 and safe(device) == 1

    server.kill()
    postgres.stop("fast")
    shutil.rmtree(postgres.data)
    shutil.move(copy, postgres.data)
    # The queue remembers the bundles as settled; the database, which holds the receipts, is right.
    postgres.start()
    server.start()
    assert device.page(after=3) == {"receipts": [], "last": 1, "safe_through": safe(device)}
    device.last = 1
    device.last_hash = device.page()["receipts"][0]["hash"]
    device.receipts = {}
    for bundle, data in sent[1:]:
        assert device.upload_raw(data, bundle).status_code == 202
    for number, (bundle, _) in enumerate(sent[1:], 2):
        receipt = device.receipt_of(bundle)
        assert receipt["seq"] == number and receipt["counts"]["accepted"] == 1

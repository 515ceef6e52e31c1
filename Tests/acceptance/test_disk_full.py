"""A full disk: 507, nothing acknowledged is lost, settling goes on, and so does receiving after it."""

import os
import secrets
import subprocess
import time

import pytest

from server import Postgres, Server
from stranger import new_id, transaction


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", str(folder)],
        capture_output=True).returncode == 0
    if not mounted:
        pytest.skip("a file system of a known size can be mounted by root only")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("floor", ["auto", "0"])
def test_case_16_a_full_disk_refuses_and_goes_on_settling(small_disk, floor):
    """Under the floor, and without one: when there really is no room left."""
    postgres = Postgres()
    server = Server(
        small_disk / "data", "--database-url", postgres.url, "--set", "listeners=0",
        "--set", f"disk-free-floor={floor}", "--set", "rate-requests=0").start()
    try:
        tenant = server.create_tenant("acme")
        device = server.new_device(tenant)
        sent, refused = [], 0
        while refused < 5:
            large = len(sent) % 2 == 0
            line = {**transaction(), "payload": secrets.token_hex(450_000 if large else 60_000)}
            answer = device.upload_raw(device.seal(bundle_id := new_id(), [line]), bundle_id)
            if answer.status_code == 202:
                sent.append(bundle_id)
                assert len(sent) < 1000, "the disk does not fill"
                continue
            assert (answer.status_code, answer.json()["code"]) == (507, "disk_full")
            assert answer.json()["retryable"] is True and int(answer.headers["Retry-After"]) > 0
            refused += 1
        server.command("listeners", "set", "2")
        deadline = time.monotonic() + 120
        while server.json("queue", "status")["depth"] > 0:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert server.row_count(tenant) == len(sent)
        assert device.send([transaction()])["counts"]["accepted"] == 1
        while os.listdir(small_disk / "data" / "parts"):
            assert time.monotonic() < deadline, "files of settled bundles stay"
            time.sleep(0.1)
    finally:
        assert server.stop() == 0
        postgres.stop("fast")
        postgres.remove()

"""CONTRACT.md, Command line: the commands as a table, JSON everywhere, data on standard output, exit codes."""

import json
import os
import subprocess

import pytest

from server import BINARY, Server, run
from stranger import checked, new_id, transaction
from test_dead_letters import until


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A server whose whole queue may be paused, with a tenant, a settled bundle and two dead letters."""
    server = Server(tmp_path_factory.mktemp("commands") / "data").start()
    device = server.new_device(server.create_tenant("acme"))
    bundle = device.send([transaction()])["bundle_id"]
    for _ in range(2):
        assert device.send([transaction()], header={"waybill": 2})["state"] == "quarantined"
    letters = checked(server.admin("GET", "/admin/v1/dead-letters")).json()["dead_letters"]
    server.names = {
        "device": device.id, "spare": server.new_device("acme").id, "bundle": bundle,
        "letter": letters[0]["id"], "other": letters[1]["id"]}
    yield server
    assert server.stop() == 0


ROWS = {
    "tenant create": ["tenant", "create", "other"],
    "tenant list": ["tenant", "list"],
    "device invite": ["device", "invite", "--tenant", "acme", "--count", 2],
    "device list": ["device", "list", "--tenant", "acme"],
    "device rotate": ["device", "rotate", "{spare}"],
    "device revoke": ["device", "revoke", "{spare}"],
    "listeners get": ["listeners", "get"],
    "listeners set": ["listeners", "set", 2],
    "listeners auto": ["listeners", "auto", "--min", 1, "--max", 4],
    "queue status": ["queue", "status"],
    "queue verify": ["queue", "verify"],
    "queue pause": ["queue", "pause"],
    "queue resume": ["queue", "resume"],
    "queue drain": ["queue", "drain"],
    "queue drain and wait": ["queue", "drain", "--wait"],
    "queue resume again": ["queue", "resume"],
    "dead-letters list": ["dead-letters", "list", "--tenant", "acme", "--code", "header_invalid"],
    "dead-letters show": ["dead-letters", "show", "{letter}"],
    "dead-letters retry": ["dead-letters", "retry", "{letter}"],
    "dead-letters discard": ["dead-letters", "discard", "{other}"],
    "dead-letters discard all": ["dead-letters", "discard", "--all", "--device", "{device}"],
    "trace bundle": ["trace", "{bundle}"],
    "trace device": ["trace", "{device}"],
    "audit tail": ["audit", "tail", "--limit", 1],
    "audit verify": ["audit", "verify"],
    "backup list": ["backup", "list"],
}


@pytest.mark.parametrize("row", ROWS)
def test_json_goes_to_standard_output_and_nothing_else(own, row):
    arguments = [str(word).format(**own.names) for word in ROWS[row]]
    result = own.command(*arguments, "--output", "json")
    json.loads(result.stdout)
    for line in result.stderr.splitlines():
        assert not line.startswith(("{", "[")), "progress, not data"


def test_the_members_that_the_contract_names(own):
    assert set(own.json("listeners", "get")) >= {"target", "running", "busy"}
    assert set(own.json("queue", "status")) >= {
        "depth", "leased", "oldest_age_seconds", "bytes", "dead_letters"}
    code, = own.json("device", "invite", "--tenant", "acme")
    assert set(code) >= {"code", "expires_at"}


def test_the_status_of_a_queue_counts_what_waits(tmp_path):
    server = Server(tmp_path / "data", "--set", "listeners=0").start()
    try:
        device = server.new_device(server.create_tenant("acme"))
        empty = server.json("queue", "status")
        assert (empty["depth"], empty["leased"], empty["dead_letters"]) == (0, 0, 0)
        good = device.seal(first := new_id(), [transaction()])
        device.upload(first, good)
        bad = device.seal(second := new_id(), [transaction()], header={"waybill": 2})
        device.upload(second, bad)
        full = server.json("queue", "status")
        assert (full["depth"], full["leased"], full["dead_letters"]) == (2, 0, 0)
        assert full["oldest_age_seconds"] > 0
        assert full["bytes"] >= empty["bytes"]
        told = server.json("listeners", "set", 3)
        assert told["target"] == 3
        device.receipt_of(second)
        now = until(lambda: (one := server.json("queue", "status"))["depth"] == 0 and one)
        assert (now["leased"], now["dead_letters"]) == (0, 1)
        until(lambda: server.json("listeners", "get")["running"] == 3)
    finally:
        assert server.stop() == 0


def test_the_number_of_listeners_goes_from_0_to_256(own):
    for target, code in ((0, 0), (256, 0), (257, 64), (-1, 64), ("x", 64), (2, 0)):
        result = own.command("listeners", "set", target, check=False)
        assert result.returncode == code, target
        if code == 0:
            assert own.json("listeners", "get")["target"] == target


def test_the_server_is_found_by_its_data_directory_which_is_waybill_data(own, tmp_path):
    os.symlink(own.data, tmp_path / "waybill-data")
    result = subprocess.run(
        [BINARY, "queue", "status", "--output", "json"], cwd=tmp_path, capture_output=True,
        text=True, timeout=60)
    assert result.returncode == 0 and "depth" in json.loads(result.stdout)
    # Or by URL and token, from anywhere.
    os.remove(tmp_path / "waybill-data")
    result = subprocess.run(
        [BINARY, "queue", "status", "--admin-url", own.admin_url, "--output", "json"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env={**os.environ, "WAYBILL_ADMIN_TOKEN": own.address["token"]})
    assert result.returncode == 0 and "depth" in json.loads(result.stdout)


def test_what_fails_exits_with_1_and_leaves_standard_output_to_data(own):
    for arguments in (
            ["tenant", "create", "acme"], ["device", "invite", "--tenant", "nobody"],
            ["device", "revoke", new_id()], ["device", "rotate", new_id()], ["trace", new_id()],
            ["dead-letters", "show", new_id()]):
        result = own.command(*arguments, check=False)
        assert (result.returncode, result.stdout) == (1, ""), arguments
        assert result.stderr.strip()


def test_status_of_the_server_and_one_listener(own):
    status = checked(own.admin("GET", "/admin/v1/status")).json()
    assert status["queue"]["depth"] == own.json("queue", "status")["depth"]
    own.command("listeners", "set", 2)
    assert checked(own.admin("GET", "/admin/v1/listeners/0")).json()["number"] == 0
    missing = own.admin("GET", "/admin/v1/listeners/256")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


@pytest.mark.slow
def test_the_demo_ends_with_a_table_and_nothing_missing(tmp_path):
    result = run(
        "demo", "--once", "--data-dir", tmp_path / "demo", "--output", "json", timeout=900)
    table = json.loads(result.stdout)
    assert table["missing"] == 0 and table["transactions"] > 0
    assert table["rows"] == table["accepted"] == table["transactions"]
    assert table["receipts_verified"] == table["bundles"]
    assert result.stderr, "progress"

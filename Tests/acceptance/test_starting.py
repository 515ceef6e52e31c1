"""How a server starts, refuses to start, and ends: keys, configuration, schema, addresses, SIGTERM."""

import json
import os
import pathlib
import secrets
import signal
import socket
import subprocess

import pytest
import requests

from raw import Raw
from server import Postgres, Server, run
from stranger import Device, enroll, new_id, transaction
from test_http_framing import head


@pytest.fixture
def postgres():
    postgres = Postgres()
    yield postgres
    postgres.stop("fast")
    postgres.remove()


@pytest.fixture
def stopped(tmp_path, postgres):
    """A server that has ended with a bundle in its queue, its device, and that bundle."""
    server = Server(
        tmp_path / "data", "--database-url", postgres.url, "--set", "listeners=0").start()
    device = server.new_device(server.create_tenant("acme"))
    bundle_id = new_id()
    device.upload(bundle_id, device.seal(bundle_id, [transaction()]))
    assert server.stop() == 0
    yield server, device, bundle_id
    if server.is_running:
        server.stop()


def refused(server):
    """How `serve` ends where it must not start: exit code and standard error; nothing on standard output."""
    result = run(
        "serve", "--data-dir", server.data, "--device-address", server.device_address,
        "--admin-address", server.admin_address, *server.options, check=False)
    assert result.stdout == ""
    return result.returncode, result.stderr


def with_a_listener(server):
    server.options = [word.replace("listeners=0", "listeners=1") for word in server.options]


def works_again(server, device, bundle_id):
    with_a_listener(server)
    server.start()
    assert device.receipt_of(bundle_id)["counts"]["accepted"] == 1


@pytest.mark.parametrize("name", ["master", "root"])
def test_a_key_file_that_others_may_read_is_refused_with_78(stopped, name):
    server, device, bundle_id = stopped
    key = pathlib.Path(server.data, "keys", name + ".key")
    assert key.stat().st_mode & 0o777 == 0o600
    key.chmod(0o644)
    code, text = refused(server)
    assert code == 78 and f"{name}.key" in text
    key.chmod(0o600)
    works_again(server, device, bundle_id)


def test_a_wrong_master_key_is_refused_with_78_and_touches_nothing(stopped):
    server, device, bundle_id = stopped
    key = pathlib.Path(server.data, "keys", "master.key")
    right = key.read_text()
    key.write_text(secrets.token_hex(32) + "\n")
    code, text = refused(server)
    assert code == 78 and "key" in text
    assert right.strip() not in text
    key.write_text(right)
    works_again(server, device, bundle_id)


def test_an_unknown_key_a_duplicate_and_a_value_out_of_range_are_all_named_78(tmp_path):
    """Configuration with an unknown key, a duplicate, a value out of range: all named, 78."""
    file = tmp_path / "waybill.conf"
    file.write_text("colour = red\nlisteners = 1\nlisteners = 2\nlisteners-max = 1000\n")
    wanted = ["colour", "line 3", "listeners-max", "part-ratio-max", "WAYBILL_COLOR"]
    for command in (["serve"], ["config", "check"]):
        result = run(
            *command, "--data-dir", tmp_path / "data", "--config", file, "--set",
            "part-ratio-max=0", environment={"WAYBILL_COLOR": "x"}, check=False)
        assert result.returncode == 78, command
        assert [word for word in wanted if word not in result.stderr] == [], result.stderr
    assert not (tmp_path / "data").exists(), "nothing was begun"


@pytest.mark.parametrize("command", [["serve"], ["config", "check"]])
def test_every_set_option_at_fault_is_named_78(tmp_path, command):
    """On the command line as in the file: an unknown key, a duplicate, a value out of range."""
    result = run(
        *command, "--data-dir", tmp_path / "data", "--set", "nope=1", "--set", "listeners=999",
        "--set", "listeners=3", "--set", "segment-bytes=4294967296", "--set", "rate-bytes=1",
        environment={"WAYBILL_DEAD_LETTER_RETENTION": "", "WAYBILL_MIGRATE": ""}, check=False)
    assert result.returncode == 78
    wanted = [
        "nope is not a setting", "listeners is set twice", "listeners (command line): must",
        "segment-bytes", "rate-bytes", "dead-letter-retention (environment): is empty",
        "migrate (environment): is empty"]
    assert [words for words in wanted if words not in result.stderr] == [], result.stderr
    assert not (tmp_path / "data").exists(), "nothing was begun"


def test_config_check_tells_values_with_their_origin_and_hides_secrets(tmp_path):
    told = {one["key"]: one for one in json.loads(run(
        "config", "check", "--output", "json", "--set", "listeners=7", "--database-url",
        "postgresql://u:cafebabe@h/d", environment={"WAYBILL_LOG_LEVEL": "debug"}).stdout)}
    assert (told["listeners"]["value"], told["listeners"]["origin"]) == ("7", "command line")
    assert (told["log-level"]["value"], told["log-level"]["origin"]) == ("debug", "environment")
    assert told["listeners-max"]["origin"] == "default"
    assert "cafebabe" not in json.dumps(told)


def test_serve_prints_one_line_with_both_addresses(tmp_path, postgres):
    server = Server(tmp_path / "data", "--database-url", postgres.url).start()
    server.process.send_signal(signal.SIGTERM)
    # `start` has read the one line and found both addresses in it.
    assert server.process.stdout.read() == ""
    assert server.process.wait(timeout=60) == 0


def test_the_schema_is_brought_up_to_date_by_migrate_and_not_with_no_migrate(tmp_path, postgres):
    server = Server(tmp_path / "data", "--database-url", postgres.url, "--no-migrate")
    code, text = refused(server)
    assert code != 0 and "schema" in text
    assert postgres.query("SELECT count(*) FROM pg_namespace WHERE nspname = 'waybill'") == "0"
    for _ in range(2):
        result = run("migrate", "--database-url", postgres.url, "--output", "json")
        assert result.stdout == '{"migrated":true}\n'
    server.start()
    try:
        device = server.new_device(server.create_tenant("acme"))
        assert device.send([transaction()])["counts"]["accepted"] == 1
    finally:
        assert server.stop() == 0
    assert run("migrate", check=False).returncode == 78, "without a database"


@pytest.fixture
def migrating(postgres):
    """The lock that a program holds while it migrates, until the process ends."""
    psql = subprocess.Popen(
        [f"{postgres.binaries}/psql", "-X", "-A", "-t", "-q", postgres.url],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    psql.stdin.write(f"SELECT pg_advisory_lock({0x77617962696c6c01}), 'held';\n")
    psql.stdin.flush()
    assert "held" in psql.stdout.readline()
    yield psql
    psql.stdin.close()
    psql.wait()


def test_a_migration_elsewhere_does_not_keep_a_migrated_server_from_anything(
        stopped, migrating):
    works_again(*stopped)


def test_bundles_are_received_while_the_schema_waits_for_a_migration_elsewhere(
        stopped, postgres, request):
    """PostgreSQL is not on the way in."""
    server, device, bundle_id = stopped
    last = postgres.query("SELECT max(version) FROM waybill.schema_migrations")
    row = postgres.query(
        "DELETE FROM waybill.schema_migrations WHERE version = (SELECT max(version) FROM "
        "waybill.schema_migrations) RETURNING version, name, encode(checksum, 'hex')")
    psql = request.getfixturevalue("migrating")
    with_a_listener(server)
    server.start()
    assert requests.get(server.admin_url + "/livez", timeout=30).status_code == 200
    assert requests.get(server.admin_url + "/readyz", timeout=30).status_code == 200
    assert requests.get(server.admin_url + "/startupz", timeout=30).status_code == 503
    other = new_id()
    device.upload(other, device.seal(other, [transaction()]))
    version, name, checksum = row.split("|")
    assert version == last
    postgres.query(
        "INSERT INTO waybill.schema_migrations (version, name, checksum) VALUES "
        f"({version}, '{name}', decode('{checksum}', 'hex'))")
    psql.stdin.close()
    assert device.receipt_of(other)["counts"]["accepted"] == 1
    assert device.receipt_of(bundle_id)["counts"]["accepted"] == 1
    assert requests.get(server.admin_url + "/startupz", timeout=30).status_code == 200


def test_all_urls_begin_with_the_public_url(tmp_path, postgres):
    public = "https://waybill.example.org/api"
    server = Server(
        tmp_path / "data", "--database-url", postgres.url, "--public-url", public + "/")
    server.announced = public
    server.start()
    try:
        code = server.codes(server.create_tenant("acme"))[0]
        answer = enroll(f"http://{server.device_address}", code)
        assert answer["base_url"] == public + "/v1"
        device = Device(answer)
        device.base = f"http://{server.device_address}"
        bundle_id = new_id()
        parts = device.seal_parts(bundle_id, [[transaction()], [transaction()]])
        declared = device.declare_raw(bundle_id, parts)
        assert declared.headers["Location"] == f"{public}/v1/bundles/{bundle_id}"
        assert [part["upload"] for part in declared.json()["parts"]] == [
            f"{public}/v1/bundles/{bundle_id}/parts/{number}" for number in (1, 2)]
    finally:
        assert server.stop() == 0


def own_address():
    """An address of this machine that is not loopback; None without one. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address = probe.getsockname()[0]
        return None if address.startswith("127.") else address


def test_plain_http_is_spoken_to_loopback_and_to_trusted_proxies_only(tmp_path, postgres):
    address = own_address()
    if address is None:
        pytest.skip("this machine has no address but loopback")
    for proxy, codes in (("233.252.0.0/24", (200, 403)), (address + "/32", (200, 200))):
        server = Server(
            tmp_path / "data", "--database-url", postgres.url, "--trusted-proxy", proxy)
        port = server.device_address.split(":")[1]
        server.device_address = f"0.0.0.0:{port}"
        server.announced = ":" + port
        server.start()
        try:
            answers = [
                requests.get(f"http://{host}:{port}/.well-known/waybill-keys.json", timeout=30)
                for host in ("127.0.0.1", address)]
            assert [answer.status_code for answer in answers] == list(codes)
        finally:
            assert server.stop() == 0
    # Without a proxy to trust it does not start.
    server.options = ["--database-url", postgres.url]
    code, text = refused(server)
    assert code == 78 and "device-address" in text


def test_a_stalled_upload_has_the_grace_at_sigterm_and_is_503(tmp_path):
    server = Server(tmp_path / "data", "--set", "shutdown-grace=1s", "--set", "body-rate-window=600s")
    server.start()
    device = server.new_device(server.create_tenant("acme"))
    with Raw(server, timeout=60) as raw:
        raw.send(head(device, "Content-Length: 1000", "Expect: 100-continue"))
        assert raw.answer().status == 100, "the upload is under way"
        raw.send("PK")
        assert server.stop() == 0
        answer = raw.until_closed()
        assert (answer.status, answer.problem["code"]) == (503, "shutting_down")
        assert answer.problem["retryable"] is True and int(answer.headers["retry-after"]) >= 1
    assert os.listdir(server.data + "/parts") == []


def test_sigterm_in_an_upload_ends_with_0_and_queues_nothing_of_it(stopped):
    server, device, _ = stopped
    server.start()
    bundle_id = new_id()
    data = device.seal(bundle_id, [transaction()])
    with Raw(server, timeout=60) as raw:
        raw.send(head(device, f"Content-Length: {len(data)}", "Expect: 100-continue",
                      bundle=bundle_id))
        assert raw.answer().status == 100, "the upload is under way"
        raw.send(data[:-7])
        assert server.stop() == 0
        assert raw.until_closed().status in (None, 408, 503)
    assert os.listdir(server.data + "/parts") == []
    with_a_listener(server)
    server.start()
    assert device.http.get(f"{device.base}/v1/bundles/{bundle_id}", timeout=30).status_code == 404
    device.upload(bundle_id, data)
    assert device.receipt_of(bundle_id)["counts"]["accepted"] == 1

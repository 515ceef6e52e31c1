"""What operators see of the past, and how they steer: trace, audit, listeners, queue."""

import concurrent.futures
import json
import pathlib
import subprocess
import threading
import time
import uuid

import pytest
import requests

from server import BINARY, Postgres, Server
from stranger import enroll, new_id, transaction


@pytest.fixture(scope="module")
def postgres():
    postgres = Postgres()
    yield postgres
    postgres.stop()
    postgres.remove()


@pytest.fixture(scope="module")
def station(tmp_path_factory, postgres):
    """A server on a database that a test may reach as superuser."""
    directory = tmp_path_factory.mktemp("station") / "data"
    server = Server(directory, "--database-url", postgres.url, "--set", "log-level=debug").start()
    yield server
    if server.is_running:
        assert server.stop() == 0


def superuser(postgres, script):
    return subprocess.run(
        [f"{postgres.binaries}/psql", "-XAtq", "-v", "ON_ERROR_STOP=1", postgres.url],
        input=script, capture_output=True, text=True, check=True).stdout.strip()


def whats(finding):
    return [event["what"] for event in finding["events"]]


def test_trace_tells_a_transactions_life_in_order_of_time(station):
    device = station.new_device(station.create_tenant("life"), "my <img onerror=x>\x1b[2J laptop")
    good = transaction({"secret": "of nobody's business"})
    bundle_id = device.send([good, transaction()])["bundle_id"]
    device.confirm(1)
    report = station.json("trace", good["id"].upper())
    assert report["not_asked"] == [] and len(report["findings"]) == 1
    finding = report["findings"][0]
    assert finding["kind"] == "transaction" and finding["state"] == "accepted"
    assert finding["tenant"] == "life" and finding["bundle_id"] == bundle_id
    assert finding["facts"]["index"] == "0" and finding["facts"]["bundle_state"] == "settled"
    steps = [
        "device.invited", "device.enrolled", "upload.begun", "bundle.received",
        "bundle.queued", "bundle.leased", "bundle.opened", "bundle.settled", "receipts.confirmed"]
    told = [what for what in whats(finding) if what in steps]
    assert told == steps
    assert "device.first_seen" in whats(finding)
    times = [event["at"] for event in finding["events"]]
    assert times == sorted(times)
    text = station.command("trace", good["id"]).stdout
    assert "bundle.settled" in text and "accepted=2" in text
    for output in (text, json.dumps(report)):
        assert "business" not in output, "no payloads"
    assert "\x1b" not in text


def test_trace_of_a_bundle_and_of_a_device(station):
    device = station.new_device(station.create_tenant("both"))
    sent = [device.send([transaction()])["bundle_id"] for _ in range(3)]
    bundle = station.json("trace", sent[1])["findings"]
    assert [(one["kind"], one["state"]) for one in bundle] == [("bundle", "settled")]
    assert bundle[0]["facts"]["seq"] == "2"
    whole = station.json("trace", device.id)["findings"]
    assert [(one["kind"], one["state"]) for one in whole] == [("device", "enrolled")]
    told = [e["details"]["bundle"] for e in whole[0]["events"] if e["what"] == "bundle.settled"]
    assert told == sent
    station.command("device", "revoke", device.id)
    whole = station.json("trace", device.id)["findings"][0]
    assert whole["state"] == "revoked"
    assert "device.revoke" in whats(whole), "the operator's action"


def test_an_ambiguous_id_shows_all(station):
    one = station.new_device(station.create_tenant("amb-one"))
    two = station.new_device(station.create_tenant("amb-two"))
    shared, bundle_id = transaction(), new_id()
    for device in (one, two):
        device.upload(bundle_id, device.seal(bundle_id, [shared]))
        device.receipt_of(bundle_id)
    found = station.json("trace", shared["id"])["findings"]
    assert {one["tenant"] for one in found} == {"amb-one", "amb-two"}
    found = station.json("trace", bundle_id)["findings"]
    assert {f["device_id"] for f in found} == {one.id, two.id}


def test_trace_of_rejected_conflicting_and_quarantined(station):
    device = station.new_device(station.create_tenant("bad"))
    first = transaction({"n": 1})
    device.send([first])
    bad = {**transaction(), "type": ""}
    device.send([{**first, "payload": {"n": 2}}, bad])
    states = [f["state"] for f in station.json("trace", first["id"])["findings"]]
    assert sorted(states) == ["accepted", "conflict"]
    assert [f["state"] for f in station.json("trace", bad["id"])["findings"]] == ["rejected"]
    bundle_id = new_id()
    device.upload(bundle_id, device.seal(new_id(), [transaction()]))
    assert device.receipt_of(bundle_id)["state"] == "quarantined"
    finding = station.json("trace", bundle_id)["findings"][0]
    assert finding["state"] == "quarantined" and "dead_letter.kept" in whats(finding)
    letter = next(e for e in finding["events"] if e["what"] == "dead_letter.kept")
    by_letter = station.json("trace", letter["details"]["dead_letter"])["findings"]
    assert [f["bundle_id"] for f in by_letter] == [bundle_id]


def test_trace_of_nothing_and_of_no_id(station):
    result = station.command("trace", new_id(), check=False)
    assert result.returncode == 1 and "404" in result.stderr
    assert station.command("trace", "nonsense", check=False).returncode == 64
    assert station.admin("GET", "/admin/v1/trace/nonsense").status_code == 400


def test_a_queued_bundle_is_traced_also_while_postgresql_is_away(tmp_path):
    postgres = Postgres()
    server = Server(
        tmp_path / "data", "--database-url", postgres.url, "--set", "listeners=0").start()
    try:
        device = server.new_device(server.create_tenant("acme"))
        device.http.get(device.base + "/v1/device", timeout=30).raise_for_status()
        bundle_id = new_id()
        device.upload(bundle_id, device.seal(bundle_id, [transaction()]))
        finding = server.json("trace", bundle_id)["findings"][0]
        assert finding["state"] == "queued" and finding["tenant"] == "acme"
        assert "device.enrolled" in whats(finding)
        postgres.stop()
        report = server.json("trace", bundle_id)
        assert report["findings"][0]["state"] == "queued"
        assert whats(report["findings"][0]) == ["bundle.queued"]
        assert "database" in report["not_asked"][0]
        assert "database" in server.command("trace", bundle_id).stdout
        answer = server.admin("GET", "/admin/v1/audit/verify")
        assert answer.status_code == 503
    finally:
        postgres.start()
        server.stop()
        postgres.stop()
        postgres.remove()


def test_audit_tail_shows_what_was_done_and_follows(station):
    tenant = station.create_tenant("tail")
    device = station.new_device(tenant)
    device.send([transaction()])
    rows = [
        json.loads(line) for line in station.command(
            "audit", "tail", "--limit", 5, "--output", "json").stdout.splitlines()]
    assert rows[-1]["kind"] == "bundle.settled" and rows[-1]["chain"] == device.id
    kinds = station.command("audit", "tail", "--tenant", tenant, "--limit", 9).stdout
    assert "tenant.create" in kinds and "device.invite" in kinds
    assert station.command("audit", "tail", "--limit", 0, check=False).returncode == 64
    follower = subprocess.Popen(
        [BINARY, "audit", "tail", "--follow", "--limit", "1", "--output", "json", "--data-dir",
         station.data], stdout=subprocess.PIPE, text=True)
    try:
        assert follower.stdout.readline(), "the last row"
        sent = {device.send([transaction()])["bundle_id"] for _ in range(5)}
        seen = set()
        while seen != sent:
            row = json.loads(follower.stdout.readline())
            if row["kind"] == "bundle.settled":
                assert row["subject"] not in seen, "each row once"
                seen.add(row["subject"])
    finally:
        follower.terminate()
        follower.wait()


def test_audit_pages_go_back_to_the_beginning(station):
    path, seen = "/admin/v1/audit?limit=3", []
    while True:
        page = station.admin("GET", path).json()
        seen += [(row["chain"], row["seq"]) for row in page["events"]]
        if page.get("older") is None:
            break
        path = f"/admin/v1/audit?limit=3&before={page['older']}"
    assert len(seen) == len(set(seen)) > 3
    for query in ("limit=0", "limit=x", "after=x", "tenant=No"):
        assert station.admin("GET", f"/admin/v1/audit?{query}").status_code == 400, query


def test_audit_row_edited_by_a_superuser_audit_verify_exits_2_and_names_it(station, postgres):
    """BAD-INPUTS: audit row edited by a superuser: `audit verify` exits 2 and names it."""
    device = station.new_device(station.create_tenant("victim"))
    for _ in range(3):
        device.send([transaction()])
    result = station.command("audit", "verify")
    assert "unchanged" in result.stdout
    edit = "UPDATE waybill.audit_events SET actor = '{}' WHERE chain_id = '{}' AND chain_seq = 2"
    superuser(postgres, edit.format("nobody", device.id))
    result = station.command("audit", "verify", check=False)
    assert result.returncode == 2
    assert f"{device.id} #2" in result.stdout and "edited" in result.stdout
    result = station.command("audit", "verify", "--output", "json", check=False)
    assert result.returncode == 2
    faults = json.loads(result.stdout)["faults"]
    assert [(one["chain"], one["seq"], one["kind"]) for one in faults] == [
        (device.id, 2, "edited")]
    superuser(postgres, edit.format("listener", device.id))
    station.command("audit", "verify")


def test_a_deleted_receipt_is_named(station, postgres):
    device = station.new_device(station.create_tenant("deleted"))
    for _ in range(3):
        device.send([transaction()])
    where = f"WHERE device_id = '{device.id}' AND seq = 2"
    superuser(postgres, f"CREATE TABLE kept AS SELECT * FROM waybill.receipts {where}; "
                        f"DELETE FROM waybill.receipts {where}")
    result = station.command("audit", "verify", check=False)
    assert result.returncode == 2 and f"{device.id} #2" in result.stdout
    superuser(postgres, "INSERT INTO waybill.receipts SELECT * FROM kept; DROP TABLE kept")
    station.command("audit", "verify")


def test_listeners_0_64_1_0_1e9_minus_1_under_load_limits_nothing_lost(tmp_path):
    """BAD-INPUTS: listeners 0 → 64 → 1 → 0 → 10^9 → -1 under load: limits, nothing lost."""
    server = Server(tmp_path / "data").start()
    try:
        tenant = server.create_tenant("load")
        devices = [server.new_device(tenant) for _ in range(6)]
        done, sent = threading.Event(), []

        def load(device):
            while not done.is_set():
                bundle_id = new_id()
                device.upload(bundle_id, device.seal(bundle_id, [transaction(), transaction()]))
                sent.append((device, bundle_id))
                done.wait(0.02)  # below the device's rate

        with concurrent.futures.ThreadPoolExecutor(len(devices)) as pool:
            work = [pool.submit(load, device) for device in devices]
            try:
                for target, status in [(0, 200), (64, 200), (1, 200), (0, 200), (10**9, 400),
                                       (-1, 400), (3, 200)]:
                    before = len(sent)
                    answer = server.admin(
                        "PUT", "/admin/v1/listeners", json={"target": target})
                    assert answer.status_code == status, target
                    if status == 400:
                        assert str(target) in answer.json()["detail"]
                    else:
                        assert answer.json()["target"] == target
                    while len(sent) < before + 12:
                        for one in work:
                            assert not one.done() or one.result() is None
                        done.wait(0.01)
            finally:
                done.set()
            for one in work:
                one.result()
        for device, bundle_id in sent:
            assert device.receipt_of(bundle_id)["counts"]["accepted"] == 2
        assert server.row_count(tenant) == 2 * len(sent)
        assert server.json("queue", "status")["depth"] == 0
    finally:
        server.stop()


def test_two_operators_at_once_412_for_one(station):
    """BAD-INPUTS: two operators at once: 412 for one."""
    seen = station.admin("GET", "/admin/v1/listeners")
    target = seen.json()["target"]
    barrier = threading.Barrier(8)

    def change(number):
        barrier.wait()
        return requests.put(
            station.admin_url + "/admin/v1/listeners", json={"target": 10 + number}, timeout=30,
            headers={"Authorization": f"Bearer {station.address['token']}",
                     "If-Match": seen.headers["ETag"]})

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(change, range(8)))
    assert sorted(one.status_code for one in answers) == [200] + 7 * [412]
    lost = next(one for one in answers if one.status_code == 412)
    assert lost.json()["code"] == "precondition_failed"
    station.command("listeners", "set", target)


def test_listeners_auto_scales_stays_over_a_restart_and_ends_with_set(tmp_path):
    server = Server(tmp_path / "data", "--set", "listeners=0").start()
    try:
        device = server.new_device(server.create_tenant("acme"))
        for arguments in (["--min", 3, "--max", 2], ["--min", -1, "--max", 2],
                          ["--min", 0, "--max", 257], ["--min", 0, "--max", 0], ["--min", 1]):
            assert server.command("listeners", "auto", *arguments, check=False).returncode == 64
        status = server.json("listeners", "auto", "--min", 0, "--max", 4)
        assert (status["autoscale"], status["min"], status["max"]) == (True, 0, 4)
        # Nobody runs, and work comes: somebody is started.
        device.send([transaction()])
        assert server.json("listeners", "get")["target"] >= 1
        listener = server.admin("GET", "/admin/v1/listeners/0").json()
        assert listener["settled"] >= 1 and listener["state"] in ("idle", "busy", "stopped")
        assert server.admin("GET", "/admin/v1/listeners/256").status_code == 404
        assert server.stop() == 0
        server.start()
        status = server.json("listeners", "get")
        assert (status["autoscale"], status["min"], status["max"]) == (True, 0, 4)
        device.send([transaction()])
        status = server.json("listeners", "set", 2)
        assert (status["autoscale"], status["target"], status["max"]) == (False, 2, 256)
        server.kill()
        server.start()
        assert server.json("listeners", "get")["target"] == 2
        server.stop()
        # What the configuration says now is newer than what an operator said then.
        server.options = ("--set", "listeners=5")
        server.start()
        assert server.json("listeners", "get")["target"] == 5
    finally:
        if server.is_running:
            server.stop()


def test_a_paused_queue_takes_bundles_and_hands_out_none_also_after_a_restart(tmp_path):
    server = Server(tmp_path / "data").start()
    try:
        device = server.new_device(server.create_tenant("acme"))
        assert server.json("queue", "pause")["paused"] is True
        bundle_id = new_id()
        device.upload(bundle_id, device.seal(bundle_id, [transaction()]))
        server.kill()
        server.start()
        assert server.json("queue", "status")["paused"] is True
        assert device.page(wait=2)["receipts"] == []
        assert device.status(bundle_id)["state"] == "queued"
        result = server.command("queue", "drain", "--wait", "--timeout", 1, check=False)
        assert result.returncode == 2 and "1 bundles" in result.stderr
        assert server.json("queue", "resume")["paused"] is False
        assert device.receipt_of(bundle_id)["state"] == "settled"
    finally:
        server.stop()


def test_drain_takes_nothing_new_and_settles_the_rest(tmp_path):
    server = Server(tmp_path / "data", "--set", "listeners=0").start()
    try:
        device = server.new_device(server.create_tenant("acme"))
        sent = [new_id() for _ in range(5)]
        for bundle_id in sent:
            device.upload(bundle_id, device.seal(bundle_id, [transaction()]))
        assert server.json("queue", "drain")["draining"] is True
        late = new_id()
        data = device.seal(late, [transaction()])
        answer = device.http.post(
            device.base + "/v1/bundles", data=data, timeout=30,
            headers={"Content-Type": "application/zip", "Idempotency-Key": f'"{late}"'})
        assert answer.status_code == 503 and answer.json()["code"] == "shutting_down"
        assert int(answer.headers["Retry-After"]) >= 1
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            drained = pool.submit(server.json, "queue", "drain", "--wait")
            server.command("listeners", "set", 2)
            assert drained.result(timeout=60)["depth"] == 0
        for bundle_id in sent:
            assert device.receipt_of(bundle_id)["state"] == "settled"
        status = server.json("queue", "resume")
        assert status["draining"] is False
        device.upload(late, data)
        assert device.receipt_of(late)["state"] == "settled"
        tail = server.command("audit", "tail", "--kind", "queue").stdout
        assert "queue.drain" in tail and "queue.resume" in tail
    finally:
        server.stop()


def test_invitations_are_listed_without_their_codes(station):
    tenant = station.create_tenant("invited")
    codes = station.codes(tenant, 2)
    device_id = enroll(station.device_url, codes[0])["device_id"]
    answer = station.admin("GET", f"/admin/v1/invitations?tenant={tenant}")
    listed = answer.json()
    assert sorted(one["state"] for one in listed) == ["open", "used"]
    used = next(one for one in listed if one["state"] == "used")
    assert used["device_id"] == device_id and used["rotates"] is False
    for code in codes:
        assert code not in answer.text
    assert station.admin("GET", "/admin/v1/invitations").status_code == 400


def test_log_lines_of_a_request_carry_its_traceparent(station):
    log = pathlib.Path(station.data + ".log")
    device = station.new_device(station.create_tenant("traced"))
    trace_id, span_id = uuid.uuid4().hex, uuid.uuid4().hex[:15] + "1"
    header = {"traceparent": f"00-{trace_id}-{span_id}-01"}
    bad = uuid.uuid4().hex
    device.http.get(device.base + "/v1/device", headers=header, timeout=30)
    device.http.get(
        device.base + "/v1/device", headers={"traceparent": f"00-{bad}-zz-01"}, timeout=30)
    requests.get(station.admin_url + "/livez", headers=header, timeout=30)

    def lines():
        return [json.loads(line) for line in log.read_text().splitlines() if trace_id in line]

    while len(lines()) < 2:
        time.sleep(0.05)
    found = lines()
    assert all(line["trace.id"] == trace_id for line in found)
    assert all(line["span.parent_id"] == span_id for line in found)
    assert len({line["span.id"] for line in found}) == 2
    assert {"/v1/device", "/livez"} <= {line.get("http.route") for line in found}
    assert bad not in log.read_text()


def test_the_operators_side_names_methods_and_heads(station):
    for path, allowed in [
            ("/admin/v1/audit/verify", "GET, HEAD"), ("/admin/v1/queue/pause", "POST"),
            ("/admin/v1/listeners", "GET, HEAD, PUT"), ("/admin/v1/trace/x", "GET, HEAD")]:
        answer = station.admin("PATCH", path)
        assert answer.status_code == 405 and answer.headers["Allow"] == allowed, path
        assert answer.json()["code"] == "method_not_allowed"
    answer = station.admin("HEAD", "/admin/v1/listeners")
    assert answer.status_code == 200 and answer.content == b"" and "ETag" in answer.headers
    for path in ("/admin/v1/trace/x", "/admin/v1/audit", "/admin/v1/audit/verify"):
        answer = requests.get(station.admin_url + path, timeout=30)
        assert answer.status_code == 401 and answer.json()["code"] == "unauthorized"

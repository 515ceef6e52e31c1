"""Bundles that were set aside, from the operator's side and as their device sees what becomes of them."""

import os
import time

import pytest

from server import Postgres, Server, run
from stranger import bundle_sha256, checked, new_id, transaction

SETTLED = ("accepted", "duplicate", "rejected", "conflict")


def until(condition, seconds=60):
    """What `condition` answers once it is true."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, f"not in {seconds} s"


def quarantine(device, secret=b"\1" * 32, lines=None):
    """Sends a bundle that is sealed with another secret; its receipt."""
    bundle_id = new_id()
    own, device.secret = device.secret, secret
    data = device.seal(bundle_id, lines or [transaction()])
    device.secret = own
    device.upload(bundle_id, data)
    receipt = device.receipt_of(bundle_id)
    assert (receipt["state"], receipt["code"]) == ("quarantined", "cannot_open")
    return receipt


def letters(server, *options):
    return server.json("dead-letters", "list", *options)


def files(server):
    return sorted(os.listdir(server.data + "/dead-letters"))


def test_a_quarantined_bundle_is_listed_and_shown_without_its_content(server, tenant):
    device = server.new_device(tenant, "evil\x1b[2J\u009b31m <img onerror=alert(1)> =cmd()")
    receipt = quarantine(device, lines=[transaction({"secret": "cafebabe"})])
    letter, = letters(server, "--tenant", tenant)
    assert letter["bundle_id"] == receipt["bundle_id"]
    assert letter["bundle_sha256"] == receipt["bundle_sha256"]
    assert letter["receipt_seq"] == receipt["seq"]
    assert letter["device_id"] == device.id
    assert letter["code"] == "cannot_open"
    assert letter["bytes"] == sum(letter["parts"]) > 0
    assert letter["attempts"] == 0 and not letter["retrying"]
    assert server.json("dead-letters", "show", letter["id"]) == letter
    # A device named `<img onerror=…>`, `=cmd()`, with escape sequences: harmless in the terminal.
    for output in ("text", "json"):
        for command in (["list", "--tenant", tenant], ["show", letter["id"]]):
            text = server.command("dead-letters", *command, "--output", output).stdout
            assert not any(ord(c) < 32 and c != "\n" or 0x7F <= ord(c) < 0xA0 for c in text)
            assert "cafebabe" not in text and device.token not in text


def test_each_filter_narrows_the_list(server, tenant):
    first, second = server.new_device(tenant), server.new_device(tenant)
    quarantine(first)
    quarantine(first)
    quarantine(second)
    everything = letters(server, "--tenant", tenant)
    assert [one["device_id"] for one in everything] == [first.id, first.id, second.id]
    assert letters(server, "--device", second.id) == everything[2:]
    assert letters(server, "--tenant", tenant, "--code", "processing_failed") == []
    assert letters(server, "--tenant", tenant, "--before", everything[1]["created_at"]) \
        == everything[:1]
    assert letters(server, "--tenant", tenant, "--limit", 2) == everything[:2]
    # Page by page comes to the same.
    page, walked = {"next": None}, []
    while "next" in page:
        query = {"tenant": tenant, "limit": 1, **({"after": page["next"]} if page["next"] else {})}
        page = checked(server.admin("GET", "/admin/v1/dead-letters", params=query)).json()
        walked += page["dead_letters"]
    assert walked == everything


def test_a_retry_that_fails_changes_nothing_but_says_why(server, device):
    receipt = quarantine(device)
    letter, = letters(server, "--device", device.id)
    server.command("dead-letters", "retry", letter["id"])
    shown = until(lambda: (
        one := server.json("dead-letters", "show", letter["id"]))["attempts"] and one)
    assert shown["attempts"] == 1 and shown["last_error"]
    assert not shown["retrying"] and "resolution" not in shown
    assert device.collect() == []
    assert device.status(receipt["bundle_id"])["state"] == "quarantined"
    # It may be tried again.
    server.command("dead-letters", "retry", letter["id"])
    until(lambda: server.json("dead-letters", "show", letter["id"])["attempts"] == 2)


def test_discarding_deletes_the_bytes_and_keeps_the_row(server, device):
    receipt = quarantine(device)
    letter, = letters(server, "--device", device.id)
    assert [name for name in files(server) if letter["bundle_id"] in name]
    server.command("dead-letters", "discard", letter["id"])
    assert not [name for name in files(server) if letter["bundle_id"] in name]
    assert letters(server, "--device", device.id) == []
    resolved, = letters(server, "--device", device.id, "--state", "resolved")
    assert resolved["id"] == letter["id"] and resolved["resolution"] == "discarded"
    # The receipt stands: the device never had leave to delete.
    assert device.page()["receipts"][-1] == receipt
    # Already resolved: 409, and 1 on the command line.
    for method, path in (("DELETE", ""), ("POST", "/retry")):
        answer = server.admin(method, f"/admin/v1/dead-letters/{letter['id']}{path}")
        assert (answer.status_code, answer.json()["code"]) == (409, "already_resolved")
    again = server.command("dead-letters", "discard", letter["id"], "--output", "json", check=False)
    assert again.returncode == 1
    assert "already_resolved" in again.stdout


def test_some_that_fail_do_not_hold_back_the_others(server, device):
    quarantine(device)
    letter, = letters(server, "--device", device.id)
    result = server.command("dead-letters", "discard", new_id(), letter["id"], check=False)
    assert result.returncode == 1 and "1 discarded, 1 failed" in result.stdout
    assert letters(server, "--device", device.id) == []


def test_bad_requests_are_refused(server):
    for path, status in (
            (new_id(), 404), ("1", 404), ("..%2f..", 404),
            ("?code=nonsense", 400), ("?tenant=Not-A-Slug", 400), ("?tenant=nobody", 400),
            ("?device=1", 400), (f"?device={new_id()}", 400), ("?before=yesterday", 400),
            ("?state=closed", 400), ("?limit=0", 400), ("?tennant=acme", 400),
            (f"?after={new_id()}", 400)):
        answer = server.admin(
            "GET", "/admin/v1/dead-letters" + (path if path[0] == "?" else "/" + path))
        assert answer.status_code == status, path
    for body in ("", "[]", '{"tennant":"acme"}', '{"code":"nonsense"}'):
        for action in ("retry", "discard"):
            answer = server.admin("POST", f"/admin/v1/dead-letters/{action}", data=body)
            assert answer.status_code == 400, body
    assert server.admin("GET", f"/admin/v1/jobs/{new_id()}").status_code == 404
    assert server.command("dead-letters", "show", new_id(), check=False).returncode == 1


def test_bulk_needs_all_or_ids_and_not_both(tmp_path):
    for action in ("retry", "discard"):
        for arguments in ([], ["--code", "cannot_open"], ["--all", new_id()],
                          [new_id(), "--tenant", "acme"]):
            result = run("dead-letters", action, *arguments, "--data-dir", tmp_path, check=False)
            assert result.returncode == 64, arguments
    result = run("dead-letters", "list", "--data-dir", tmp_path, check=False)
    assert result.returncode == 69


def test_bulk_discard_over_a_filter_is_a_job(server, tenant):
    devices = [server.new_device(tenant) for _ in range(3)]
    for device in devices:
        quarantine(device)
        quarantine(device)
    job = server.json("dead-letters", "discard", "--all", "--device", devices[0].id)
    assert (job["state"], job["total"], job["done"], job["failed"]) == ("done", 2, 2, 0)
    assert len(letters(server, "--tenant", tenant)) == 4
    answer = server.command("dead-letters", "discard", "--all", "--tenant", tenant)
    assert "4 discarded, 0 failed" in answer.stdout
    assert "dead letters" in answer.stderr
    assert letters(server, "--tenant", tenant) == []
    listed = checked(server.admin("GET", "/admin/v1/jobs")).json()
    assert [one["done"] for one in listed[:2]] == [4, 2]
    # Cancelling what has ended changes nothing.
    ended = checked(server.admin("DELETE", f"/admin/v1/jobs/{job['id']}")).json()
    assert ended["state"] == "done"


@pytest.fixture
def own_server(tmp_path):
    server = Server(tmp_path / "data").start()
    yield server
    if server.is_running:
        server.stop()


def restart(server, *settings):
    assert server.stop() == 0
    server.options = [word for setting in settings for word in ("--set", setting)]
    server.start()


def test_a_retry_that_succeeds_supersedes_the_quarantined_receipt(own_server):
    server = own_server
    device = server.new_device(server.create_tenant("acme"))
    before = device.send([transaction()])
    # Received, but not worked on before the operator lowered a limit.
    restart(server, "listeners=0")
    bundle_id = new_id()
    lines = [transaction(), transaction(), transaction()]
    data = device.seal(bundle_id, lines, header={"device_seq": 7})
    device.upload(bundle_id, data)
    restart(server, "bundle-transactions-max=2")
    quarantined = device.receipt_of(bundle_id)
    assert (quarantined["state"], quarantined["code"]) == ("quarantined", "header_invalid")
    assert quarantined["seq"] == before["seq"] + 1
    letter, = letters(server)
    # As long as the limit stands, it fails again.
    server.command("dead-letters", "retry", letter["id"])
    until(lambda: server.json("dead-letters", "show", letter["id"])["attempts"] == 1)
    other = device.send([transaction()])
    assert other["seq"] == quarantined["seq"] + 1

    restart(server)
    server.command("dead-letters", "retry", "--all", "--code", "header_invalid")
    device.receipts.pop(bundle_id)
    receipt = device.receipt_of(bundle_id)
    # Verified and chained by `collect`: the next number, hash and signature.
    assert receipt["seq"] == other["seq"] + 1
    assert receipt["state"] == "settled"
    assert receipt["supersedes"] == quarantined["seq"]
    assert receipt["bundle_sha256"] == bundle_sha256(data) == quarantined["bundle_sha256"]
    assert {name: receipt["counts"][name] for name in SETTLED} == {
        "accepted": 3, "duplicate": 0, "rejected": 0, "conflict": 0}
    assert server.row_count("acme") == 5
    status = device.status(bundle_id)
    assert status["state"] == "settled" and status["receipt"] == receipt
    # All receipts are told; exactly one of the bundle is not superseded.
    told = [one for one in device.page()["receipts"] if one["bundle_id"] == bundle_id]
    superseded = {one["supersedes"] for one in told if "supersedes" in one}
    assert [one["seq"] for one in told if one["seq"] not in superseded] == [receipt["seq"]]
    # The same bytes again are answered from the new receipt; no third one comes.
    assert device.upload(bundle_id, data)["state"] == "settled"
    assert device.collect() == []
    letter, = letters(server, "--state", "resolved")
    assert letter["resolution"] == "settled" and not letter["retrying"]
    assert letters(server) == []
    until(lambda: files(server) == [])
    refused = server.command("dead-letters", "retry", letter["id"], check=False)
    assert refused.returncode == 1 and "already_resolved" in refused.stderr


def test_beyond_the_bytes_the_oldest_are_discarded(own_server):
    server = own_server
    device = server.new_device(server.create_tenant("acme"))
    first, second = quarantine(device), quarantine(device)
    kept = letters(server)
    assert len(kept) == 2
    size = sum(os.path.getsize(f"{server.data}/dead-letters/{name}") for name in files(server))
    restart(server, f"dead-letter-bytes-max={size - 1}")
    until(lambda: len(letters(server)) == 1)
    assert letters(server)[0]["bundle_id"] == second["bundle_id"]
    expired, = letters(server, "--state", "resolved")
    assert expired["bundle_id"] == first["bundle_id"] and expired["resolution"] == "discarded"
    until(lambda: [name.count(second["bundle_id"]) for name in files(server)] == [1])
    metrics = server.admin("GET", "/metrics").text
    assert "waybill_dead_letters_expired_total 1" in metrics


def test_over_the_retention_they_are_discarded(own_server):
    server = own_server
    device = server.new_device(server.create_tenant("acme"))
    quarantine(device)
    letter, = letters(server)
    began = time.monotonic()
    until(lambda: time.monotonic() > began + 1.1)
    restart(server, "dead-letter-retention=1s")
    until(lambda: letters(server) == [])
    expired, = letters(server, "--state", "resolved")
    assert expired["id"] == letter["id"]
    until(lambda: files(server) == [])


# 100,000 at night.
MANY = int(os.environ.get("WAYBILL_TEST_LETTERS", "10000"))
MANY_LETTERS = f"""
    INSERT INTO waybill.receipts (device_id, seq, tenant_id, bundle_id, bundle_digest,
        part_byte_counts, state, code, accepted, duplicate, rejected, conflict, settled_at, hash,
        key_id, document)
    SELECT r.device_id, r.seq + n, r.tenant_id, gen_random_uuid(), r.bundle_digest,
        r.part_byte_counts, r.state, r.code, 0, 0, 0, 0, r.settled_at, r.hash, r.key_id, r.document
    FROM waybill.receipts AS r, generate_series(1, {MANY}) AS n;
    INSERT INTO waybill.dead_letters (dead_letter_id, tenant_id, device_id, bundle_id, receipt_seq,
        code, detail, node, file_name, byte_count)
    SELECT gen_random_uuid(), tenant_id, device_id, bundle_id, seq, code, '', 'elsewhere',
        'file-' || seq, 1
    FROM waybill.receipts WHERE seq > 1;
"""


def memory(server):
    with open(f"/proc/{server.process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


@pytest.mark.slow
def test_bulk_retry_of_many_is_a_job_with_progress_and_cancel(tmp_path):
    postgres = Postgres()
    server = Server(tmp_path / "data", "--database-url", postgres.url)
    try:
        server.start()
        quarantine(server.new_device(server.create_tenant("acme")))
        postgres.query(MANY_LETTERS)
        before = memory(server)
        # The bytes of all but one are elsewhere: each of them fails by itself.
        job = checked(server.admin(
            "POST", "/admin/v1/dead-letters/retry", json={"tenant": "acme"})).json()
        assert job["total"] == MANY + 1
        path = f"/admin/v1/jobs/{job['id']}"
        until(lambda: server.admin("GET", path).json()["done"])
        checked(server.admin("DELETE", path))
        job = until(lambda: (one := server.admin("GET", path).json()).get("ended_at") and one)
        assert job["state"] == "cancelled"
        assert job["done"] == 1 and 0 < job["failed"] <= MANY and len(job["failures"]) == 20
        until(lambda: server.json("queue", "status")["depth"] == 0)

        # Two at once over the same letters: none is decided twice.
        jobs = [
            checked(server.admin("POST", "/admin/v1/dead-letters/discard", json={})).json()
            for _ in range(2)]
        server.command("dead-letters", "discard", "--all", check=False, timeout=900)
        ended = [checked(server.admin("GET", f"/admin/v1/jobs/{one['id']}")).json() for one in jobs]
        assert [one["state"] for one in ended] == ["done", "done"]
        assert sum(one["done"] for one in ended) in (MANY, MANY + 1)
        assert checked(server.admin(
            "GET", "/admin/v1/dead-letters", params={"limit": 1})).json()["total"] <= 1
        audited = postgres.query(
            "SELECT count(*) FROM waybill.audit_events WHERE kind = 'dead_letter.discard'")
        assert int(audited) in (MANY, MANY + 1)
        # Page by page: what it holds does not grow with what it goes through.
        assert memory(server) - before < 100_000, "KiB"
        # A list goes through all of them.
        assert len(letters(server, "--state", "all")) == MANY + 1
    finally:
        if server.is_running:
            server.stop()
        postgres.stop()
        postgres.remove()

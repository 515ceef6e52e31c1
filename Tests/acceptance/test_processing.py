"""CONTRACT.md, Outcomes and Receipts, where a test must reach into the database: order, devices in parallel, a bundle that
keeps failing, long lists of receipts, codes that are too old."""

import subprocess

import pytest

from server import Postgres, Server
from stranger import Refused, bundle_sha256, enroll, new_id, transaction
from test_dead_letters import until

# Bundles of these types fail, or wait for whoever holds the lock.
TRIGGER = """
    CREATE FUNCTION waybill.play() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.type = 'poison' THEN RAISE EXCEPTION 'refused' USING ERRCODE = 'P0001'; END IF;
        IF NEW.type = 'slow' THEN PERFORM pg_advisory_xact_lock(42); END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER play BEFORE INSERT ON waybill.transactions
        FOR EACH ROW EXECUTE FUNCTION waybill.play();
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    postgres = Postgres()
    server = Server(
        tmp_path_factory.mktemp("processing") / "data", "--database-url", postgres.url,
        "--set", "attempts-max=2", "--set", "listeners=4").start()
    server.create_tenant("acme")
    postgres.query(TRIGGER)
    yield server, postgres
    if server.is_running:
        assert server.stop() == 0
    postgres.stop("fast")
    postgres.remove()


def upload(device, **members):
    bundle_id = new_id()
    device.upload(bundle_id, device.seal(bundle_id, [transaction(**members)]))
    return bundle_id


def test_a_bundle_that_keeps_failing_is_quarantined_and_the_next_goes_on(world):
    """Holds back its device's later ones for at most so many attempts, then `processing_failed` and the next."""
    server, postgres = world
    device, other = server.new_device("acme"), server.new_device("acme")
    good, bad, behind = upload(device), upload(device, type="poison"), upload(device)
    beside = upload(other)
    assert other.receipt_of(beside)["counts"]["accepted"] == 1
    device.receipt_of(behind)
    receipts = device.page()["receipts"]
    assert [(one["bundle_id"], one.get("code")) for one in receipts] == [
        (good, None), (bad, "processing_failed"), (behind, None)]
    assert receipts[1]["state"] == "quarantined" and "counts" not in receipts[1]
    letter, = server.json("dead-letters", "list", "--device", device.id)
    assert (letter["bundle_id"], letter["code"]) == (bad, "processing_failed")
    assert postgres.query(
        "SELECT details ->> 'attempt' FROM waybill.audit_events WHERE kind = 'bundle.quarantined'"
        f" AND subject = '{bad}'") == "2"


def test_devices_are_worked_on_in_parallel_and_one_device_in_its_order(world):
    server, postgres = world
    device, other = server.new_device("acme"), server.new_device("acme")
    holder = subprocess.Popen(
        [f"{postgres.binaries}/psql", "-XAtq", postgres.url], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True)
    try:
        holder.stdin.write("SELECT pg_advisory_lock(42); SELECT 'held';\n")
        holder.stdin.flush()
        while holder.stdout.readline().strip() != "held":
            assert holder.poll() is None
        slow = upload(device, type="slow")
        until(lambda: device.status(slow)["state"] == "processing")
        behind = upload(device)
        # The other device's bundles come and go, the one behind the slow one waits.
        for _ in range(5):
            assert other.receipt_of(upload(other))["counts"]["accepted"] == 1
        assert device.status(behind)["state"] in ("queued", "processing")
        assert device.page() == {"receipts": [], "last": 0, "safe_through": 0}
    finally:
        holder.stdin.close()
        holder.wait()
    device.receipt_of(behind)
    # A database that is slow is no attempt of the bundle.
    assert [(one["bundle_id"], one["state"]) for one in device.page()["receipts"]] == [
        (slow, "settled"), (behind, "settled")]


def test_bundles_are_settled_in_the_order_in_which_their_last_part_came(world):
    server, _ = world
    device = server.new_device("acme")
    server.command("listeners", "set", 0)
    try:
        made = []
        for _ in range(3):
            bundle_id = new_id()
            parts = device.seal_parts(bundle_id, [[transaction()], [transaction()]])
            device.declare(bundle_id, parts)
            made.append((bundle_id, parts))
        for bundle_id, parts in made:
            device.put(bundle_id, 2, parts[1])
        at_once = upload(device)
        order = [made[2], made[0], made[1]]
        for bundle_id, parts in order:
            device.put(bundle_id, 1, parts[0])
    finally:
        server.command("listeners", "set", 4)
    device.receipt_of(made[1][0])
    receipts = device.page()["receipts"]
    assert [one["bundle_id"] for one in receipts] == [at_once, *(one[0] for one in order)]
    assert receipts[1]["bundle_sha256"] == bundle_sha256(*made[2][1])


def test_a_page_has_100_receipts_by_default_and_1000_at_most(world):
    server, postgres = world
    device = server.new_device("acme")
    device.send([transaction()])
    postgres.query(f"""
        INSERT INTO waybill.receipts (device_id, seq, tenant_id, bundle_id, bundle_digest,
            part_byte_counts, state, code, accepted, duplicate, rejected, conflict, settled_at,
            hash, key_id, document)
        SELECT device_id, n, tenant_id, gen_random_uuid(), bundle_digest, part_byte_counts, state,
            code, accepted, duplicate, rejected, conflict, settled_at, hash, key_id,
            replace(document, '"seq":1,', '"seq":' || n || ',')
        FROM waybill.receipts, generate_series(2, 1002) AS n WHERE device_id = '{device.id}';
        UPDATE waybill.device_progress SET receipt_seq = 1002 WHERE device_id = '{device.id}';
    """)

    def numbers(**query):
        return [one["seq"] for one in device.page(**query)["receipts"]]

    assert numbers() == list(range(1, 101))
    for limit, last in ((999, 999), (1000, 1000), (1001, 1000), (10**6, 1000)):
        assert numbers(limit=limit) == list(range(1, last + 1))
    assert numbers(after=1000, limit=1) == [1001]
    assert numbers(after=1000, wait=10**6) == [1001, 1002], "a wait over the maximum is clamped"
    assert device.page(after=1002)["last"] == 1002


def test_a_code_lives_24_hours_and_no_longer(world):
    server, postgres = world
    invited, = server.json("device", "invite", "--tenant", "acme")
    device = server.new_device("acme")
    rotation = server.json("device", "rotate", device.id)
    assert postgres.query(
        "SELECT DISTINCT round(extract(epoch FROM expires_at - created_at) / 60)"
        " FROM waybill.invitations") == str(24 * 60), "minutes"
    for change, works in (("-", False), ("+", True)):
        postgres.query(
            f"UPDATE waybill.invitations SET expires_at = now() {change} interval '1 minute'"
            " WHERE used_at IS NULL")
        for one in (invited, rotation):
            if works:
                enroll(server.device_url, one["code"])
                continue
            with pytest.raises(Refused) as refused:
                enroll(server.device_url, one["code"])
            assert (refused.value.status, refused.value.code) == (403, "code_invalid")

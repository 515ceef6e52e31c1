"""FAULTS.md on the real process: what PostgreSQL does wrong, and what devices do at the same time."""

import concurrent.futures
import os
import pathlib
import secrets
import signal
import subprocess
import time

import pytest

from ledger import Ledger, Load, content
from place import Holder, settled, until
from stranger import new_id, transaction

AWAY_SECONDS = int(os.environ.get("WAYBILL_TEST_AWAY_SECONDS", "8"))
COMMITS = int(os.environ.get("WAYBILL_TEST_COMMITS", "4"))

POISON = """
    CREATE FUNCTION waybill.play() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.type = 'poison' THEN RAISE EXCEPTION 'refused' USING ERRCODE = 'P0001'; END IF;
        IF NEW.type = 'crossing' THEN
            PERFORM pg_advisory_xact_lock(1);
            PERFORM pg_advisory_xact_lock(2);
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER play BEFORE INSERT ON waybill.transactions
        FOR EACH ROW EXECUTE FUNCTION waybill.play();
"""
# The transaction waits in its COMMIT, before anything of it is committed.
HELD_COMMIT = """
    CREATE FUNCTION waybill.hold() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON waybill.receipts
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION waybill.hold();
"""


def waits(place, event):
    """Processes of the server's sessions that wait for this in the database."""
    return [pid for pid, in place.database.rows(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        f" AND wait_event = '{event}' AND pid <> pg_backend_pid()")]


def at_once(calls):
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as threads:
        return [future.result() for future in [threads.submit(call) for call in calls]]


# -- bad rows


def test_case_28_one_bad_row_in_500_and_499_are_committed(make_place):
    """A bundle each; what PostgreSQL refuses stands alone in the end."""
    place = make_place("listeners=0", "attempts-max=1", devices=10)
    place.database.query(POISON)
    ledger = Ledger()

    def upload(number, device):
        for index in range(50):
            kind = "poison" if (number, index) == (4, 25) else "visit.completed"
            ledger.upload(device, transaction(type=kind))

    at_once([lambda n=n, d=d: upload(n, d) for n, d in enumerate(place.devices)])
    place.listeners(1)
    place.drained()
    assert place.database.rows(
        "SELECT state, count(*) FROM waybill.receipts GROUP BY state ORDER BY state"
    ) == [["quarantined", 1], ["settled", 499]]
    assert ledger.check(place.database, order=True) == (500, 499)


def test_case_28_one_bad_line_in_a_bundle_of_500(make_place):
    place = make_place(devices=1)
    ledger = Ledger()
    lines = [transaction({"n": n}) for n in range(500)]
    lines[250]["payload"] = {"n": "\u0000"}
    bundle_id, data = ledger.seal(place.device, lines)
    assert ledger.post(place.device, bundle_id, data) == 202
    receipt = place.device.receipt_of(bundle_id)
    assert receipt["counts"] == {"accepted": 499, "duplicate": 0, "rejected": 1, "conflict": 0}
    assert [(one["index"], one["code"]) for one in receipt["exceptions"]] == [(250, "unstorable")]
    ids = {row[0] for row in place.database.rows("SELECT id FROM waybill.transactions")}
    assert ids == {line["id"] for line in lines} - {lines[250]["id"]}


# -- a database that dies or is away


def works(database):
    """True once PostgreSQL answers again."""
    try:
        return database.query("SELECT 1") == "1"
    except subprocess.CalledProcessError:
        return False


def set_standbys(place, names):
    place.database.query(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
    place.database.query("SELECT pg_reload_conf()")


def standbys_are_awaited(place):
    """True once a commit waits for them: PostgreSQL heeds the setting when its checkpointer has the time."""
    database = place.database
    probe = subprocess.Popen(
        [f"{database.binaries}/psql", "-XAtq", f"{database.url}&application_name=probe",
         "-c", "SELECT pg_logical_emit_message(true, 'probe', '')"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found = []
    while not found and probe.poll() is None:
        found = database.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'probe' AND wait_event = 'SyncRep'")
    # Its session is not to be taken for one of the server's.
    until(lambda: not database.rows(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'probe'"))
    probe.wait()
    return bool(found)


def test_case_29_postgresql_killed_in_commit_stores_each_transaction_once(make_place):
    """Before anything is committed, and after all of it is but nobody was told; alternately."""
    place = make_place("listeners=2", devices=3)
    place.database.query(HELD_COMMIT)
    ledger = Ledger()
    try:
        for number in range(COMMITS):
            is_committed = number % 2 == 1
            with Holder(place.database, 7) as holder:
                sent = [
                    ledger.upload(device, transaction(), transaction())
                    for device in place.devices]
                in_commit = until(lambda: waits(place, "advisory"))
                if is_committed:
                    set_standbys(place, "nobody")
                    until(lambda: standbys_are_awaited(place))
                    holder.say("SELECT pg_advisory_unlock(7);")
                    in_commit = until(lambda: waits(place, "SyncRep"))
                os.kill(in_commit[0], signal.SIGKILL)
                until(lambda: works(place.database))
                if is_committed:
                    set_standbys(place, "")
            for device, bundle_id in zip(place.devices, sent):
                until(lambda: settled(device, bundle_id), 60)
        place.drained()
        acknowledged, rows = ledger.check(place.database, order=True)
        assert (acknowledged, rows) == (3 * COMMITS, 6 * COMMITS)
        place.server.command("audit", "verify")
    finally:
        set_standbys(place, "")


def memory(place):
    """Resident bytes of the server."""
    status = pathlib.Path(f"/proc/{place.server.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if "VmRSS" in line)) << 10


def test_case_30_postgresql_away_under_full_load(make_place, postgres):
    """Memory stays flat, each device's order is kept, and the backlog drains.

    Seconds by WAYBILL_TEST_AWAY_SECONDS; nightly.sh gives it ten minutes.
    """
    place = make_place("listeners=4", "rate-bytes=0", devices=4)
    ledger = Ledger()
    body = secrets.token_hex(40_000)
    with Load(ledger, place.devices, lines_max=2, make=lambda: transaction(body + new_id())):
        until(lambda: len(ledger.acknowledged) > 20)
        postgres.stop()
        try:
            began = time.monotonic()
            until(lambda: time.monotonic() - began > 2)
            before, bundles = memory(place), len(ledger.acknowledged)
            until(lambda: time.monotonic() - began > AWAY_SECONDS, AWAY_SECONDS + 60)
            grown, taken = memory(place) - before, len(ledger.acknowledged) - bundles
        finally:
            postgres.start()
    print(f"{taken} bundles of 40 to 80 KB while it was away, {grown >> 20} MiB more memory")
    assert taken > 10 * AWAY_SECONDS, "that is no load"
    assert grown < 48 << 20, f"{grown >> 20} MiB for {taken} bundles"
    place.drained(60 + 5 * AWAY_SECONDS)
    ledger.check(place.database, order=True)


def test_case_31_terminated_sessions_under_load(make_place):
    place = make_place("listeners=3", devices=4)
    ledger = Ledger()
    with Load(ledger, place.devices):
        for number in range(15):
            seen = len(ledger.acknowledged)
            place.database.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()")
            until(lambda: len(ledger.acknowledged) >= seen + 5)
    place.drained()
    ledger.check(place.database, order=True)
    status = place.server.json("listeners", "get")
    assert (status["target"], status["running"]) == (3, 3), "a listener died"
    assert place.server.stop() == 0


def test_case_31_no_connection_is_left(make_place):
    """Others have them all: bundles are received, and settled once there is room again."""
    place = make_place("listeners=2", devices=2)
    ledger = Ledger()
    first = ledger.upload(place.device)
    until(lambda: settled(place.device, first))
    name = place.database.name
    elsewhere = place.database.elsewhere
    elsewhere.query(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
    try:
        elsewhere.query(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        sent = [ledger.upload(device) for device in place.devices for _ in range(5)]
        assert elsewhere.query(
            f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'") == "0"
    finally:
        elsewhere.query(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")
    until(lambda: settled(place.device, sent[0]) and settled(place.devices[1], sent[-1]))
    place.drained()
    ledger.check(place.database, order=True)
    assert place.server.json("listeners", "get")["running"] == 2


def test_case_31_a_deadlock_is_tried_again_and_charges_nobody(make_place, postgres):
    place = make_place("listeners=1")
    place.database.query(POISON)
    # Ours never gives in; the server's session finds the deadlock, and is its victim.
    place.database.query(
        f"ALTER DATABASE {place.database.name} SET deadlock_timeout = '2s'")
    place.server.kill()
    place.server.start()
    ledger = Ledger()
    with Holder(place.database, 2) as holder:
        holder.say("SET deadlock_timeout = '10min';")
        crossing = ledger.upload(place.device, transaction(type="crossing"))
        until(lambda: waits(place, "advisory"))
        holder.say("SELECT pg_advisory_lock(1); SELECT 'both';")
        assert until(holder.psql.stdout.readline).strip() == ""
        assert holder.psql.stdout.readline().strip() == "both", "the server's session gave in"
    until(lambda: settled(place.device, crossing))
    assert place.database.rows(
        "SELECT deadlocks > 0 FROM pg_stat_database WHERE datname = current_database()"
    ) == [[True]]
    assert place.database.rows(
        f"SELECT details ->> 'attempt' FROM waybill.audit_events WHERE subject = '{crossing}'"
    ) == [["1"]]
    place.drained()
    ledger.check(place.database)


# -- the same transaction


def test_case_32_one_transaction_in_100_bundles_on_20_connections_is_stored_once(make_place):
    place = make_place("listeners=8", devices=20)
    ledger = Ledger()
    same = transaction({"visit": 1})

    def upload(device):
        for _ in range(5):
            ledger.upload(device, same, transaction())

    at_once([lambda d=d: upload(d) for d in place.devices])
    place.drained()
    # 100 bundles, each with a row of its own, and one that all of them brought.
    assert place.database.rows(
        "SELECT sum(accepted) AS a, sum(duplicate) AS b, sum(conflict) AS c FROM waybill.receipts"
    ) == [[101, 99, 0]]
    assert ledger.check(place.database, order=True) == (100, 101)


def test_case_33_one_id_with_20_contents_keeps_the_first_and_calls_the_others_conflicts(make_place):
    place = make_place("listeners=8", devices=20)
    ledger = Ledger()
    identifier = new_id()
    lines = [transaction({"visit": number}, id=identifier) for number in range(20)]
    at_once([lambda d=d, n=n: ledger.upload(d, lines[n]) for n, d in enumerate(place.devices)])
    place.drained()
    (kept,), = place.database.rows("SELECT bundle_id FROM waybill.receipts WHERE accepted = 1")
    assert place.database.rows(
        "SELECT sum(accepted) AS a, sum(conflict) AS b, count(*) AS c FROM waybill.receipts"
    ) == [[1, 19, 20]]
    (kind, payload), = place.database.rows("SELECT type, payload FROM waybill.transactions")
    sent, = [one for one in ledger.acknowledged.values() if one.bundle_id == kept]
    assert (kind, payload) == content(sent.lines[0]), "another than the first was kept"
    ledger.check(place.database)


# -- what all of these tests rely on


@pytest.mark.parametrize("meddling, finding", [
    ("DELETE FROM waybill.transactions WHERE id = '{row}'", "I: transaction"),
    ("UPDATE waybill.transactions SET payload = '7' WHERE id = '{row}'", "was altered"),
    ("DELETE FROM waybill.receipts WHERE bundle_id = '{bundle}'", "I: 1 acknowledged"),
    ("INSERT INTO waybill.transactions SELECT (jsonb_populate_record(t, jsonb_build_object("
     "'id', gen_random_uuid()))).* FROM waybill.transactions t WHERE id = '{row}'", "E: rows"),
    ("UPDATE waybill.receipts SET bundle_digest = sha256('') WHERE bundle_id = '{bundle}'",
     "I: .* other content"),
])
def test_control_the_ledger_finds_what_is_lost_doubled_or_altered(checked_place, meddling, finding):
    """Of cases 13 to 33: a checker that cannot fail proves nothing."""
    place, ledger, bundle_id = checked_place
    row = ledger.tried[place.device.id, bundle_id].lines[0]["id"]
    ledger.check(place.database)
    place.database.query(meddling.format(row=row, bundle=bundle_id))
    with pytest.raises(AssertionError, match=finding):
        ledger.check(place.database)


@pytest.fixture
def checked_place(make_place):
    place = make_place()
    ledger = Ledger()
    bundle_id = ledger.upload(place.device)
    place.drained()
    return place, ledger, bundle_id


# -- a bundle that fails for long


def test_case_36_a_bundle_that_fails_for_long_keeps_its_own_bytes_only(make_place):
    """Its segment is written anew without the others once it has come to rest."""
    place = make_place("listeners=0", "attempts-max=50", devices=4)
    place.database.query(POISON)
    ledger = Ledger()
    ledger.upload(place.device, transaction(type="poison"))
    for device in place.devices[1:]:
        for _ in range(10):
            ledger.upload(device, transaction({"text": secrets.token_hex(20_000)}))
    # The next start closes the segment.
    place.server.stop()
    place.server.start()
    folder = pathlib.Path(place.server.data) / "log"

    def closed_bytes():
        return sum(path.stat().st_size for path in sorted(folder.glob("*.seg"))[:-1])

    assert closed_bytes() > 600_000
    place.listeners(1)
    until(lambda: place.status()["depth"] == 1)
    until(lambda: closed_bytes() < 40_000, why="its segment stays as it was")
    place.server.kill()
    place.server.start()
    place.database.query("DROP TRIGGER play ON waybill.transactions")
    place.listeners(1)
    place.drained()
    assert ledger.check(place.database) == (31, 31)

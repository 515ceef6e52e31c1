"""FAULTS.md on the real process: the process is stopped, killed, or has its clock moved, with bundles in work."""

import datetime
import os
import pathlib
import secrets
import signal
import struct
import subprocess
import time

import pytest

from ledger import Ledger
from place import Holder, needs, settled, until
from stranger import transaction
from test_processing import TRIGGER


def waiting(place):
    """Sessions of the server that wait for a lock in the database."""
    return int(place.database.query(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND datname = current_database()"))


def audit(place, kind):
    return [details for details, in place.database.rows(
        f"SELECT details FROM waybill.audit_events WHERE kind = '{kind}'")]


def attempts(place, bundle_id):
    """With which attempt a bundle got its receipt, by the audit."""
    (kind, details), = place.database.rows(
        "SELECT kind, details FROM waybill.audit_events"
        f" WHERE subject = '{bundle_id}' AND kind IN ('bundle.settled', 'bundle.quarantined')")
    return kind, details["attempt"]


def test_case_23_a_server_stopped_past_its_lease_settles_nothing_twice(make_place):
    """The stale settlement is refused and audited."""
    place = make_place("listeners=2", "lease-duration=2s", devices=2)
    place.database.query(TRIGGER)
    ledger = Ledger()
    with Holder(place.database, 42):
        slow = ledger.upload(place.device, transaction(type="slow"), transaction())
        until(lambda: waiting(place) == 1)
        os.kill(place.server.process.pid, signal.SIGSTOP)
        stopped = time.monotonic()
        until(lambda: time.monotonic() - stopped > 2.5)
        os.kill(place.server.process.pid, signal.SIGCONT)
        # The lease is over: another listener has the bundle, and waits behind the first.
        until(lambda: waiting(place) == 2)
        behind = ledger.upload(place.device)
        beside = ledger.upload(place.devices[1])
    until(lambda: settled(place.device, slow) and settled(place.device, behind))
    until(lambda: settled(place.devices[1], beside))
    stale = until(lambda: audit(place, "lease.stale"))
    assert slow in stale[0]["bundle_ids"].split()
    assert attempts(place, slow) == ("bundle.settled", 1), "it is no fault of the bundle"
    place.drained()
    ledger.check(place.database, order=True)
    place.server.command("audit", "verify")
    assert place.server.stop() == 0


@pytest.fixture
def clock(tmp_path):
    """The wall clock of a server, to be moved; the monotonic one goes on as it is."""
    needs("cc")
    library, file = tmp_path / "wall_clock.so", tmp_path / "clock"
    source = pathlib.Path(__file__).with_name("wall_clock.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    file.write_bytes(struct.pack("<q", 0))

    def move(hours):
        with open(file, "r+b") as content:
            content.write(struct.pack("<q", 3600 * hours))

    move.prefix = ["env", f"LD_PRELOAD={library}", f"WALL_CLOCK_FILE={file}"]
    return move


def test_case_25_the_wall_clock_an_hour_on_or_back_moves_no_lease(make_place, clock):
    place = make_place("listeners=2", devices=2, prefix=clock.prefix)
    place.database.query(TRIGGER)
    ledger = Ledger()
    for hours in (1, -1):
        clock(0)
        with Holder(place.database, 42):
            slow = ledger.upload(place.device, transaction(type="slow"))
            until(lambda: waiting(place) == 1)
            clock(hours)
            # The other listener is awake and takes what is there, which is not the slow bundle.
            for _ in range(3):
                beside = ledger.upload(place.devices[1])
                until(lambda: settled(place.devices[1], beside))
            told = parsed(place.device.get("/v1/device")["server_time"])
            assert abs(told - time.time() - 3600 * hours) < 60, "the clock was moved"
            assert waiting(place) == 1 and place.status()["leased"] == 1
        until(lambda: settled(place.device, slow))
        assert attempts(place, slow) == ("bundle.settled", 1)
    assert audit(place, "lease.stale") == []
    place.drained()
    ledger.check(place.database, order=True)


def parsed(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def test_case_25_a_lease_ends_on_time_though_the_wall_clock_goes_back(make_place, clock):
    place = make_place("listeners=2", "lease-duration=2s", prefix=clock.prefix)
    place.database.query(TRIGGER)
    ledger = Ledger()
    with Holder(place.database, 42):
        slow = ledger.upload(place.device, transaction(type="slow"))
        until(lambda: waiting(place) == 1)
        clock(-1)
        until(lambda: waiting(place) == 2, 20, "the lease does not end")
    until(lambda: settled(place.device, slow))
    place.drained()
    ledger.check(place.database)


def test_case_26_a_restart_with_leases_out_delivers_again_and_forgets_no_attempt(make_place):
    place = make_place("listeners=2", "attempts-max=3", devices=3)
    place.database.query(TRIGGER)
    ledger = Ledger()
    poison = ledger.upload(place.device, transaction(type="poison"))
    behind = ledger.upload(place.device)
    with Holder(place.database, 42):
        slow = ledger.upload(place.devices[1], transaction(type="slow"))
        until(lambda: failures(place, poison) == "1")
        until(lambda: waiting(place) == 1)
        place.server.kill()
    place.server.start()
    until(lambda: failures(place, poison) == "1 2" and settled(place.devices[1], slow))
    until(lambda: place.status()["leased"] == 0)
    place.server.kill()
    place.server.start()
    until(lambda: settled(place.device, behind) and settled(place.devices[1], slow))
    assert attempts(place, poison) == ("bundle.quarantined", 3)
    assert attempts(place, slow) == ("bundle.settled", 1)
    assert failures(place, poison) == "1 2", "each attempt was charged once"
    place.drained()
    ledger.check(place.database, order=True)


def failures(place, bundle_id):
    """The attempts that were charged to a bundle, as the log tells."""
    return " ".join(
        str(line["attempt"]) for line in place.log_lines()
        if line["message"] == "a bundle failed" and line.get("bundle.id") == bundle_id)


def marked(place):
    """Sequences of the bundles that are being worked on by themselves (the file `opening`)."""
    try:
        content = pathlib.Path(place.server.data, "log", "opening").read_bytes()
    except FileNotFoundError:
        return set()
    return {one for one, in struct.iter_unpack("<Q", content[:len(content) // 8 * 8]) if one}


def ends_the_process(place, times):
    """Has a bundle that is held up in the database end the server, so often as it is alone under suspicion."""
    until(lambda: waiting(place) > 0)
    for _ in range(times):
        crash(place)
        until(lambda: len(marked(place)) == 1 and waiting(place) > 0, 60, "it is not under suspicion")
    crash(place)


def crash(place):
    place.server.kill()
    # What the dead server's sessions still wait for is none of the next one's.
    place.database.query(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()")
    place.server.start()


def test_case_27_a_bundle_that_ends_the_process_is_set_aside(make_place):
    place = make_place("listeners=1", "attempts-max=2")
    place.database.query(TRIGGER)
    ledger = Ledger()
    with Holder(place.database, 42):
        bundle_id = ledger.upload(place.device, transaction(type="slow"))
        ends_the_process(place, 2)
    behind = ledger.upload(place.device)
    until(lambda: settled(place.device, behind))
    is_set_aside(place, bundle_id)
    assert attempts(place, behind) == ("bundle.settled", 1)
    place.drained()
    ledger.check(place.database, order=True)
    # Nothing was the matter with it: an operator's retry settles it.
    letter, = place.server.json("dead-letters", "list")
    place.server.command("dead-letters", "retry", letter["id"])
    until(lambda: place.status()["dead_letters"] == 0)


class StuckPart:
    """A bundle's part in place of which stands a pipe: whoever opens the bundle waits, until the part is back."""

    def __init__(self, place, ledger, device):
        folder = pathlib.Path(place.server.data, "parts")
        before = set(folder.iterdir())
        self.bundle_id = ledger.upload(device, transaction(secrets.token_hex(20_000)))
        self.path, = set(folder.iterdir()) - before
        self.kept = folder.parent / f"kept-{self.path.name}"
        self.path.rename(self.kept)
        os.mkfifo(self.path)

    def mend(self):
        self.kept.replace(self.path)


def test_case_27_its_batch_mates_are_settled_and_not_charged(make_place):
    """Nor is who was at work beside it when the process died; after that they come one at a time."""
    place = make_place("listeners=0", "attempts-max=2", "inline-bytes-max=4KiB", devices=9)
    ledger = Ledger()
    mates = [ledger.upload(device) for device in place.devices[2:5]]
    guilty = StuckPart(place, ledger, place.device)
    mates += [ledger.upload(device) for device in place.devices[5:]]
    place.listeners(1)
    until(lambda: len(marked(place)) == 1)
    place.listeners(2)
    beside = StuckPart(place, ledger, place.devices[1])
    until(lambda: len(marked(place)) == 2)
    place.server.kill()
    beside.mend()
    for _ in range(2):
        place.server.start()
        # Alone: nothing else is handed out meanwhile.
        until(lambda: len(marked(place)) == 1 and place.status()["leased"] == 1)
        place.server.kill()
    guilty.mend()
    place.server.start()
    behind = ledger.upload(place.device)
    place.drained()
    is_set_aside(place, guilty.bundle_id)
    for mate in [*mates, beside.bundle_id, behind]:
        assert attempts(place, mate) == ("bundle.settled", 1), "a neighbour was charged"
    ledger.check(place.database, order=True)


def is_set_aside(place, bundle_id):
    assert attempts(place, bundle_id)[0] == "bundle.quarantined"
    letter, = place.server.json("dead-letters", "list")
    assert (letter["bundle_id"], letter["code"]) == (bundle_id, "processing_failed")

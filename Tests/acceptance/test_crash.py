"""FAULTS.md, case 22: the server is killed at random moments under load; all that was acknowledged is accounted for."""

import json
import os
import random
import subprocess
import time

import pytest

from ledger import Ledger, Load
from place import until
from server import BINARY, ROOT

KILLS = int(os.environ.get("WAYBILL_TEST_KILLS", "10"))
SECONDS = int(os.environ.get("WAYBILL_TEST_KILL_SECONDS", "15"))
PLAN = ROOT / "deploy/soak/kills.yaml"
RATE = int(os.environ.get("WAYBILL_TEST_KILL_RATE", "15"))
SEED = int(os.environ.get("WAYBILL_TEST_SEED", random.randrange(1 << 32)))


@pytest.mark.slow
def test_case_22_what_was_acknowledged_survives_kill_9(make_place):
    """Every 0.2 to 2 seconds, counted from ready: I and E."""
    print(f"seed {SEED}: set WAYBILL_TEST_SEED to repeat, WAYBILL_TEST_KILLS for more than {KILLS}")
    chance = random.Random(SEED)
    place = make_place(devices=4)
    ledger = Ledger()
    with Load(ledger, place.devices, seed=SEED, lines_max=20):
        for _ in range(KILLS):
            ready = time.monotonic()
            wait = chance.uniform(0.2, 2)
            until(lambda: time.monotonic() - ready > wait)
            place.server.kill()
            place.server.start()
        seen = len(ledger.acknowledged)
        until(lambda: len(ledger.acknowledged) > seen + 4)
    place.drained()
    bundles, rows = ledger.check(place.database, order=True)
    print(f"{KILLS} kills, {bundles} bundles acknowledged, {rows} rows")
    assert bundles > 4 * KILLS
    assert place.status()["dead_letters"] == 0
    for device in place.devices:
        while device.collect():
            pass
        assert set(device.receipts) >= {sent.bundle_id for sent in ledger.of(device)}
        assert all(len(receipts) == 1 for receipts in device.receipts.values())
        device.confirm(device.last)
    place.server.command("audit", "verify")
    assert place.server.stop() == 0


@pytest.mark.slow
def test_case_22_the_audit_of_waybill_load_finds_nothing_after_kills(make_place, tmp_path):
    """The same with the load harness as the sender, which audits every receipt and row.

    Seconds by WAYBILL_TEST_KILL_SECONDS; nightly.sh gives it an hour.
    """
    place = make_place("rate-requests=0", "listeners=4")
    chance = random.Random(SEED)
    kills = 0
    load = subprocess.Popen(
        [BINARY, "load", "run", "--running", "--data-dir", place.server.data, "--database-url",
         place.database.url, "--tenant", "load", "--plan", PLAN, "--duration", str(SECONDS),
         "--rate", str(RATE), "--seed", str(SEED), "--report-dir", tmp_path / "report",
         "--slo", "findings==0", "--output", "json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: place.status()["depth"] or load.poll() is not None)
        began = time.monotonic()
        while load.poll() is None and time.monotonic() - began < SECONDS:
            ready = time.monotonic()
            wait = chance.uniform(0.2, 2)
            until(lambda: time.monotonic() - ready > wait)
            place.server.kill()
            place.server.start()
            kills += 1
        output, text = load.communicate(timeout=600)
    finally:
        load.kill()
    assert output, text
    report = json.loads(output)
    audit = report["audit"]
    print(f"{kills} kills in {SECONDS} s; {audit}")
    assert load.returncode == 0, text
    assert kills > SECONDS / 10 and audit["rows"] == audit["rows_expected"] > 0
    assert not audit["findings"]
    place.server.command("audit", "verify")
    assert place.server.stop() == 0

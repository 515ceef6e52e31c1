"""The server is killed at random moments under load; nothing acknowledged may be lost."""

import os
import random
import threading
import time

import pytest
import requests

from server import Server
from stranger import bundle_sha256, new_id, transaction

KILLS = int(os.environ.get("WAYBILL_TEST_KILLS", "10"))
SEED = int(os.environ.get("WAYBILL_TEST_SEED", random.randrange(1 << 32)))


class Sender(threading.Thread):
    """A device that uploads until it is told to stop; it keeps a ledger of what was acknowledged."""

    def __init__(self, device, seed):
        super().__init__(daemon=True)
        self.device = device
        self.random = random.Random(seed)
        self.stopping = threading.Event()
        self.acknowledged = {}
        self.failure = None

    def run(self):
        try:
            while not self.stopping.is_set():
                bundle_id = new_id()
                lines = [transaction({"n": n}) for n in range(self.random.randint(1, 20))]
                self.send(bundle_id, self.device.seal(bundle_id, lines), len(lines))
        except Exception as error:  # told to the test, which fails on it
            self.failure = error

    def send(self, bundle_id, data, count):
        while True:
            try:
                response = self.device.upload_raw(data, bundle_id, timeout=20)
            except requests.RequestException:
                if self.stopping.wait(0.05):
                    return
                continue
            if response.status_code == 202:
                self.acknowledged[bundle_id] = (bundle_sha256(data), count)
                return
            problem = response.json()
            assert problem["retryable"], problem
            if self.stopping.wait(0.2):
                return


@pytest.mark.slow
def test_what_was_acknowledged_survives_kill_9(tmp_path):
    print(f"seed {SEED}: set WAYBILL_TEST_SEED to repeat, WAYBILL_TEST_KILLS for more than {KILLS}")
    chance = random.Random(SEED)
    server = Server(tmp_path / "data").start()
    try:
        tenant = server.create_tenant("acme")
        devices = [server.new_device(tenant, f"device {n}") for n in range(4)]
        senders = [Sender(device, chance.random()) for device in devices]
        for sender in senders:
            sender.start()
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.2, 2))
            server.kill()
            server.start()
        time.sleep(1)
        for sender in senders:
            sender.stopping.set()
        for sender in senders:
            sender.join(60)
            assert sender.failure is None and not sender.is_alive()
        total = sum(check(sender) for sender in senders)
        print(f"{sum(len(s.acknowledged) for s in senders)} bundles acknowledged")
        assert server.row_count(tenant) == total
        assert server.json("queue", "status")["dead_letters"] == 0
        assert server.stop() == 0
    finally:
        if server.is_running:
            server.stop()


def check(sender):
    """Each acknowledged bundle has exactly one receipt; how many transactions were accepted."""
    device = sender.device
    assert sender.acknowledged, "nothing was sent"
    for bundle_id, (digest, count) in sender.acknowledged.items():
        receipt = device.receipt_of(bundle_id)
        assert receipt["state"] == "settled" and receipt["bundle_sha256"] == digest
        assert receipt["counts"]["accepted"] == count, receipt
    while device.collect(wait=1):
        pass
    assert all(len(receipts) == 1 for receipts in device.receipts.values())
    device.confirm(device.last)
    return sum(receipts[0]["counts"]["accepted"] for receipts in device.receipts.values())

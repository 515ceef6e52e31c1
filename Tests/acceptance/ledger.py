"""What a test's devices sent, and whether all of it is accounted for afterwards.

I: every acknowledged bundle is delivered with equal content, set aside as a dead letter, or named as lost.
E: each transaction is stored once, and each bundle has one receipt that is not superseded.
"""

import collections
import random
import threading
import time

import requests

from stranger import bundle_sha256, new_id, transaction

Sent = collections.namedtuple("Sent", "device bundle_id digest lines answered_at")


class Ledger:
    """Every bundle that was tried, and those that were answered with 202, in order."""

    def __init__(self):
        self.lock = threading.Lock()
        self.tried = {}
        self.acknowledged = {}

    def seal(self, device, lines):
        """A new bundle that will be tried: its id and its bytes."""
        bundle_id = new_id()
        data = device.seal(bundle_id, lines)
        sent = Sent(device, bundle_id, bundle_sha256(data), lines, None)
        with self.lock:
            self.tried[device.id, bundle_id] = sent
        return bundle_id, data

    def note(self, device, bundle_id):
        """It was answered with 202, now."""
        with self.lock:
            sent = self.tried[device.id, bundle_id]
            self.acknowledged[device.id, bundle_id] = sent._replace(answered_at=time.time())

    def post(self, device, bundle_id, data, timeout=30):
        """One try; the answer's status, None without an answer."""
        try:
            response = device.upload_raw(data, bundle_id, timeout=timeout)
        except requests.RequestException:
            return None
        if response.status_code == 202:
            self.note(device, bundle_id)
        return response.status_code

    def upload(self, device, *lines):
        """One bundle that must be received; its id."""
        bundle_id, data = self.seal(device, list(lines) or [transaction()])
        status = self.post(device, bundle_id, data)
        assert status == 202, status
        return bundle_id

    def of(self, device):
        """The device's acknowledged bundles, in the order of their answers."""
        return [sent for sent in self.acknowledged.values() if sent.device is device]

    # -- afterwards

    def check(self, postgres, lost=(), order=False):
        """Fails on whatever is not accounted for; counts acknowledged bundles and rows.

        `lost` are bundles that the server named as lost. With `order`, receipts of each device come in the
        order of their answers.
        """
        receipts = {}
        for device_id, bundle_id, digest, state, seq, accepted in postgres.rows(
                "SELECT device_id, bundle_id, encode(bundle_digest, 'hex'), state, seq, accepted"
                " FROM waybill.receipts WHERE superseded_by IS NULL"):
            key = device_id, bundle_id
            assert key not in receipts, f"E: two receipts of {key}"
            receipts[key] = digest, state, seq, accepted
        unknown = set(receipts) - set(self.tried)
        assert not unknown, f"receipts of bundles that nobody sent: {unknown}"
        rows = self.rows(postgres)
        letters = {tuple(row) for row in postgres.rows(
            "SELECT device_id, bundle_id FROM waybill.dead_letters")}
        missing = {
            key for key in self.acknowledged
            if key not in receipts and key[1] not in set(lost)}
        assert not missing, f"I: {len(missing)} acknowledged bundles are gone: {sorted(missing)[:5]}"
        for key, (digest, state, _, accepted) in receipts.items():
            sent = self.tried[key]
            assert digest == sent.digest, f"I: {key} was delivered with other content"
            if state == "quarantined":
                assert key in letters, f"I: {key} was quarantined, its bytes were not kept"
                continue
            for line in sent.lines:
                self.compare(line, rows.get(line["id"]), key)
        assert len(rows) == sum(accepted for _, _, _, accepted in receipts.values()), "E: rows"
        if order:
            self.check_order(receipts)
        return len(self.acknowledged), len(rows)

    def rows(self, postgres):
        rows = {}
        for identifier, kind, payload in postgres.rows(
                "SELECT id, type, payload FROM waybill.transactions"):
            assert identifier not in rows, f"E: {identifier} is stored twice"
            rows[identifier] = kind, payload
        return rows

    def compare(self, line, row, key):
        assert row is not None, f"I: transaction {line['id']} of {key} is gone"
        others = [
            other for sent in self.tried.values() for other in sent.lines
            if other["id"] == line["id"]] if row != content(line) else []
        assert row == content(line) or row in map(content, others), f"I: {line['id']} was altered"

    def check_order(self, receipts):
        by_device = collections.defaultdict(list)
        for key in self.acknowledged:
            if key in receipts:
                by_device[key[0]].append(receipts[key][2])
        for device_id, numbers in by_device.items():
            assert numbers == sorted(numbers), f"{device_id} was settled out of order"


def content(line):
    return line["type"], line["payload"]


class Sender(threading.Thread):
    """A device that sends one bundle after the other, each until it is answered with 202, until told to stop."""

    def __init__(self, device, ledger, seed, lines_max=10, make=transaction):
        super().__init__(daemon=True)
        self.device = device
        self.ledger = ledger
        self.random = random.Random(seed)
        self.lines_max = lines_max
        self.make = make
        self.stopping = threading.Event()
        self.refusals = collections.Counter()
        self.failure = None

    def run(self):
        try:
            while not self.stopping.is_set():
                lines = [self.make() for _ in range(self.random.randint(1, self.lines_max))]
                self.send(*self.ledger.seal(self.device, lines))
        except Exception as error:  # told to the test, which fails on it
            self.failure = error

    def send(self, bundle_id, data):
        while (status := self.ledger.post(self.device, bundle_id, data)) != 202:
            assert status is None or status >= 500, status
            self.refusals[status] += 1
            if self.stopping.wait(0.05):
                return


class Load:
    """Senders at work, as a context; what failed in them fails the test."""

    def __init__(self, ledger, devices, seed=1, **options):
        self.senders = [
            Sender(device, ledger, seed + number, **options)
            for number, device in enumerate(devices)]

    def __enter__(self):
        for sender in self.senders:
            sender.start()
        return self

    def __exit__(self, kind, error, trace):
        for sender in self.senders:
            sender.stopping.set()
        for sender in self.senders:
            sender.join(60)
        if kind is None:
            for sender in self.senders:
                assert sender.failure is None, sender.failure
                assert not sender.is_alive(), "a sender hangs"

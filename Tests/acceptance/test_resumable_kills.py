"""Clients of every kind upload while the server is killed again and again: nothing that was told is taken back."""

import os
import threading
import time

import pytest
import requests

from place import until
from resumable import Upload, Wire, authorized, chance_of, is_settled, seal
from stranger import Refused, bundle_sha256
from test_resumable_mixed import append_fields
from tus_calls import VERSION, metadata

SECONDS = int(os.environ.get("WAYBILL_TEST_UPLOAD_KILL_SECONDS", "12"))
# Seconds from ready to a kill.
EVERY = (0.2, 2)
PIECE = 1 << 18


class Unanswered(Exception):
    """The connection went."""


class Client(threading.Thread):
    """A device that uploads one bundle after the other in its way, until told to stop and all are received."""

    def __init__(self, device):
        super().__init__(daemon=True)
        self.device = device
        self.chance = chance_of(f"{type(self).__name__}")
        self.stopping = threading.Event()
        self.received = []
        self.lost_appends = 0
        self.failure = None

    def run(self):
        try:
            while not self.stopping.is_set():
                sealed = seal(self.device, self.chance, self.chance.randint(100_000, 1_500_000))
                self.told, self.url, self.is_begun = 0, None, False
                while not self.stands(sealed):
                    pass
                self.received.append(sealed)
        except Exception as error:  # told to the test, which fails on it
            self.failure = error

    def stands(self, sealed):
        """One try; True once the bundle is received."""
        try:
            return self.upload(sealed)
        except (Unanswered, requests.RequestException, OSError):
            pass
        except Refused as refused:
            assert refused.problem.get("retryable"), refused
        self.stopping.wait(0.02)
        return False

    def hear(self, offset):
        assert offset >= self.told, f"{offset} was told after {self.told}"
        self.told = offset

    def ask(self, method, target, fields, data=b"", is_append=False):
        """One request; an append that was begun and not answered is lost, for all that the client knows.

        :raises Unanswered: without an answer, or with one that says to come again.
        """
        answer = None
        with Wire(self.device.base) as wire:
            try:
                length = {} if method == "HEAD" else {"Content-Length": str(len(data))}
                wire.head(method, target, authorized(self.device, {**fields, **length}))
                for at in range(0, len(data), 1 << 16):
                    wire.body(data[at:at + (1 << 16)])
                answer = wire.end().answer()
                for one in wire.interim if answer is None else answer.interim:
                    if "Upload-Offset" in one.headers:
                        self.hear(int(one.headers["Upload-Offset"]))
                    if "Location" in one.headers:
                        self.url = one.headers["Location"]
            finally:
                if answer is None and is_append:
                    self.lost_appends += 1
        if answer is None or answer.status_code >= 500:
            raise Unanswered
        return answer

    def went_on(self, answer, statuses, offset):
        """The answer to an append of bytes up to an offset: it was asked for, so that it fits."""
        assert answer.status_code in statuses, answer
        self.told = offset


class Optimistic(Client):
    """Version 8: everything in the creating request, the rest to the URL that 104 told."""

    version = 8

    def fields(self, complete, offset=None):
        return Upload(self.device, self.version, "").dialect.fields(complete, offset)

    def create(self, sealed):
        answer = self.ask("POST", "/v1/bundles", {
            "Content-Type": "application/zip", "Idempotency-Key": sealed.bundle_id,
            **self.fields(True)}, sealed.parts[0], is_append=True)
        assert answer.status_code == 202, answer
        return True

    def upload(self, sealed):
        if self.url is None:
            return self.create(sealed)
        data = sealed.parts[0]
        answer = self.ask("HEAD", self.url, {})
        assert answer.status_code == 204, answer
        self.hear(answer.offset)
        if answer.headers["Upload-Complete"] == "?1":
            return True
        return self.append(data)

    def append(self, data):
        answer = self.ask(
            "PATCH", self.url, self.fields(True, self.told), data[self.told:], is_append=True)
        self.went_on(answer, (202,), len(data))
        return True


class Careful(Optimistic):
    """Without a version: an empty creation, then pieces; it asks after each one that was not answered."""

    version = None

    def create(self, sealed):
        answer = self.ask("POST", "/v1/bundles", {
            "Content-Type": "application/zip", "Idempotency-Key": sealed.bundle_id,
            **self.fields(False)})
        assert answer.status_code == 201, answer
        self.url = answer.headers["Location"]
        return False

    def append(self, data):
        while True:
            end = min(self.told + PIECE, len(data))
            complete = end == len(data)
            answer = self.ask(
                "PATCH", self.url, self.fields(complete, self.told), data[self.told:end],
                is_append=True)
            self.went_on(answer, (202,) if complete else (201, 204), end)
            if complete:
                return True


class Tus(Client):
    """tus, in pieces, as tuspy does it."""

    def upload(self, sealed):
        data = sealed.parts[0]
        if self.url is None:
            answer = self.ask("POST", "/v1/uploads", {
                "Tus-Resumable": VERSION, "Upload-Length": str(len(data)),
                "Upload-Metadata": metadata(bundle_id=sealed.bundle_id)})
            assert answer.status_code == 201, answer
            self.url = answer.headers["Location"]
        answer = self.ask("HEAD", self.url, {"Tus-Resumable": VERSION})
        assert answer.status_code == 200, answer
        self.hear(answer.offset)
        while self.told < len(data):
            end = min(self.told + PIECE, len(data))
            answer = self.ask(
                "PATCH", self.url, append_fields("tus", self.told), data[self.told:end],
                is_append=True)
            self.went_on(answer, (204,), end)
        return True


class Whole(Client):
    """Plain PUT to a declared part: all of it again whenever it was not answered."""

    def upload(self, sealed):
        data = sealed.parts[0]
        if not self.is_begun:
            self.device.declare(sealed.bundle_id, sealed.parts)
            self.is_begun = True
        answer = self.ask(
            "PUT", f"/v1/bundles/{sealed.bundle_id}/parts/1", {"Content-Type": "application/zip"},
            data, is_append=True)
        assert answer.status_code in (200, 201), answer
        return True


@pytest.mark.slow
def test_all_complete_offsets_never_go_back_and_an_append_is_lost_a_kill_at_most(make_place):
    """Seconds by WAYBILL_TEST_UPLOAD_KILL_SECONDS, a kill within every two of them."""
    place = make_place("listeners=2", devices=4)
    kinds = (Optimistic, Careful, Tus, Whole)
    clients = [kind(device) for kind, device in zip(kinds, place.devices)]
    for client in clients:
        client.start()
    began, kills = time.monotonic(), 0
    chance = chance_of("kills")
    try:
        while time.monotonic() - began < SECONDS:
            ready, moment = time.monotonic(), chance.uniform(*EVERY)
            until(lambda: time.monotonic() - ready > moment)
            place.server.kill()
            kills += 1
            place.server.start()
            assert not any(client.failure for client in clients), [one.failure for one in clients]
        seen = [len(client.received) for client in clients]
        until(lambda: any(client.failure for client in clients) or all(
            len(client.received) > count for client, count in zip(clients, seen)), 120)
    finally:
        for client in clients:
            client.stopping.set()
    for client in clients:
        client.join(120)
        assert client.failure is None, client.failure
        assert not client.is_alive(), f"{type(client).__name__} hangs"
        # A kill takes one request of a client with it, and never more.
        assert client.lost_appends <= kills, type(client).__name__
        for sealed in client.received:
            is_settled(client.device, sealed)
            assert len(client.device.receipts[sealed.bundle_id]) == 1
    place.drained()
    count = sum(len(client.received) for client in clients)
    print(f"{kills} kills, {count} bundles, {[one.lost_appends for one in clients]} appends lost")
    digests = {digest for digest, in place.database.rows(
        "SELECT encode(bundle_digest, 'hex') FROM waybill.receipts")}
    assert digests == {
        bundle_sha256(*sealed.parts) for client in clients for sealed in client.received}
    assert place.status()["dead_letters"] == 0
    for client in clients:
        assert client.device.get("/v1/bundles", params={"state": "receiving"}) == {"bundles": []}
    place.server.command("audit", "verify")
    assert place.server.stop() == 0

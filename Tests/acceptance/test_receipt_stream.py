"""CONTRACT.md: "`GET /receipts` with `Accept: text/event-stream`: the same as server-sent events"."""

import json
import socket
import threading
import time

import pytest
import requests

from server import Server
from stranger import Refused, checked, new_id, transaction


class Stream:
    """Server-sent events, read as the WHATWG page says."""

    def __init__(self, device, after=None, last_event_id=None, accept="text/event-stream"):
        headers = {"Accept": accept, "Authorization": f"Bearer {device.token}"}
        if last_event_id is not None:
            headers["Last-Event-ID"] = str(last_event_id)
        self.response = requests.get(
            device.base + "/v1/receipts", headers=headers, stream=True, timeout=(30, 60),
            params={} if after is None else {"after": after})
        checked(self.response)
        self.lines = self.response.iter_lines(chunk_size=1)
        self.comments = 0
        self.retry = None

    def events(self):
        """(id, event, data) of each, until the stream ends."""
        fields = {}
        for line in self.lines:
            line = line.decode()
            if not line:
                if "data" in fields:
                    yield fields.get("id"), fields.get("event"), fields["data"]
                fields = {}
            elif line.startswith(":"):
                self.comments += 1
            else:
                name, _, value = line.partition(":")
                value = value.removeprefix(" ")
                assert name != "data" or "data" not in fields, "one line of data"
                fields[name] = value
                if name == "retry":
                    self.retry = int(value)

    def take(self, count):
        source = self.events()
        return [next(source) for _ in range(count)]

    def close(self):
        self.response.close()


def send(device, count=1):
    for _ in range(count):
        bundle_id = new_id()
        device.upload(bundle_id, device.seal(bundle_id, [transaction()]))


def until_settled(device, count):
    while device.page(after=count - 1, wait=10)["last"] < count:
        pass


def test_each_receipt_is_one_event_as_it_was_signed(device):
    send(device, 3)
    until_settled(device, 3)
    stream = Stream(device)
    assert stream.response.headers["Content-Type"] == "text/event-stream"
    assert "no-cache" in stream.response.headers["Cache-Control"]
    assert stream.response.headers["X-Accel-Buffering"] == "no"
    events = stream.take(3)
    assert stream.retry >= 1000
    assert [event[:2] for event in events] == [(str(n), "receipt") for n in (1, 2, 3)]
    assert [json.loads(event[2]) for event in events] == device.page()["receipts"]
    for event in events:
        device.verify(json.loads(event[2]))
    # What is settled while the stream is open comes at once.
    send(device)
    assert stream.take(1)[0][0] == "4"
    stream.close()


def test_last_event_id_beats_after(device):
    send(device, 4)
    until_settled(device, 4)
    stream = Stream(device, after=1, last_event_id=3)
    assert stream.take(1)[0][0] == "4"
    stream.close()
    stream = Stream(device, after=2)
    assert [event[0] for event in stream.take(2)] == ["3", "4"]
    stream.close()


@pytest.mark.parametrize("value", ["-1", "x", "1.5"])
def test_a_last_event_id_that_is_no_number_is_400(device, value):
    with pytest.raises(Refused) as refused:
        Stream(device, last_event_id=value)
    assert (refused.value.status, refused.value.code) == (400, "invalid_request")


def test_a_comment_comes_within_15_seconds(device):
    stream = Stream(device)
    began = time.monotonic()
    for line in stream.lines:
        if line.startswith(b":"):
            break
    assert 10 < time.monotonic() - began < 30
    stream.close()


def test_the_stream_ends_when_the_device_is_revoked(server, device):
    stream = Stream(device)
    ended = threading.Event()

    def read():
        list(stream.events())
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    server.command("device", "revoke", device.id)
    assert ended.wait(5), "the stream goes on"
    with pytest.raises(Refused) as refused:
        Stream(device)
    assert refused.value.status == 401


def test_a_head_request_does_not_wait(device):
    answer = device.http.head(
        device.base + "/v1/receipts", headers={"Accept": "text/event-stream"}, timeout=10)
    assert answer.status_code == 200


def test_many_streams_at_once_each_get_their_own(server, tenant):
    devices = [server.new_device(tenant) for _ in range(5)]
    streams = [(device, Stream(device)) for device in devices for _ in range(20)]
    for device in devices:
        send(device)
    for device, stream in streams:
        event = stream.take(1)[0]
        assert json.loads(event[2])["device_id"] == device.id
        stream.close()


def test_a_stream_goes_on_after_a_restart_of_the_server(tmp_path):
    server = Server(tmp_path / "data").start()
    try:
        device = server.new_device(server.create_tenant("acme"))
        stream = Stream(device)
        send(device)
        assert stream.take(1)[0][0] == "1"
        assert server.stop() == 0
        # An orderly end, not a broken connection.
        assert list(stream.events()) == []
        server.start()
        again = Stream(device, last_event_id=1)
        send(device, 2)
        assert [event[0] for event in again.take(2)] == ["2", "3"]
        server.kill()
        with pytest.raises(requests.RequestException):
            list(again.events())
        server.start()
        last = Stream(device, last_event_id=2)
        assert last.take(1)[0][0] == "3"
        last.close()
    finally:
        if server.is_running:
            server.stop()


def memory(server):
    for line in open(f"/proc/{server.process.pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) << 10


def test_slow_readers_hold_up_nobody_and_cost_bounded_memory(server, tenant):
    """Receipts of 1 MiB in all, to readers that take nothing."""
    device = server.new_device(tenant)
    # Alternating outcomes do not fold: each line is an exception of its own.
    lines = []
    for _ in range(4000):
        lines += ["{", transaction()]
    device.send(lines)
    before = memory(server)
    sockets = []
    host, port = server.device_address.split(":")
    for _ in range(50):
        connection = socket.create_connection((host, int(port)), timeout=30)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(
            (f"GET /v1/receipts HTTP/1.1\r\nHost: {server.device_address}\r\n"
             f"Authorization: Bearer {device.token}\r\nAccept: text/event-stream\r\n\r\n").encode())
        sockets.append(connection)
    for connection in sockets:
        assert connection.recv(12) == b"HTTP/1.1 200"
    other = server.new_device(tenant)
    assert other.send([transaction()])["counts"]["accepted"] == 1
    assert memory(server) - before < 150 << 20
    for connection in sockets:
        connection.close()

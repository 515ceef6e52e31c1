"""Slow headers, slow body at 1 B/5 s, slow reader, 2,000 idle connections: closed, others served.

The deadlines of the contract are settings; they are short here. Their exact bounds are tested on the state
machine, with time passed in."""

import resource
import select
import ssl
import threading
import time

import pytest

from raw import Footprint, Raw
from server import Postgres, Server
from stranger import checked, new_id, transaction
from test_http_framing import head
from test_tls import make_certificate

QUICK = ["header-deadline=1s", "idle-timeout=3s", "body-rate-window=1s", "rate-requests=0"]


def options(settings):
    return [word for setting in settings for word in ("--set", setting)]


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("quick") / "data", *options(QUICK)).start()
    server.device = server.new_device(server.create_tenant("acme"))
    server.footprint = Footprint(server)
    yield server
    server.footprint.assert_back()
    assert server.device.send([transaction()])["counts"]["accepted"] == 1
    assert server.stop() == 0


def drip(raw, piece, every=0.2, seconds=20):
    """Sends a byte now and then until the server has had enough; what it answered."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        raw.send(piece)
        if select.select([raw.socket], [], [], every)[0] and not raw.receive():
            return raw
    raise AssertionError("the connection lives on")


def test_slow_headers_are_closed_with_408(quick):
    with Raw(quick) as raw:
        raw.send("GET /v1/device HTTP/1.1\r\nHost: a\r\n")
        drip(raw, "X: y\r\n")
        answer = raw.until_closed()
        assert answer.status == 408 and answer.problem["code"] == "request_timeout"
        assert answer.headers["connection"] == "close"


def test_slow_headers_of_a_later_request_are_closed_too(quick):
    with Raw(quick) as raw:
        raw.send(head(quick.device, path="/v1/device", method="GET"))
        assert raw.answer().status == 200
        raw.send("G")
        drip(raw, "E")
        assert raw.until_closed().status in (400, 408)


def test_a_slow_body_is_closed_and_nothing_is_queued(quick):
    bundle = new_id()
    with Raw(quick) as raw:
        raw.send(head(quick.device, "Content-Length: 100000", bundle=bundle))
        drip(raw, "P")
        answer = raw.until_closed()
        assert answer.status == 408 and answer.problem["code"] == "request_timeout"
        assert answer.problem["retryable"] is True
    status = quick.device.http.get(f"{quick.device.base}/v1/bundles/{bundle}")
    assert status.status_code == 404


def test_a_body_over_the_minimum_rate_may_take_its_time(quick):
    bundle = new_id()
    data = quick.device.seal(bundle, [transaction(payload=new_id()) for _ in range(400)])
    began = time.monotonic()
    with Raw(quick) as raw:
        raw.send(head(quick.device, f"Content-Length: {len(data)}", bundle=bundle))
        # Three times the minimum, for longer than a window.
        step = 1200
        for offset in range(0, len(data), step):
            raw.send(data[offset:offset + step])
            select.select([raw.socket], [], [], 0.2)
        assert raw.answer().status == 202
    assert time.monotonic() - began > 2, "the body took no longer than a window"


def test_a_silent_connection_is_closed_without_a_word(quick):
    with Raw(quick) as raw:
        assert raw.until_closed().raw == b""


def test_an_idle_connection_is_closed_after_its_timeout(quick):
    with Raw(quick) as raw:
        raw.send(head(quick.device, path="/v1/device", method="GET"))
        assert raw.answer().status == 200
        raw.socket.settimeout(20)
        assert raw.until_closed().raw == b""


def test_a_long_poll_outlives_every_deadline(quick):
    began = time.monotonic()
    device = quick.new_device(quick.create_tenant("patient"))
    with Raw(quick, timeout=30) as raw:
        raw.send(head(device, path="/v1/receipts?wait=5", method="GET"))
        assert raw.answer().status == 200
    assert time.monotonic() - began >= 5


def test_a_slow_reader_is_closed(quick):
    device = quick.new_device(quick.create_tenant("verbose"))
    for _ in range(3):
        # Many exceptions make a long receipt.
        device.send([transaction(id="x") if n % 2 else transaction() for n in range(3000)])
    size = len(device.http.get(f"{device.base}/v1/receipts").content)
    assert size > 200_000
    with Raw(quick, receive_buffer=4096) as raw:
        raw.send(head(device, path="/v1/receipts", method="GET") * 200)
        # Nothing is read; the server ends it all the same.
        poll = select.poll()
        poll.register(raw.socket, select.POLLHUP | select.POLLERR | select.POLLRDHUP)
        assert poll.poll(30_000), "the connection lives on"
    assert device.http.get(f"{device.base}/v1/device").status_code == 200


def test_2000_idle_connections_are_closed_and_others_served(quick):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2200:
        pytest.skip("too few descriptors for the test itself")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2200), hard))
    connections = []
    try:
        for _ in range(2000):
            connections.append(Raw(quick))
        assert quick.device.send([transaction()])["counts"]["accepted"] == 1
        for connection in connections:
            assert connection.until_closed().raw == b""
    finally:
        for connection in connections:
            connection.socket.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_connections_over_the_cap_wait_until_one_ends(tmp_path):
    server = Server(
        tmp_path / "data", *options(
            [one for one in QUICK if not one.startswith("header-deadline=")]
            + ["connections-max=5", "header-deadline=2s"])).start()
    try:
        device = server.new_device(server.create_tenant("acme"))
        device.http.close()
        # The system hands connections over four at a time: three more than the cap may come in.
        held = [Raw(server) for _ in range(5 + 3)]
        with Raw(server) as late:
            late.send(head(device, path="/v1/device", method="GET"))
            assert not select.select([late.socket], [], [], 0.3)[0], "it is over the cap"
            assert late.answer().status == 200
        for connection in held:
            assert connection.until_closed().raw == b""
    finally:
        assert server.stop() == 0


def test_with_64_descriptors_only_accepts_back_off(tmp_path):
    postgres = Postgres()
    server = Server(
        tmp_path / "data", *options([*QUICK, "database-connections=1", "listeners=1"]),
        "--database-url", postgres.url)
    server.prefix = ["prlimit", "--nofile=64:64"]
    try:
        server.start()
        device = server.new_device(server.create_tenant("acme"))
        held = [Raw(server) for _ in range(64)]
        for connection in held:
            connection.send("GET /v1/device HTTP/1.1\r\n")
        # Those that wait take nothing from the queue, the database and the operators.
        for _ in range(5):
            assert Footprint(server).descriptors < 64
            assert checked(server.admin("GET", "/admin/v1/status")).json()["queue"]["depth"] == 0
        # The slow heads are closed one after the other, and those that waited come in: each is answered.
        for connection in held:
            assert connection.until_closed().status == 408
        assert device.send([transaction()])["counts"]["accepted"] == 1
        assert "Too many open files" not in open(server.data + ".log").read()
    finally:
        assert server.stop() == 0
        postgres.stop("fast")
        postgres.remove()


def test_uploads_never_take_the_descriptors_of_the_queue(tmp_path):
    """Each holds two: its connection, and the file of its part."""
    server = Server(tmp_path / "data", *options(["rate-requests=0", "inline-bytes-max=1KiB"]))
    server.prefix = ["prlimit", "--nofile=170:170"]
    server.start()
    try:
        device = server.new_device(server.create_tenant("acme"))
        bundles = [new_id() for _ in range(100)]
        sealed = [device.seal(b, [transaction(payload=new_id() * 100)], method=0) for b in bundles]
        under_way, go, statuses = [], threading.Event(), []

        def upload(bundle, data):
            with Raw(server, timeout=120) as raw:
                raw.send(head(device, f"Content-Length: {len(data)}", bundle=bundle))
                raw.send(data[:-1000])
                under_way.append(bundle)
                go.wait(60)
                raw.send(data[-1000:])
                statuses.append(raw.answer().status)

        threads = [threading.Thread(target=upload, args=pair) for pair in zip(bundles, sealed)]
        for thread in threads:
            thread.start()
        # All have sent what they send; those that are let in have a file each.
        footprint = Footprint(server)
        before = -1
        while len(under_way) < len(threads) or footprint.count() != before:
            before = footprint.count()
            time.sleep(0.5)
        assert before < 170
        go.set()
        for thread in threads:
            thread.join()
        assert statuses == [202] * len(bundles)
        for bundle in bundles:
            assert device.receipt_of(bundle)["counts"]["accepted"] == 1
        assert "Too many open files" not in open(server.data + ".log").read()
        assert "too few file descriptors" in open(server.data + ".log").read()
    finally:
        assert server.stop() == 0


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quick-tls")
    certificate, key = make_certificate(folder)
    server = Server(
        folder / "data", "--tls-certificate", certificate, "--tls-key", key,
        *options(QUICK)).start()
    server.context = ssl.create_default_context(cafile=certificate)
    server.wrap = lambda plain: server.context.wrap_socket(plain, server_hostname="127.0.0.1")
    yield server
    assert server.stop() == 0


def test_a_tls_handshake_that_does_not_end_is_closed(secure):
    for first in [b"", b"\x16\x03\x01"]:
        with Raw(secure) as raw:
            raw.send(first)
            raw.until_closed()


def test_a_slow_head_and_a_slow_body_are_closed_over_tls(secure, monkeypatch):
    with Raw(secure, wrap=secure.wrap) as raw:
        raw.send("GET /v1/device HTTP/1.1\r\nHost: a\r\n")
        drip(raw, "X: y\r\n")
        assert raw.until_closed().status == 408
    certificate = secure.options[1]
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    device = secure.new_device(secure.create_tenant("acme"))
    with Raw(secure, wrap=secure.wrap) as raw:
        raw.send(head(device, "Content-Length: 100000"))
        drip(raw, "P")
        assert raw.until_closed().status == 408


def test_plain_http_on_the_tls_port_is_refused(secure):
    with Raw(secure) as raw:
        answer = raw.send("GET /v1/device HTTP/1.1\r\nHost: a\r\n\r\n").until_closed()
        assert not answer.raw.startswith(b"HTTP/1.1 2")

"""BAD-INPUTS.md, for all: "one audit or security event"."""

import re

import pytest
import requests

from raw import exchange
from server import Server
from stranger import enroll, new_id, transaction
from test_http_framing import head


def refusals(server):
    """How many refusals the server has told of, whatever the reason."""
    text = requests.get(server.admin_url + "/metrics", timeout=30).text
    return sum(map(int, re.findall(r"^waybill_refusals_total\{.*\} (\d+)$", text, re.M)))


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("watched") / "data").start()
    server.device = server.new_device(server.create_tenant("acme"))
    yield server
    assert server.stop() == 0


def get(path, **headers):
    return lambda server: requests.get(server.device_url + path, headers=headers, timeout=30)


def raw(*lines):
    return lambda server: exchange(server, head(server.device, *lines) + "hello")


def wrong_code(server):
    with pytest.raises(Exception, match="code_invalid"):
        enroll(server.device_url, "guess")


def test_a_burst_is_told_of_in_full(tmp_path):
    server = Server(tmp_path / "data").start()
    for _ in range(30):
        get("/v1/device")(server)
    assert server.stop() == 0
    counts = [
        int(re.search(r'"refusal.count":"?(\d+)', line)[1]) for line in open(server.data + ".log")
        if "waybill.security" in line and '"unauthorized"' in line]
    assert counts[0] == 1 and sum(counts) == 30


STRANGERS = {
    "no token": get("/v1/device"),
    "wrong token": get("/v1/device", Authorization="Bearer guess"),
    "wrong code": wrong_code,
    "two lengths": raw("Content-Length: 5", "Content-Length: 6"),
    "length and chunks": raw("Content-Length: 5", "Transfer-Encoding: chunked"),
    "folded": raw("X-Folded: a\r\n b"),
    "large header": raw("X: " + "y" * (100 << 10)),
    "no HTTP": lambda server: exchange(server, "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"),
}


@pytest.mark.parametrize("case", STRANGERS)
def test_each_refusal_of_a_stranger_is_one_security_event(watched, case):
    before = refusals(watched)
    STRANGERS[case](watched)
    assert refusals(watched) == before + 1
    assert "waybill.security" in open(watched.data + ".log").read()


def upload(data=None, **options):
    def send(server):
        device, bundle_id = server.device, new_id()
        content = device.seal(bundle_id, [transaction()]) if data is None else data
        return device.upload_raw(content, bundle_id, **options)
    return send


def elsewhere(server):
    stranger, bundle_id = server.new_device("acme"), new_id()
    stranger.upload(bundle_id, stranger.seal(bundle_id, [transaction()]))
    return server.device.http.get(
        f"{server.device.base}/v1/bundles/{bundle_id}", timeout=30)


DEVICES = {
    "archive_empty": (upload(b""), 422),
    "archive_not_zip": (upload(b"x" * 500), 422),
    "digest_mismatch": (upload(headers={"Content-Digest": f"sha-256=:{'A' * 43}=:"}), 422),
    "a gzip body": (upload(headers={"Content-Encoding": "gzip"}), 415),
    "somebody else's bundle": (elsewhere, 404),
}


@pytest.mark.parametrize("case", DEVICES)
def test_each_refusal_of_a_device_is_one_security_event(watched, case):
    send, status = DEVICES[case]
    before = refusals(watched)
    assert send(watched).status_code == status
    assert refusals(watched) == before + 1

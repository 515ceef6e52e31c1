"""Hostile HTTP on raw sockets: each item of "Send this, expect that", HTTP and TLS, first sentence and
what belongs to it: a problem document, `Connection: close` where framing is in doubt, and afterwards the
same process serves on."""

import gzip
import re

import pytest

from raw import Footprint, Raw, exchange
from stranger import new_id, transaction


@pytest.fixture(scope="module", autouse=True)
def the_server_is_as_before(server):
    """The same process afterwards, memory and descriptors back to where they were."""
    footprint = Footprint(server)
    process = server.process.pid
    yield
    footprint.assert_back()
    assert server.is_running and server.process.pid == process
    device = server.new_device(server.create_tenant("after-framing"))
    assert device.send([transaction()])["counts"]["accepted"] == 1


def head(device, *lines, path="/v1/bundles", method="POST", bundle=None):
    fields = [
        f"{method} {path} HTTP/1.1", "Host: waybill", f"Authorization: Bearer {device.token}",
        "Content-Type: application/zip", f"Idempotency-Key: {bundle or new_id()}", *lines,
    ]
    return "\r\n".join(fields) + "\r\n\r\n"


def assert_refused(server, data, status=400, code="invalid_request"):
    answer = exchange(server, data)
    assert answer.status == status, answer.raw
    assert answer.headers["connection"] == "close"
    assert answer.problem["code"] == code
    assert answer.problem["status"] == status
    assert len(re.findall(rb"HTTP/1\.1 \d\d\d", answer.raw)) == 1, "one answer, then the end"


FRAMING = {
    "Content-Length with Transfer-Encoding": ["Content-Length: 5", "Transfer-Encoding: chunked"],
    "two lengths": ["Content-Length: 5", "Content-Length: 6"],
    "two equal lengths": ["Content-Length: 5", "Content-Length: 5"],
    "two lengths in one field": ["Content-Length: 5, 5"],
    "+5": ["Content-Length: +5"],
    "0x5": ["Content-Length: 0x5"],
    "-1": ["Content-Length: -1"],
    "2^64": ["Content-Length: 18446744073709551616"],
    "chunked, identity": ["Transfer-Encoding: chunked, identity"],
    "xchunked": ["Transfer-Encoding: xchunked"],
    "chunked twice": ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
    "chunked, chunked": ["Transfer-Encoding: chunked, chunked"],
    "folded headers": ["X-Folded: a\r\n b"],
    "space before the colon": ["Content-Length : 5"],
    "NUL": ["X-Nul: a\0b"],
    "two Hosts": ["Host: other"],
}


@pytest.mark.parametrize("name", FRAMING)
def test_broken_framing_is_400_and_close(server, device, name):
    assert_refused(server, head(device, *FRAMING[name]) + "hello")


@pytest.mark.parametrize("request_text", [
    pytest.param("GET /v1/device HTTP/1.1\r\n\r\n", id="no Host"),
    pytest.param("POST /v1/bundles HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "5\r\nhello\r\n0\r\n\r\n", id="TE on HTTP/1.0"),
    pytest.param("GET /v1/device HTTP/1.1\nHost: a\n\n", id="bare LF"),
    pytest.param("GET /v1/device HTTP/3.0\r\nHost: a\r\n\r\n", id="another version"),
    pytest.param("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS on the plain port"),
    pytest.param("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", id="another scheme"),
])
def test_what_is_no_request_is_400_and_close(server, request_text):
    assert_refused(server, request_text)


@pytest.mark.parametrize("chunks", [
    pytest.param("0x5\r\nhello\r\n", id="0x"), pytest.param("-1\r\n", id="-1"),
    pytest.param("00000000000000005\r\nhello\r\n", id="17 digits"),
    pytest.param("5\nhello\r\n0\r\n\r\n", id="bare LF"),
    pytest.param("5;" + "x" * 20_000 + "\r\nhello\r\n", id="huge extensions"),
    pytest.param("5\r\nhelloXX0\r\n\r\n", id="no line end"),
])
def test_a_broken_chunk_is_400_and_close(server, device, chunks):
    bundle = new_id()
    assert_refused(server, head(device, "Transfer-Encoding: chunked", bundle=bundle) + chunks)
    assert device.http.get(f"{device.base}/v1/bundles/{bundle}").status_code == 404


def test_257_headers_and_100_kib_of_them_are_431(server, device):
    # Four fields stand in each head.
    for count, status in [(255, 404), (256, 404), (257, 431)]:
        lines = [f"X-{number}: y" for number in range(count - 5)] + ["Connection: close"]
        data = head(device, *lines, path="/v1/nothing", method="GET")
        answer = exchange(server, data)
        assert answer.status == status, (count, answer.raw)
    assert_refused(
        server, head(device, *[f"X-{n}: y" for n in range(253)]), 431, "header_too_large")
    assert_refused(server, head(device, "X: " + "y" * (100 << 10)), 431, "header_too_large")


def test_a_head_of_the_limit_is_read_and_one_byte_more_is_431(server, device):
    limit = device.limits["header_bytes_max"]
    empty = len(head(device, "Connection: close", "X: ", path="/v1/nothing", method="GET"))
    for size, status in [(limit - 1, 404), (limit, 404), (limit + 1, 431)]:
        filler = "y" * (size - empty)
        data = head(device, "Connection: close", f"X: {filler}", path="/v1/nothing", method="GET")
        assert len(data) == size
        assert exchange(server, data).status == status


def test_expect_100_continue_with_a_bad_token_is_401_before_the_body(server, device):
    data = head(device, "Content-Length: 1000000", "Expect: 100-continue")
    answer = exchange(server, data.replace(device.token, "wrong"))
    assert answer.status == 401 and answer.problem["code"] == "unauthorized"
    assert answer.headers["connection"] == "close"


def test_expect_100_continue_with_a_good_token_asks_for_the_body(server, device):
    bundle = new_id()
    data = device.seal(bundle, [transaction()])
    with Raw(server) as raw:
        raw.send(head(device, f"Content-Length: {len(data)}", "Expect: 100-continue", bundle=bundle))
        assert raw.answer().status == 100
        assert raw.send(data).answer().status == 202


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_shorter_than_announced_queues_nothing(server, device, framing):
    bundle = new_id()
    data = device.seal(bundle, [transaction()])
    with Raw(server) as raw:
        if framing == "length":
            raw.send(head(device, f"Content-Length: {len(data) + 1}", bundle=bundle)).send(data)
        else:
            raw.send(head(device, "Transfer-Encoding: chunked", bundle=bundle))
            raw.send(f"{len(data):x}\r\n").send(data)
        raw.socket.shutdown(1)
        answer = raw.until_closed()
    assert answer.status in (None, 400), answer.raw
    assert device.http.get(f"{device.base}/v1/bundles/{bundle}").status_code == 404
    assert device.upload(bundle, data)["state"] == "queued"


def test_a_gzip_body_is_415(server, device):
    bundle = new_id()
    data = gzip.compress(device.seal(bundle, [transaction()]))
    answer = device.upload_raw(data, bundle, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 415 and answer.json()["code"] == "unsupported_media_type"


@pytest.mark.parametrize("line", [
    "TRACE /v1/device HTTP/1.1", "CONNECT example.org:443 HTTP/1.1", "TRACE /nothing HTTP/1.1",
    "CONNECT /v1/device HTTP/1.1",
])
def test_trace_and_connect_are_405(server, device, line):
    answer = exchange(server, f"{line}\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer.status == 405 and answer.problem["code"] == "method_not_allowed"
    assert answer.headers["allow"]


@pytest.mark.parametrize("path", [
    "/v1/bundles/%2e%2e", "/v1/bundles/..", "//v1/device", "/v1//device", "/v1/device/", "/",
    "/V1/device", "/v1%2fdevice", "/v1/device;x", "/v1/bundles/" + "a" * 4000, "/v1/\\device",
])
def test_odd_paths_are_404(server, device, path):
    data = head(device, "Connection: close", path=path, method="GET")
    answer = exchange(server, data)
    assert answer.status == 404 and answer.problem["code"] == "not_found"


@pytest.mark.parametrize("path", ["/v1/%64evice", "/%761/device?x=%20", "/v1/devic%65"])
def test_encoded_letters_of_a_path_are_what_they_stand_for(server, device, path):
    """RFC 3986, 6.2.2.2: the two are equivalent."""
    answer = exchange(server, head(device, "Connection: close", path=path, method="GET"))
    assert answer.status == 200 and device.id.encode() in answer.body


@pytest.mark.parametrize("path", ["/v1/device%", "/v1/%zz", "/v1/device?x=%f", "/v1/bundles/%0"])
def test_a_percent_sign_that_encodes_nothing_is_400(server, device, path):
    answer = exchange(server, head(device, "Connection: close", path=path, method="GET"))
    assert answer.status == 400 and answer.problem["code"] == "invalid_request"


@pytest.mark.parametrize("method, path", [
    ("PUT", "/v1/bundles/0190163d-8694-739b-aea5-966c26f8ad91/parts/1"), ("POST", "/v1/bundles")])
def test_the_largest_length_that_can_be_announced_is_refused(server, device, method, path):
    lines = ["Content-Length: 9223372036854775807", "Connection: close"]
    answer = exchange(server, head(device, *lines, path=path, method=method))
    assert answer.status in (404, 413)
    assert device.get("/v1/device")["device_id"] == device.id, "the same process"


def test_a_target_of_absolute_form_is_understood(server, device):
    data = head(device, "Connection: close", path="http://waybill/v1/device", method="GET")
    answer = exchange(server, data)
    assert answer.status == 200 and device.id.encode() in answer.body


def test_an_upgrade_is_ignored_and_the_connection_goes_on(server, device):
    with Raw(server) as raw:
        for _ in range(2):
            raw.send(head(
                device, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
                "HTTP2-Settings: AAMAAABkAAQAAP__", path="/v1/device", method="GET"))
            assert raw.answer().status == 200


def test_head_answers_without_a_body(server, device):
    with Raw(server) as raw:
        raw.send(head(device, path="/v1/device", method="HEAD"))
        raw.send(head(device, path="/v1/device", method="GET"))
        while raw.data.count(b"HTTP/1.1 200") < 2:
            assert raw.receive()
        first, _, rest = raw.data.partition(b"\r\n\r\n")
        assert rest.startswith(b"HTTP/1.1 200"), "no byte of a body before the next answer"
        assert b"content-length: " in first.lower()


def test_pipelined_requests_are_answered_in_order_and_none_is_smuggled(server, device):
    first, second = new_id(), new_id()
    bytes_first = device.seal(first, [transaction()])
    hidden = head(device, method="DELETE", path=f"/v1/bundles/{second}").encode()
    with Raw(server) as raw:
        # The body holds a whole request; its length says that it is a body.
        raw.send(head(device, f"Content-Length: {len(bytes_first) + len(hidden)}", bundle=first)
                 .encode() + bytes_first + hidden
                 + head(device, path="/v1/device", method="GET").encode()
                 + head(device, path="/v1/nothing", method="GET").encode())
        answers = [raw.answer().status for _ in range(3)]
    assert answers == [422, 200, 404]
    # A request after one whose framing is broken is never looked at.
    answer = exchange(
        server, head(device, "Content-Length: 0", "Transfer-Encoding: chunked")
        + "0\r\n\r\n" + head(device, path="/v1/device", method="GET"))
    assert len(re.findall(rb"HTTP/1\.1 \d\d\d", answer.raw)) == 1 and answer.status == 400


def test_many_requests_in_one_packet_are_all_answered(server, device):
    with Raw(server) as raw:
        raw.send(head(device, path="/v1/device", method="GET") * 100)
        assert [raw.answer().status for _ in range(100)] == [200] * 100


def test_a_missing_wrong_revoked_and_foreign_token_get_the_same_body(server, tenant, device):
    other = server.new_device(tenant)
    server.command("device", "revoke", other.id)
    bodies = set()
    for authorization in [
        "", "Authorization: Bearer wrong\r\n", f"Authorization: Bearer {other.token}\r\n",
        "Authorization: Basic eDp5\r\n", "Authorization: Bearer\r\n",
        f"Authorization: Bearer {device.token}\r\nAuthorization: Bearer {device.token}\r\n",
    ]:
        answer = exchange(
            server,
            f"GET /v1/device HTTP/1.1\r\nHost: a\r\n{authorization}Connection: close\r\n\r\n")
        assert answer.status == 401, answer.raw
        assert answer.headers["www-authenticate"] == "Bearer"
        bodies.add(answer.body)
    assert len(bodies) == 1
    # Another tenant's bundle does not exist, with the body that any unknown one has.
    stranger = server.new_device(server.create_tenant("elsewhere"))
    bundle = new_id()
    device.upload(bundle, device.seal(bundle, [transaction()]))
    answers = [
        stranger.http.get(f"{stranger.base}/v1/bundles/{name}") for name in (bundle, new_id())]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].content == answers[1].content


def test_revoked_in_the_middle_of_an_upload_the_next_request_is_401(server, tenant):
    device = server.new_device(tenant)
    bundle = new_id()
    data = device.seal(bundle, [transaction()])
    with Raw(server) as raw:
        raw.send(head(device, f"Content-Length: {len(data)}", bundle=bundle)).send(data[:50])
        server.command("device", "revoke", device.id)
        raw.send(data[50:])
        assert raw.answer().status in (202, 401)
        raw.send(head(device, path="/v1/device", method="GET"))
        assert raw.answer().status == 401


def test_bare_errors_are_problem_documents_on_the_operator_side_too(server):
    for method, path, status in [
        ("GET", "/nothing", 404), ("GET", "/admin/v1/nothing", 404), ("DELETE", "/livez", 405),
        ("POST", "/admin/v1/status", 405), ("TRACE", "/livez", 405),
    ]:
        answer = server.admin(method, path)
        assert answer.status_code == status, (method, path, answer.text)
        assert answer.headers["Content-Type"] == "application/problem+json"
    answer = server.admin("POST", "/admin/v1/tenants", data=b"x" * (1 << 20))
    assert answer.status_code == 413 and answer.json()["code"] == "too_large"

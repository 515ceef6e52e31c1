"""50 requests a second over the limit: exact quota, `Retry-After`, others unaffected; and what the intake
refuses before the body, while settling goes on."""

import concurrent.futures
import secrets
import threading
import time

import pytest
import requests

from raw import Footprint, Raw
from server import Server
from stranger import Refused, enroll, new_id, transaction
from test_http_framing import head


def start(folder, *settings):
    return Server(
        folder / "data", *[word for setting in settings for word in ("--set", setting)]).start()


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    # So slow a refill that the test's own duration does not count.
    server = start(
        tmp_path_factory.mktemp("rates"), "rate-requests=1", "rate-requests-burst=20",
        "rate-failures=1", "rate-failures-burst=30")
    server.tenant = server.create_tenant("acme")
    server.footprint = Footprint(server)
    yield server
    server.footprint.assert_back()
    assert server.stop() == 0


def get(device):
    return requests.get(
        device.base + "/v1/device", headers={"Authorization": f"Bearer {device.token}"}, timeout=30)


def test_of_many_requests_at_once_exactly_the_burst_and_the_refill_pass(limited):
    device, other = limited.new_device(limited.tenant), limited.new_device(limited.tenant)
    began = time.monotonic()
    barrier = threading.Barrier(10)

    def many(_):
        barrier.wait()
        return [get(device) for _ in range(8)]

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        answers = [answer for batch in pool.map(many, range(10)) for answer in batch]
    seconds = time.monotonic() - began
    passed = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert 20 <= len(passed) <= 20 + seconds + 1
    for answer in refused:
        assert answer.status_code == 429
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["code"] == "rate_limited" and answer.json()["retryable"] is True
        assert int(answer.headers["Retry-After"]) >= 1
    assert get(other).status_code == 200
    # Who waits as long as told is served.
    wait = int(get(device).headers.get("Retry-After", 0))
    time.sleep(wait)
    assert get(device).status_code == 200


def test_a_refused_upload_is_not_kept(limited):
    device = limited.new_device(limited.tenant)
    for _ in range(25):
        get(device)
    bundle = new_id()
    answer = device.upload_raw(device.seal(bundle, [transaction()]), bundle)
    assert answer.status_code == 429
    time.sleep(int(answer.headers["Retry-After"]) + 1)
    assert device.http.get(f"{device.base}/v1/bundles/{bundle}").status_code == 404


def test_too_many_bad_tokens_and_codes_are_429_and_valid_tokens_unaffected(limited):
    device = limited.new_device(limited.tenant)
    codes = []
    for number in range(60):
        answer = requests.get(
            limited.device_url + "/v1/device", timeout=30,
            headers={"Authorization": f"Bearer guess-{number}"})
        codes.append(answer.json()["code"])
        if answer.status_code == 429:
            assert int(answer.headers["Retry-After"]) >= 1
    assert codes[0] == "unauthorized" and codes[-1] == "rate_limited"
    with pytest.raises(Refused) as refused:
        enroll(limited.device_url, "guess")
    assert refused.value.status in (403, 429)
    assert get(device).status_code == 200
    metrics = requests.get(limited.admin_url + "/metrics", timeout=30).text
    assert 'waybill_refusals_total{reason="unauthorized"}' in metrics
    assert "waybill_connections " in metrics


def test_refusals_are_one_line_of_the_log_and_not_hundreds(limited):
    log = open(limited.data + ".log").read()
    lines = [line for line in log.splitlines()
             if "waybill.security" in line and '"unauthorized"' in line]
    assert len(lines) <= 2


def test_put_is_counted_by_bytes_and_not_as_a_request(tmp_path):
    server = start(
        tmp_path, "rate-requests=1", "rate-requests-burst=4", "rate-bytes=1KiB",
        "rate-bytes-burst=256KiB")
    try:
        tenant = server.create_tenant("acme")
        device, other = server.new_device(tenant), server.new_device(tenant)
        assert (device.limits["bytes_per_second"], device.limits["bytes_burst"]) == (1024, 256 << 10)

        def declared(sender):
            bundle = new_id()
            parts = sender.seal_parts(bundle, [
                [transaction()], [transaction(secrets.token_hex(150_000))], [transaction()]],
                method=0)
            return [part["upload"] for part in sender.declare(bundle, parts)["parts"]], parts

        urls, parts = declared(device)
        # Far more than requests would be let through; the quota of these is where it was.
        for number in range(30):
            assert device.put_raw(urls[0], parts[0]).status_code == (200 if number else 201)
        assert get(device).status_code == 200
        # 300 KB are more than what is left: they go through on credit, which is paid back first.
        assert len(parts[1]) > 300_000
        assert device.put_raw(urls[1], parts[1]).status_code == 201
        refused = device.put_raw(urls[2], parts[2])
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert refused.json()["retryable"] is True and int(refused.headers["Retry-After"]) > 10
        assert get(device).status_code == 200, "requests are counted by themselves"
        urls, parts = declared(other)
        assert other.put_raw(urls[0], parts[0]).status_code == 201
    finally:
        assert server.stop() == 0


@pytest.mark.parametrize("ceiling, taken", [
    ("backlog-bundles-max=10", 10), ("backlog-bundles-max=1", 1), ("backlog-bytes-max=1KiB", None),
])
def test_a_full_backlog_is_503_before_the_body_and_settling_opens_it_again(
        tmp_path, ceiling, taken):
    server = start(tmp_path, ceiling, "segment-bytes=1MiB", "listeners=0")
    try:
        device = server.new_device(server.create_tenant("acme"))
        status = server.json("queue", "status")
        assert (status["depth"], status["bytes"]) == (0, 0) and status["log_bytes"] > 1 << 20
        sent, size = [], 0
        while True:
            bundle = new_id()
            part = device.seal(bundle, [transaction()])
            answer = device.upload_raw(part, bundle)
            if answer.status_code != 202:
                break
            assert taken is not None or size < 1024, "over the ceiling"
            sent.append(bundle)
            size += len(part)
            assert len(sent) <= (taken or 100), "over the ceiling"
        assert len(sent) == (taken or len(sent)) and (taken or size >= 1024)
        status = server.json("queue", "status")
        assert (status["depth"], status["bytes"]) == (len(sent), size)
        assert answer.status_code == 503 and answer.json()["code"] == "backlog_full"
        assert answer.json()["retryable"] is True and int(answer.headers["Retry-After"]) >= 1
        with Raw(server) as raw:
            raw.send(head(device, "Content-Length: 1000000", "Expect: 100-continue"))
            assert raw.answer().status == 503, "before the body"
        assert device.http.get(f"{device.base}/v1/device").status_code == 200
        server.command("listeners", "set", "2")
        for bundle in sent:
            device.receipt_of(bundle)
        deadline = time.monotonic() + 30
        bundle = new_id()
        while device.upload_raw(device.seal(bundle, [transaction()]), bundle).status_code != 202:
            assert time.monotonic() < deadline, "it stays closed"
            time.sleep(0.1)
        assert device.receipt_of(bundle)["counts"]["accepted"] == 1
        status = server.json("queue", "status")
        assert (status["depth"], status["bytes"]) == (0, 0)
    finally:
        assert server.stop() == 0


def test_a_disk_under_its_floor_is_507_before_the_body_and_settling_goes_on(tmp_path):
    server = start(tmp_path, "listeners=0")
    device = server.new_device(server.create_tenant("acme"))
    bundle = new_id()
    device.upload(bundle, device.seal(bundle, [transaction()]))
    assert server.stop() == 0
    # No disk has this much.
    server.options = ("--set", "disk-free-floor=1048576GiB")
    server.start()
    try:
        other = new_id()
        answer = device.upload_raw(device.seal(other, [transaction()]), other)
        assert answer.status_code == 507 and answer.json()["code"] == "disk_full"
        assert int(answer.headers["Retry-After"]) >= 1
        with Raw(server) as raw:
            raw.send(head(device, "Content-Length: 1000000", "Expect: 100-continue"))
            assert raw.answer().status == 507, "before the body"
        assert device.receipt_of(bundle)["counts"]["accepted"] == 1
    finally:
        assert server.stop() == 0

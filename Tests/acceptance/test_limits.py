"""CONTRACT.md, Limits: each is told in `limits`, is configuration, and is answered with its own code; here at n-1, n and
n+1 of small ones, and the defaults as the page has them."""

import json

import pytest

from forge import forge
from raw import exchange
from server import Server
from stranger import Device, archive, enroll, expand, new_id, transaction
from test_http_framing import head

MIB, GIB = 1 << 20, 1 << 30
DEFAULTS = {
    "record_bytes_max": MIB, "part_bytes_max": 64 * MIB, "part_unzipped_bytes_max": 256 * MIB,
    "part_ratio_max": 200, "bundle_bytes_max": GIB, "bundle_unzipped_bytes_max": 4 * GIB,
    "bundle_parts_max": 1000, "bundle_transactions_max": 100_000, "open_bundles_max": 8,
    "open_bytes_max": GIB, "header_bytes_max": 16 << 10, "requests_per_second": 50,
    "requests_burst": 200,
}
SMALL = {
    "record_bytes_max": 1024, "part_bytes_max": 4096, "part_unzipped_bytes_max": 8192,
    "bundle_bytes_max": 10_000, "bundle_unzipped_bytes_max": 12_000, "bundle_parts_max": 3,
    "bundle_transactions_max": 12, "open_bundles_max": 2, "open_bytes_max": 10_500,
    "header_bytes_max": 2048,
}
AROUND = (-1, 0, 1)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    settings = [f"{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    server = Server(
        tmp_path_factory.mktemp("limits") / "data",
        *[word for setting in settings for word in ("--set", setting)]).start()
    server.create_tenant("acme")
    yield server
    assert server.stop() == 0


@pytest.fixture
def one(small):
    return small.new_device("acme")


def test_the_defaults_are_those_of_the_contract_and_told_twice(tmp_path):
    server = Server(tmp_path / "data").start()
    try:
        answer = enroll(server.device_url, server.codes(server.create_tenant("acme"))[0])
        assert {name: answer["limits"][name] for name in DEFAULTS} == DEFAULTS
        assert Device(answer).get("/v1/device")["limits"] == answer["limits"]
        # The deadlines of a connection are no matter of a device; the operator reads them here.
        told = {one["key"]: one.get("value") for one in server.json("config", "check")}
        assert told["header-deadline"] == "10s"
        assert (told["body-rate-min"], told["body-rate-window"]) == ("1KiB", "30s")
        assert told["disk-free-floor"] == "auto" and told["open-bundle-days"] == "30"
        assert (told["attempts-max"], told["failing-seconds-max"]) == ("5", "600")
    finally:
        assert server.stop() == 0


def test_a_changed_limit_is_told_in_limits(one):
    assert {name: one.limits[name] for name in SMALL} == SMALL
    assert one.get("/v1/device")["limits"] == one.limits


def refusal(answer):
    """Status and code of a problem; None of anything else."""
    return None if answer.ok else (answer.status_code, answer.json()["code"])


def beyond(distance, status, code):
    """What is answered so far from a limit."""
    return (status, code) if distance > 0 else None


def lines_of(size, count):
    """Lines that have so many bytes in all, line feeds included."""
    lines = [json.dumps(transaction("")) for _ in range(count)]
    missing = size - sum(len(line) + 1 for line in lines)
    assert missing >= 0
    for n in range(count):
        share = missing // count + (missing % count if n == 0 else 0)
        lines[n] = lines[n].replace('"payload": ""', f'"payload": "{"x" * share}"')
    assert sum(len(line) + 1 for line in lines) == size
    return lines


def entry_of(device, bundle_id, size, count=10, **header):
    """An entry of exactly so many bytes."""
    header_size = len(device.entry(bundle_id, [], **{"transactions": count, **header}))
    entry = device.entry(bundle_id, lines_of(size - header_size, count), **header)
    assert len(entry) == size
    return entry


@pytest.mark.parametrize("distance", AROUND)
def test_record(one, distance):
    line, = lines_of(SMALL["record_bytes_max"] + distance + 1, 1)
    assert len(line) == SMALL["record_bytes_max"] + distance
    receipt = one.send([line, transaction()])
    told = expand(receipt["exceptions"]).get(0, {})
    assert told.get("code") == ("too_long" if distance > 0 else None)
    assert receipt["counts"]["accepted"] == (1 if distance > 0 else 2)


@pytest.mark.parametrize("distance", AROUND)
@pytest.mark.parametrize("way", ["at once", "without a length", "declared"])
def test_part_zipped(one, distance, way):
    bundle_id = new_id()
    size = SMALL["part_bytes_max"] + distance
    surplus = len(archive("x", b"", method=0))
    data = archive(
        one.password(bundle_id), entry_of(one, bundle_id, size - surplus), method=0)
    assert len(data) == size
    if way == "declared":
        answer = one.declare_raw(bundle_id, [data])
        if answer.ok:
            answer = one.put_raw(answer.json()["parts"][0]["upload"], data)
    else:
        answer = one.upload_raw(data if way == "at once" else iter([data]), bundle_id)
    assert refusal(answer) == beyond(distance, 413, "too_large")
    if distance <= 0:
        assert one.receipt_of(bundle_id)["counts"]["accepted"] == 10


@pytest.mark.parametrize("distance", AROUND)
def test_part_unzipped(one, distance):
    bundle_id = new_id()
    size = SMALL["part_unzipped_bytes_max"] + distance
    data = archive(one.password(bundle_id), entry_of(one, bundle_id, size))
    assert refusal(one.upload_raw(data, bundle_id)) == beyond(distance, 422, "archive_limit")
    if distance <= 0:
        assert one.receipt_of(bundle_id)["counts"]["accepted"] == 10


@pytest.mark.parametrize("distance", AROUND)
def test_ratio(server, tenant, distance):
    """200:1: what 10,000 zipped bytes may be declared to inflate to. The entry is none; the structure is looked at."""
    device = server.new_device(tenant)
    bundle_id = new_id()
    zipped = 10_000
    data = forge("x", b"", data=bytes(zipped), declared=200 * zipped + distance)
    assert refusal(device.upload_raw(data, bundle_id)) == beyond(distance, 422, "archive_limit")


def test_up_to_1_mib_any_ratio_will_do(device):
    """A whole record of one letter, as large as a record may be, and its header line."""
    line = json.dumps(transaction(""))
    missing = device.limits["record_bytes_max"] - len(line)
    line = line.replace('"payload": ""', f'"payload": "{"x" * missing}"')
    assert device.send([line])["counts"]["accepted"] == 1


def declare_sizes(device, *sizes):
    parts = [{"size": size, "sha256": "0" * 64} for size in sizes]
    return device.http.post(
        device.base + "/v1/bundles", json={"bundle_id": new_id(), "parts": parts}, timeout=60)


@pytest.mark.parametrize("distance", AROUND)
def test_bundle_zipped(one, distance):
    last = SMALL["bundle_bytes_max"] - 8000 + distance
    assert refusal(declare_sizes(one, 4000, 4000, last)) == beyond(distance, 413, "too_large")


@pytest.mark.parametrize("distance", AROUND)
def test_bundle_unzipped(one, distance):
    bundle_id = new_id()
    parts = [
        archive(
            one.password(bundle_id, part=number),
            entry_of(one, bundle_id, 6000 + extra, 6, part=number, parts=2))
        for number, extra in ((1, 0), (2, distance))
    ]
    status = one.declare(bundle_id, parts)
    urls = [part["upload"] for part in status["parts"]]
    assert one.put_raw(urls[0], parts[0]).status_code == 201
    answer = one.put_raw(urls[1], parts[1])
    assert refusal(answer) == beyond(distance, 422, "archive_limit")
    if distance <= 0:
        assert one.receipt_of(bundle_id)["counts"]["accepted"] == 12


@pytest.mark.parametrize("distance", AROUND)
def test_parts(one, distance):
    sizes = [1] * (SMALL["bundle_parts_max"] + distance)
    assert refusal(declare_sizes(one, *sizes)) == beyond(distance, 413, "too_large")


@pytest.mark.parametrize("distance", AROUND)
def test_transactions(one, distance):
    count = SMALL["bundle_transactions_max"] + distance
    receipt = one.send([transaction() for _ in range(count)])
    if distance > 0:
        assert (receipt["state"], receipt["code"]) == ("quarantined", "header_invalid")
    else:
        assert receipt["counts"]["accepted"] == count


def test_unfinished_bundles(one):
    for _ in range(SMALL["open_bundles_max"]):
        assert declare_sizes(one, 1).status_code == 201
    assert refusal(declare_sizes(one, 1)) == (429, "too_many_open")


@pytest.mark.parametrize("distance", AROUND)
def test_unfinished_bytes_and_complete_parts_count(one, distance):
    bundle_id = new_id()
    parts = one.seal_parts(bundle_id, [[transaction()], [transaction()]])
    one.declare(bundle_id, parts)
    one.put(bundle_id, 1, parts[0])
    rest = SMALL["open_bytes_max"] - sum(map(len, parts)) + distance
    sizes = [4000, 4000, rest - 8000]
    assert refusal(declare_sizes(one, *sizes)) == beyond(distance, 429, "too_many_open")


@pytest.mark.parametrize("distance", AROUND)
def test_header_list(small, one, distance):
    def request(filler):
        return head(
            one, "Connection: close", "X: " + filler, path="/v1/nothing", method="GET")

    size = SMALL["header_bytes_max"] + distance
    data = request("y" * (size - len(request(""))))
    assert len(data) == size
    answer = exchange(small, data)
    assert (answer.status, answer.problem["code"]) == (
        (431, "header_too_large") if distance > 0 else (404, "not_found"))

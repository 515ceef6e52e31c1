"""Bundles of many parts, and the contract's table "Sending again", cell by cell."""

import base64
import hashlib
import os
import pathlib
import random
import threading
import uuid

import pytest
import requests

from server import Postgres, Server
from stranger import Refused, bundle_sha256, new_id, transaction


def refusal(response):
    assert response.headers["Content-Type"].split(";")[0] == "application/problem+json"
    problem = response.json()
    assert isinstance(problem["detail"], str) and isinstance(problem["retryable"], bool)
    return response.status_code, problem["code"]


CONFLICT = (422, "idempotency_conflict")


@pytest.fixture(scope="module")
def paused(tmp_path_factory):
    """A server whose bundles stay queued until its listeners are told to work."""
    server = Server(tmp_path_factory.mktemp("paused") / "data").start()
    server.create_tenant("acme")
    yield server
    if server.is_running:
        assert server.stop() == 0


@pytest.fixture
def waiting(paused):
    """A device whose bundles stay queued."""
    paused.command("listeners", "set", "0")
    return paused.new_device("acme")


def make(device, sizes=(2, 1, 3)):
    """A sealed bundle of several parts: its id, the parts, and how many transactions it has."""
    bundle_id = new_id()
    lines = [[transaction({"part": p, "n": n}) for n in range(c)] for p, c in enumerate(sizes)]
    return bundle_id, device.seal_parts(bundle_id, lines), sum(sizes)


def test_a_bundle_of_many_parts_is_declared_and_sent_in_any_order(waiting):
    device = waiting
    bundle_id, parts, _ = make(device)
    declared = device.declare_raw(bundle_id, parts)
    assert declared.status_code == 201
    assert declared.headers["Location"] == f"{device.base}/v1/bundles/{bundle_id}"
    status = declared.json()
    assert (status["bundle_id"], status["state"], status["receipt"]) == (
        bundle_id, "receiving", None)
    for number, part in enumerate(status["parts"], 1):
        assert (part["part"], part["size"], part["received"], part["complete"]) == (
            number, len(parts[number - 1]), 0, False)
        assert part["upload"].startswith(device.base + "/v1/")
    order = list(enumerate(parts, 1))
    random.shuffle(order)
    for number, data in order[:-1]:
        answer = device.put_raw(status["parts"][number - 1]["upload"], data)
        assert answer.status_code == 201
        assert answer.headers["Location"].startswith(device.base + "/v1/")
        part = answer.json()["parts"][number - 1]
        assert (part["received"], part["complete"], part["upload"]) == (len(data), True, None)
        assert answer.json()["state"] == "receiving"
    number, data = order[-1]
    assert device.status(bundle_id)["parts"][number - 1]["complete"] is False
    answer = device.put_raw(status["parts"][number - 1]["upload"], data)
    assert answer.status_code == 201
    assert answer.json()["state"] == "queued"
    assert all(part["complete"] for part in device.status(bundle_id)["parts"])


def test_unfinished_bundles_are_listed_for_an_app_that_lost_its_notes(waiting, paused):
    device = waiting
    made = [make(device) for _ in range(3)]
    for bundle_id, parts, _ in made:
        device.declare(bundle_id, parts)
    device.put(made[1][0], 2, made[1][1][1])
    listed = device.get("/v1/bundles", params={"state": "receiving"})["bundles"]
    assert [bundle["bundle_id"] for bundle in listed] == [bundle_id for bundle_id, _, _ in made]
    assert listed == [device.status(bundle_id) for bundle_id, _, _ in made]
    other = paused.new_device("acme")
    assert other.get("/v1/bundles", params={"state": "receiving"}) == {"bundles": []}
    for query in ({}, {"state": "settled"}):
        answer = device.http.get(device.base + "/v1/bundles", params=query, timeout=30)
        assert refusal(answer) == (400, "invalid_request")


def test_another_devices_unfinished_bundle_is_404(waiting, paused):
    bundle_id, parts, _ = make(waiting)
    waiting.declare(bundle_id, parts)
    other = paused.new_device("acme")
    url = f"{other.base}/v1/bundles/{bundle_id}"
    assert refusal(other.http.get(url, timeout=30)) == (404, "not_found")
    assert refusal(other.http.delete(url, timeout=30)) == (404, "not_found")
    assert refusal(other.put_raw(f"{url}/parts/1", parts[0])) == (404, "not_found")
    assert waiting.status(bundle_id)["state"] == "receiving"


@pytest.mark.parametrize("number", ["0", "4", "1001", "-1", "one", "01"])
def test_part_0_part_1001_and_parts_that_were_not_declared_are_404(waiting, number):
    bundle_id, parts, _ = make(waiting)
    waiting.declare(bundle_id, parts)
    answer = waiting.put_raw(f"{waiting.base}/v1/bundles/{bundle_id}/parts/{number}", parts[0])
    assert refusal(answer) == (404, "not_found")


def test_a_part_of_an_undeclared_bundle_is_404(waiting):
    data = waiting.seal(new_id(), [transaction()])
    answer = waiting.put_raw(f"{waiting.base}/v1/bundles/{uuid.uuid4()}/parts/1", data)
    assert refusal(answer) == (404, "not_found")


def test_a_wrong_digest_keeps_nothing(waiting):
    bundle_id, parts, _ = make(waiting)
    waiting.declare(bundle_id, parts)
    url = f"{waiting.base}/v1/bundles/{bundle_id}/parts/1"
    wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    other = bytes(len(parts[0]))
    for data, headers in (
        (other, {}), (parts[0][:-1], {}),
        (parts[0], {"Content-Digest": f"sha-256=:{wrong}:"}),
        (parts[0], {"Repr-Digest": f"sha-256=:{wrong}:"}),
    ):
        assert refusal(waiting.put_raw(url, data, headers)) == (422, "digest_mismatch")
    status = waiting.status(bundle_id)
    assert [part["received"] for part in status["parts"]] == [0, 0, 0]
    assert waiting.put_raw(url, parts[0]).status_code == 201


def test_more_bytes_than_declared_are_413(waiting):
    bundle_id, parts, _ = make(waiting)
    waiting.declare(bundle_id, parts)
    url = f"{waiting.base}/v1/bundles/{bundle_id}/parts/1"
    assert refusal(waiting.put_raw(url, parts[0] + b"x")) == (413, "too_large")
    # Without a length, too.
    assert refusal(waiting.put_raw(url, iter([parts[0], b"x"]))) == (413, "too_large")
    assert waiting.put_raw(url, iter([parts[0]])).status_code == 201


def test_a_part_that_is_structurally_refused_is_422_and_not_kept(waiting):
    bundle_id, parts, _ = make(waiting)
    parts[1] = parts[1] + b"surplus"
    waiting.declare(bundle_id, parts)
    status, code = refusal(
        waiting.put_raw(f"{waiting.base}/v1/bundles/{bundle_id}/parts/2", parts[1]))
    assert status == 422 and code.startswith("archive_")
    assert waiting.status(bundle_id)["parts"][1]["received"] == 0
    # It cannot be mended under its sha256: given up, sealed anew under a new id.
    assert waiting.give_up(bundle_id).status_code == 204


def test_two_connections_on_one_part_one_wins_and_no_byte_is_there_twice(waiting):
    bundle_id, parts, _ = make(waiting)
    waiting.declare(bundle_id, parts)
    answers = []
    senders = [
        threading.Thread(target=lambda: answers.append(
            requests.put(
                f"{waiting.base}/v1/bundles/{bundle_id}/parts/2", data=parts[1], timeout=60,
                headers={"Authorization": f"Bearer {waiting.token}"})))
        for _ in range(4)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [200, 200, 200, 201]
    assert waiting.status(bundle_id)["parts"][1]["received"] == len(parts[1])


def test_a_ninth_unfinished_bundle_is_429(waiting):
    made = [make(waiting, (1, 1)) for _ in range(waiting.limits["open_bundles_max"] + 1)]
    for bundle_id, parts, _ in made[:-1]:
        waiting.declare(bundle_id, parts)
    bundle_id, parts, _ = made[-1]
    refused = waiting.declare_raw(bundle_id, parts)
    assert refusal(refused) == (429, "too_many_open")
    assert refused.json()["retryable"] is True
    # Bundles of one part in one request are not unfinished.
    one = new_id()
    assert waiting.upload_raw(waiting.seal(one, [transaction()]), one).status_code == 202
    waiting.put(made[0][0], 1, made[0][1][0])
    assert waiting.declare_raw(bundle_id, parts).status_code == 429
    waiting.put(made[0][0], 2, made[0][1][1])
    assert waiting.declare_raw(bundle_id, parts).status_code == 201


def test_a_gigabyte_of_unfinished_bytes_is_the_limit(waiting):
    def declare(*sizes):
        parts = [{"size": size, "sha256": "0" * 64} for size in sizes]
        return waiting.http.post(
            waiting.base + "/v1/bundles", json={"bundle_id": new_id(), "parts": parts}, timeout=60)

    part, limit = waiting.limits["part_bytes_max"], waiting.limits["open_bytes_max"]
    assert refusal(declare(part + 1)) == (413, "too_large")
    assert refusal(declare(*[part] * (limit // part), 1)) == (413, "too_large")
    assert declare(*[part] * (limit // part - 1)).status_code == 201
    assert declare(part - 1).status_code == 201
    assert refusal(declare(2)) == (429, "too_many_open")
    assert declare(1).status_code == 201
    assert refusal(declare(1)) == (429, "too_many_open")


def test_a_thousand_parts_are_the_limit(waiting):
    def declare(count):
        parts = [{"size": 1, "sha256": hashlib.sha256(b"x").hexdigest()}] * count
        return waiting.http.post(
            waiting.base + "/v1/bundles", json={"bundle_id": new_id(), "parts": parts}, timeout=60)

    assert declare(999).status_code == 201
    assert len(declare(1000).json()["parts"]) == 1000
    assert refusal(declare(1001)) == (413, "too_large")


# -- "Sending again", a row each


def test_row_none(waiting):
    bundle_id, parts, _ = make(waiting)
    assert refusal(waiting.give_up(bundle_id)) == (404, "not_found")
    assert waiting.declare_raw(bundle_id, parts).status_code == 201
    assert waiting.give_up(bundle_id).status_code == 204
    other = make(waiting)[1]
    assert waiting.declare_raw(bundle_id, other).status_code == 201


def test_row_receiving_same_declaration_is_200_with_what_is_there(waiting):
    bundle_id, parts, _ = make(waiting)
    waiting.declare(bundle_id, parts)
    waiting.put(bundle_id, 3, parts[2])
    again = waiting.declare_raw(bundle_id, parts)
    assert again.status_code == 200
    assert [part["complete"] for part in again.json()["parts"]] == [False, False, True]
    assert again.json() == waiting.status(bundle_id)


def test_row_receiving_same_whole_part_is_200(waiting):
    bundle_id, parts, _ = make(waiting)
    waiting.declare(bundle_id, parts)
    url = f"{waiting.base}/v1/bundles/{bundle_id}/parts/3"
    assert waiting.put_raw(url, parts[2]).status_code == 201
    again = waiting.put_raw(url, parts[2])
    assert again.status_code == 200
    assert again.json() == waiting.status(bundle_id)


def test_row_receiving_other_bytes_are_422(waiting):
    bundle_id, parts, _ = make(waiting)
    other = make(waiting)[1]
    waiting.declare(bundle_id, parts)
    waiting.put(bundle_id, 1, parts[0])
    assert refusal(waiting.declare_raw(bundle_id, other)) == CONFLICT
    assert refusal(waiting.declare_raw(bundle_id, parts[:2])) == CONFLICT
    assert refusal(waiting.upload_raw(parts[0], bundle_id)) == CONFLICT
    url = f"{waiting.base}/v1/bundles/{bundle_id}/parts/1"
    assert refusal(waiting.put_raw(url, other[0])) == CONFLICT
    assert waiting.status(bundle_id)["parts"][0]["complete"] is True


def test_row_receiving_delete_is_204_and_forgotten(waiting):
    bundle_id, parts, _ = make(waiting)
    waiting.declare(bundle_id, parts)
    waiting.put(bundle_id, 1, parts[0])
    answer = waiting.give_up(bundle_id)
    assert answer.status_code == 204 and answer.content == b""
    with pytest.raises(Refused) as refused:
        waiting.status(bundle_id)
    assert refused.value.status == 404
    url = f"{waiting.base}/v1/bundles/{bundle_id}/parts/2"
    assert refusal(waiting.put_raw(url, parts[1])) == (404, "not_found")
    assert refusal(waiting.give_up(bundle_id)) == (404, "not_found")


def test_a_declared_bundle_of_one_part_may_be_sent_in_one_request(waiting):
    bundle_id, lines = new_id(), [transaction()]
    data, other = waiting.seal(bundle_id, lines), waiting.seal(bundle_id, lines)
    waiting.declare(bundle_id, [data])
    assert refusal(waiting.upload_raw(other, bundle_id)) == CONFLICT
    answer = waiting.upload_raw(data, bundle_id)
    assert answer.status_code == 202 and answer.json()["state"] == "queued"
    assert waiting.get("/v1/bundles", params={"state": "receiving"}) == {"bundles": []}


def check_received(device, bundle_id, parts, other, states):
    """The columns of the rows `queued` to `quarantined`."""
    again = device.declare_raw(bundle_id, parts)
    assert again.status_code == 200 and again.json()["state"] in states
    for number, data in enumerate(parts, 1):
        url = f"{device.base}/v1/bundles/{bundle_id}/parts/{number}"
        again = device.put_raw(url, data)
        assert again.status_code == 200 and again.json()["state"] in states
        assert refusal(device.put_raw(url, other[number - 1])) == CONFLICT
    assert refusal(device.declare_raw(bundle_id, other)) == CONFLICT
    assert refusal(device.upload_raw(other[0], bundle_id)) == CONFLICT
    if len(parts) == 1:
        again = device.upload_raw(parts[0], bundle_id)
        assert again.status_code == 202 and again.json()["state"] in states
    assert refusal(device.give_up(bundle_id)) == (409, "already_complete")
    beyond = f"{device.base}/v1/bundles/{bundle_id}/parts/{len(parts) + 1}"
    assert refusal(device.put_raw(beyond, parts[0])) == (404, "not_found")


def test_row_queued(waiting):
    bundle_id, parts, _ = make(waiting)
    waiting.send_parts(bundle_id, parts)
    check_received(waiting, bundle_id, parts, make(waiting)[1], ["queued"])


def test_row_queued_of_one_part_however_it_was_sent(waiting):
    for declares in (True, False):
        bundle_id, parts, _ = make(waiting, (1,))
        if declares:
            waiting.send_parts(bundle_id, parts)
        else:
            waiting.upload(bundle_id, parts[0])
        check_received(waiting, bundle_id, parts, make(waiting, (2,))[1], ["queued"])


def test_row_settled_of_one_part_however_it_was_sent(device):
    for declares in (True, False):
        bundle_id, parts, _ = make(device, (1,))
        if declares:
            device.send_parts(bundle_id, parts)
        else:
            device.upload(bundle_id, parts[0])
        assert device.receipt_of(bundle_id)["bundle_sha256"] == bundle_sha256(*parts)
        check_received(device, bundle_id, parts, make(device, (2,))[1], ["settled"])


def test_row_settled(device):
    bundle_id, parts, count = make(device)
    device.send_parts(bundle_id, parts)
    receipt = device.receipt_of(bundle_id)
    assert receipt["state"] == "settled"
    assert receipt["bundle_sha256"] == bundle_sha256(*parts)
    assert receipt["counts"]["accepted"] == count
    check_received(device, bundle_id, parts, make(device)[1], ["settled"])
    assert device.status(bundle_id)["receipt"] == receipt


def test_row_quarantined(device):
    """A part twice, in the place of another: its header does not fit."""
    bundle_id, parts, _ = make(device)
    parts[1] = parts[0]
    device.send_parts(bundle_id, parts)
    receipt = device.receipt_of(bundle_id)
    assert receipt["state"] == "quarantined"
    assert receipt["bundle_sha256"] == bundle_sha256(*parts)
    check_received(device, bundle_id, parts, make(device)[1], ["quarantined"])


# -- crashes


def test_what_was_told_is_there_after_kill_9(tmp_path):
    """Kills in the middle of everything: parts told as received are there, settled once."""
    seed = int(os.environ.get("WAYBILL_TEST_SEED", random.randrange(1 << 32)))
    print(f"seed {seed}: set WAYBILL_TEST_SEED to repeat")
    chance = random.Random(seed)
    server = Server(tmp_path / "data").start()
    try:
        server.create_tenant("acme")
        device = server.new_device("acme")
        sent, stop, failures = {}, threading.Event(), []

        def work():
            try:
                while not stop.is_set():
                    made = make(device, tuple(chance.randint(1, 3) for _ in range(4)))
                    sent[made[0]] = made
                    send_through(device, made, stop)
            except Exception as error:  # told to the test, which fails on it
                failures.append(error)

        sender = threading.Thread(target=work, daemon=True)
        sender.start()
        for _ in range(int(os.environ.get("WAYBILL_TEST_KILLS", "4"))):
            stop.wait(chance.uniform(0.1, 1.0))
            server.kill()
            server.start()
        stop.wait(1)
        stop.set()
        sender.join(60)
        assert not failures and not sender.is_alive(), failures
        total = 0
        for bundle_id, parts, count in sent.values():
            device.send_parts(bundle_id, parts)
            receipt = device.receipt_of(bundle_id)
            assert receipt["bundle_sha256"] == bundle_sha256(*parts)
            assert receipt["counts"]["accepted"] == count, receipt
            total += count
        assert server.row_count("acme") == total
        assert all(len(receipts) == 1 for receipts in device.receipts.values())
        assert device.get("/v1/bundles", params={"state": "receiving"}) == {"bundles": []}
        assert server.stop() == 0
        assert not list((tmp_path / "data" / "bundles" / "open").iterdir())
    finally:
        if server.is_running:
            server.stop()


def send_through(device, made, stop):
    """As a device does: declares and sends until all is there, and asks what is missing."""
    bundle_id, parts, _ = made
    told = set()
    while not stop.is_set():
        try:
            status = device.declare(bundle_id, parts)
            for part in status["parts"]:
                assert part["complete"] or part["part"] not in told, "a part told is there"
            for number, data in enumerate(parts, 1):
                if not status["parts"][number - 1]["complete"]:
                    device.put(bundle_id, number, data)
                    told.add(number)
            return
        except requests.RequestException:
            stop.wait(0.05)
        except Refused as refused:
            assert refused.problem.get("retryable"), refused
            stop.wait(0.1)


def test_unfinished_bundles_are_there_after_a_restart(tmp_path):
    server = Server(tmp_path / "data").start()
    try:
        server.create_tenant("acme")
        device = server.new_device("acme")
        bundle_id, parts, _ = make(device)
        device.declare(bundle_id, parts)
        device.put(bundle_id, 2, parts[1])
        before = device.status(bundle_id)
        server.kill()
        server.start()
        assert device.status(bundle_id) == before
        journals = list(pathlib.Path(server.data, "bundles", "open").iterdir())
        assert len(journals) == 1
        # A declaration damaged on disk is set aside: the device declares again.
        server.kill()
        journals[0].write_bytes(journals[0].read_bytes()[:20])
        server.start()
        with pytest.raises(Refused) as refused:
            device.status(bundle_id)
        assert refused.value.status == 404
        assert "declaration is damaged" in server.log_tail()
        device.send_parts(bundle_id, parts)
        assert device.status(bundle_id)["state"] in ("queued", "processing", "settled")
        assert server.stop() == 0
    finally:
        if server.is_running:
            server.stop()


def test_declarations_and_parts_are_received_while_postgresql_is_away(tmp_path):
    postgres = Postgres()
    server = Server(tmp_path / "data", "--database-url", postgres.url).start()
    try:
        server.create_tenant("acme")
        device = server.new_device("acme")
        device.send([transaction()])
        bundle_id, parts, count = make(device)
        postgres.stop()
        try:
            device.send_parts(bundle_id, parts)
            assert device.status(bundle_id)["state"] in ("queued", "processing")
            unknown = f"{device.base}/v1/bundles/{new_id()}/parts/1"
            assert refusal(device.put_raw(unknown, parts[0])) == (503, "database_unavailable")
            # What is unfinished is known here; of what is not, nobody can say that it is not there.
            other, others, _ = make(device)
            device.declare(other, others)
            listed = device.get("/v1/bundles", params={"state": "receiving"})["bundles"]
            assert [one["bundle_id"] for one in listed] == [other]
            assert device.give_up(other).status_code == 204
            assert refusal(device.give_up(new_id())) == (503, "database_unavailable")
        finally:
            postgres.start()
        assert device.receipt_of(bundle_id, seconds=120)["counts"]["accepted"] == count
    finally:
        if server.is_running:
            server.stop()
        postgres.stop("fast")
        postgres.remove()


def test_a_part_of_64_mib_takes_no_more_memory_than_its_pieces(tmp_path):
    server = Server(tmp_path / "data").start()
    try:
        server.create_tenant("acme")
        device = server.new_device("acme")

        def peak():
            status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
            return int(status.split("VmHWM:")[1].split()[0]) << 10

        data = os.urandom(device.limits["part_bytes_max"])
        sizes = [len(data)] * 2
        bundle_id = new_id()
        parts = [{"size": size, "sha256": hashlib.sha256(data).hexdigest()} for size in sizes]
        answer = device.http.post(
            device.base + "/v1/bundles", json={"bundle_id": bundle_id, "parts": parts}, timeout=60)
        assert answer.status_code == 201
        before = peak()
        # It is no archive: read to its end, checked, refused, and not kept.
        refused = device.put_raw(f"{device.base}/v1/bundles/{bundle_id}/parts/1", data)
        assert refused.status_code == 422 and refused.json()["code"].startswith("archive_")
        assert peak() - before < 24 << 20
        assert server.stop() == 0
        assert not list((tmp_path / "data" / "parts").iterdir())
    finally:
        if server.is_running:
            server.stop()

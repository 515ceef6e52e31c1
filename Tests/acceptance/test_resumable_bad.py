"""BAD-INPUTS.md, Upload, as far as the other files about resumable upload do not send it: names of parts and of
uploads, numbers of any size, codings, slow bodies; and what holds for all of it."""

import os
import select
import time

import pytest

from place import until
from raw import Footprint
from resumable import (
    MIB, Upload, Wire, authorized, call, chance_of, is_forgotten, is_gone, is_problem_of, is_settled,
    seal)
from server import Server
from stranger import new_id, transaction
from test_resumable_mixed import append, append_fields, ask, begin, dialects
from test_security_events import refusals
from tus_calls import VERSION, checksum, create, created, patch, tus

SOME = pytest.mark.parametrize("version", [3, 8, None])


def files(server, *folders):
    """Of uploads and parts, by their paths in the data directory."""
    return {
        f"{folder}/{name}" for folder in folders or ("parts", "uploads")
        for name in os.listdir(os.path.join(server.data, folder))}


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A server whose refusals, descriptors and files are counted; bodies have a second for each kibibyte."""
    server = Server(
        tmp_path_factory.mktemp("watched") / "data", "--set", "rate-requests=0", "--set",
        "rate-failures=0", "--set", "body-rate-window=1s", "--set", "open-bytes-max=1MiB", "--set",
        "part-bytes-max=1MiB").start()
    server.create_tenant("acme")
    server.footprint = Footprint(server)
    pid = server.process.pid
    yield server
    server.footprint.assert_back()
    assert server.is_running and server.process.pid == pid, "the same process"
    device = server.new_device("acme")
    assert device.send([transaction()])["counts"]["accepted"] == 1
    assert server.stop() == 0


@pytest.fixture
def one(watched):
    return watched.new_device("acme")


def telling(dialect):
    return {"Tus-Resumable": VERSION} if dialect == "tus" else {}


# -- names of parts


@SOME
@pytest.mark.parametrize("number", ["0", "3", "1001", "-1", "one", "01", "4294967297", "1/../2"])
def test_part_0_part_1001_and_parts_that_were_not_declared_are_404(device, version, number):
    sealed = seal(device, chance_of("parts"), 1000, 1000)
    device.declare(sealed.bundle_id, sealed.parts)
    upload = Upload(device, version, sealed.bundle_id, number)
    answers = [upload.create(), upload.create(sealed.parts[0], complete=True)]
    own = f"/v1/bundles/{sealed.bundle_id}/parts/{number}"
    answers.append(call(device, "PATCH", own, upload.dialect.fields(False, 0), b"x"))
    answers.append(call(device, "DELETE", own))
    for answer in answers:
        assert answer.refusal == (404, "not_found"), answer
    assert call(device, "HEAD", own).status_code == 404
    assert [part["received"] for part in device.status(sealed.bundle_id)["parts"]] == [0, 0]
    for part, data in enumerate(sealed.parts, 1):
        device.put(sealed.bundle_id, part, data)
    is_settled(device, sealed)


@SOME
def test_a_part_of_an_undeclared_bundle_is_404(device, version):
    bundle_id = new_id()
    upload = Upload(device, version, bundle_id, 1)
    own = f"/v1/bundles/{bundle_id}/parts/1"
    for answer in (
            upload.create(), upload.create(b"x" * 1000, complete=True),
            call(device, "PATCH", own, upload.dialect.fields(False, 0), b"x"),
            call(device, "DELETE", own)):
        assert answer.refusal == (404, "not_found"), answer
    assert call(device, "HEAD", own).status_code == 404
    assert is_forgotten(device, bundle_id)


@pytest.mark.parametrize("values", [
    {"part": 0}, {"part": 2}, {"part": 4, "parts": 3}, {"part": 1001, "parts": 1000},
    {"part": 1, "parts": 1001}, {"part": 1, "parts": 0}, {"part": "one"}, {"part": "1.5"},
    {"part": -1}, {"parts": -1}, {"part": ""}, {"part": 2**64 + 1}, {"parts": 2**31}])
def test_parts_of_tus_that_there_cannot_be_are_refused_and_begin_nothing(device, values):
    answer = create(device, bundle_id := new_id(), 100, **values)
    assert answer.status_code in (400, 404, 413), answer
    assert is_forgotten(device, bundle_id)


def test_tus_does_not_make_a_declared_bundle_longer(device):
    sealed = seal(device, chance_of("longer"), 1000, 1000)
    device.declare(sealed.bundle_id, sealed.parts)
    for part, parts in ((3, 2), (3, 3), (1, 1), (1, 3)):
        answer = create(device, sealed.bundle_id, 100, part=part, parts=parts)
        assert answer.refusal[0] in (404, 422), answer
    assert len(device.status(sealed.bundle_id)["parts"]) == 2


@dialects
def test_a_length_other_than_the_declared_one_is_refused(device, dialect):
    sealed = seal(device, chance_of("declared length"), 1000, 1000)
    device.declare(sealed.bundle_id, sealed.parts)
    size = len(sealed.parts[0])
    for length in (size - 1, size + 1):
        if dialect == "tus":
            answer = create(device, sealed.bundle_id, length, part=1, parts=2)
        else:
            answer = Upload(device, 8, sealed.bundle_id, 1).create(length=length)
        assert answer.status_code in (400, 413, 422), answer
    assert device.status(sealed.bundle_id)["parts"][0]["received"] == 0


# -- names of uploads


NAMES = [
    "../../x", "..", ".", "x", "..%2f..%2fx", "%2e%2e%2f%2e%2e%2fx", "..%5c..%5cx", "%00",
    "0" * 31, "0" * 33, "g" * 32, "0" * 8000, f"{'0' * 32}/x", f"{'0' * 32}%00", "-1", "*"]


@dialects
@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:40])
def test_an_upload_of_another_name_is_not_there(device, dialect, name):
    url = f"/v1/uploads/{name}"
    for method in ("PATCH", "DELETE"):
        fields = append_fields(dialect, 0) if method == "PATCH" else telling(dialect)
        answer = call(device, method, url, fields, b"x" if method == "PATCH" else b"")
        assert answer.refusal == (404, "not_found"), answer
    assert call(device, "HEAD", url, telling(dialect)).status_code == 404


@dialects
def test_a_name_that_is_none_leaves_files_alone(watched, one, dialect):
    """The names of files beside the upload's, as somebody else would write them."""
    other = watched.new_device("acme")
    url = begin(one, dialect, new_id(), 1000)
    assert append(one, dialect, url, 0, b"x").status_code == 204
    before = files(watched)
    assert len(before) >= 2, "of its bytes, and of what is known of it"
    for name in [*NAMES, *(name for path in before for name in (
            os.path.basename(path), f"../{path}", f"..%2f{path}")), "../keys/root.key"]:
        call(other, "DELETE", f"/v1/uploads/{name}", telling(dialect))
        append(other, dialect, f"/v1/uploads/{name}", 1, b"x")
    assert files(watched) == before
    assert os.path.exists(os.path.join(watched.data, "keys", "root.key"))
    assert ask(one, dialect, url).offset == 1


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:40])
def test_a_concatenation_of_other_names_begins_nothing(device, name):
    for url in (f"/v1/uploads/{name}", f"{device.base}/v1/uploads/{name}", name):
        answer = create(device, bundle_id := new_id(), fields={"Upload-Concat": f"final;{url}"})
        assert answer.status_code in (400, 404), answer
        assert is_forgotten(device, bundle_id)


# -- numbers of any size


NUMBERS = ["999999999999999", "1000000000000000", "9223372036854775807", "18446744073709551616", "1" * 400]


@dialects
@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:20])
def test_lengths_of_any_size_are_answered_and_begin_nothing(device, dialect, number):
    """Too large, or for the IETF's structured fields no number any more."""
    bundle_id = new_id()
    if dialect == "tus":
        answer = create(device, bundle_id, number)
    else:
        answer = Upload(device, 8, bundle_id).create(length=number)
        if answer.status_code == 201:
            assert len(number) > 15, "a number that counts"
            return
    assert answer.status_code in (400, 413), answer
    assert is_forgotten(device, bundle_id)


@dialects
@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:20])
def test_offsets_of_any_size_are_answered_and_append_nothing(device, dialect, number):
    url = begin(device, dialect, new_id(), 1000)
    for size in (1, 0):
        answer = append(device, dialect, url, number, b"x" * size)
        assert answer.status_code in (400, 409), answer
        assert ask(device, dialect, url).offset == 0


@pytest.mark.parametrize("offset", [0, 100])
@pytest.mark.parametrize("length", [2**62, 2**63 - 1])
def test_a_body_of_any_announced_length_is_413(device, offset, length):
    upload = Upload(device, 8, new_id())
    upload.create()
    if offset:
        upload.append(bytes(offset))
    with Wire(device.base) as wire:
        wire.head("PATCH", upload.url, authorized(device, {
            **upload.dialect.fields(True, offset), "Content-Length": str(length)}))
        assert wire.answer().refusal == (413, "too_large")
    assert upload.ask().offset == offset


def test_a_final_upload_of_as_many_names_as_a_head_can_hold_is_answered(device):
    names = " ".join(f"/v1/uploads/{number:032x}" for number in range(300))
    answer = create(device, new_id(), fields={"Upload-Concat": f"final;{names}"})
    assert answer.status_code in (400, 404), answer


# -- bodies


@dialects
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "gzip, identity"])
def test_an_append_in_a_coding_is_415(device, dialect, coding):
    url = begin(device, dialect, new_id(), 1000)
    fields = {**append_fields(dialect, 0), "Content-Encoding": coding}
    answer = call(device, "PATCH", url, fields, b"x")
    assert answer.refusal == (415, "unsupported_media_type"), answer
    assert ask(device, dialect, url).offset == 0


@SOME
def test_nothing_at_all_is_archive_empty(device, version):
    for careful in (True, False):
        upload = Upload(device, version, bundle_id := new_id())
        if careful:
            upload.create()
            answer = upload.append(b"", offset=0, complete=True)
        else:
            answer = upload.create(complete=True)
        assert answer.refusal == (422, "archive_empty"), answer
        assert is_forgotten(device, bundle_id)


@dialects
def test_no_archive_is_refused_at_its_end_and_leaves_no_file(watched, one, dialect):
    bundle_id = new_id()
    url = begin(one, dialect, bundle_id, 5000)
    assert append(one, dialect, url, 0, bytes(4999)).status_code == 204
    answer = append(one, dialect, url, 4999, b"x", complete=True)
    assert answer.refusal == (422, "archive_not_zip"), answer
    is_gone(append(one, dialect, url, 5000, b"x"))
    assert is_forgotten(one, bundle_id)
    until(lambda: not bytes_left(watched, one), 10, "its file stays")


def bytes_left(server, device):
    """Files of parts that are more than there were before the test, once the device has given up what it has."""
    for bundle in device.get("/v1/bundles", params={"state": "receiving"})["bundles"]:
        device.give_up(bundle["bundle_id"])
    return files(server, "parts") - server.others


@pytest.fixture(autouse=True)
def others(watched):
    """What tests before have left unfinished."""
    watched.others = files(watched, "parts")


@dialects
def test_a_slow_body_is_closed_and_what_came_of_it_is_kept(one, dialect):
    sealed = seal(one, chance_of("slow"), 50_000)
    data = sealed.parts[0]
    url, sent = begin(one, dialect, sealed.bundle_id, len(data)), 5000
    with Wire(one.base) as wire:
        wire.head("PATCH", url, authorized(one, {
            **append_fields(dialect, 0, True), "Content-Length": str(len(data))}))
        wire.body(data[:sent])
        deadline = time.monotonic() + 20
        while not select.select([wire.socket], [], [], 0.2)[0]:
            assert time.monotonic() < deadline, "the connection lives on"
            wire.body(data[sent:sent + 1])
            sent += 1
        answer = wire.answer()
        # Progress may be told before.
        assert answer is None or answer.refusal == (408, "request_timeout"), answer
    at = ask(one, dialect, url).offset
    assert 5000 <= at <= sent
    answer = append(one, dialect, url, at, data[at:], complete=True)
    assert answer.status_code == (204 if dialect == "tus" else 202), answer
    is_settled(one, sealed)


# -- what holds for all of it


def gap(device):
    url = created(device, new_id(), 1000)
    return lambda: patch(device, url, 5, b"x"), 409


def ietf_gap(device):
    upload = Upload(device, 8, new_id())
    upload.create()
    return lambda: call(device, "PATCH", upload.url, upload.dialect.fields(False, 5), b"x"), 409


def past_the_length(device):
    url = created(device, new_id(), 10)
    return lambda: patch(device, url, 0, b"x" * 11), 413


def wrong_checksum(device):
    url = created(device, new_id(), 10)
    return lambda: patch(device, url, 0, b"x", checksum("sha1", b"y")), 460


def wrong_digest(device):
    upload = Upload(device, 8, new_id())
    upload.create()
    fields = {**upload.dialect.fields(False, 0), "Content-Digest": f"sha-256=:{'A' * 43}=:"}
    return lambda: call(device, "PATCH", upload.url, fields, b"x"), 422


def no_archive(device):
    url = created(device, new_id(), 1000)
    return lambda: patch(device, url, 0, bytes(1000)), 422


def no_upload(device):
    return lambda: tus(device, "DELETE", f"/v1/uploads/{'0' * 32}"), 404


def no_version(device):
    return lambda: create(device, new_id(), 10, fields={"Tus-Resumable": "2.0.0"}), 412


def too_many(device):
    for _ in range(device.limits["open_bundles_max"]):
        created(device, new_id(), 10)
    return lambda: create(device, new_id(), 10), 429


@pytest.mark.parametrize("case", [
    gap, ietf_gap, past_the_length, wrong_checksum, wrong_digest, no_archive, no_upload, no_version,
    too_many], ids=lambda case: case.__name__)
def test_each_refusal_is_one_security_event(watched, one, case):
    send, status = case(one)
    before = refusals(watched)
    assert send().status_code == status
    assert refusals(watched) == before + 1


def test_refusals_keep_what_was_acknowledged_and_give_back_what_they_took(watched):
    """After many of each kind: what was received is settled, what is unfinished can be given up, no byte stays."""
    device = watched.new_device("acme")
    sealed = seal(device, chance_of("acknowledged"), 2000)
    device.upload(sealed.bundle_id, sealed.parts[0])
    cases = (gap, ietf_gap, past_the_length, wrong_checksum, wrong_digest, no_archive, no_upload)
    for _ in range(3):
        for case in cases:
            send, status = case(other := watched.new_device("acme"))
            for _ in range(5):
                assert send().status_code in (status, 404, 410)
            assert not bytes_left(watched, other)
    is_settled(device, sealed)
    watched.footprint.assert_back()


@dialects
def test_a_wrong_offset_again_and_again_is_told_the_right_one_each_time(device, dialect):
    url = begin(device, dialect, new_id(), MIB)
    data, at = bytes(range(256)) * 8, 0
    for turn in range(50):
        answer = append(device, dialect, url, at + 1 + turn % 3, data)
        assert answer.refusal == (409, "offset_conflict") and answer.offset == at, answer
        is_problem_of(answer, "mismatching-upload-offset", **{"expected-offset": at})
        assert append(device, dialect, url, at, data).status_code == 204
        at += len(data)
    assert ask(device, dialect, url).offset == at

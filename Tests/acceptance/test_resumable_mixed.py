"""Both dialects beside each other on one store: parts of one bundle, who takes over from whom, whose upload it is."""

import concurrent.futures
import time

import pytest

from place import until
from raw import Footprint
from resumable import (
    MIB, Upload, Wire, authorized, call, chance_of, is_forgotten, is_gone, is_settled, seal)
from stranger import new_id
from tus_calls import (
    MEDIA_TYPE, VERSION, checksum, create, created, head, offset, patch, patched, tus)

DIALECTS = ["ietf", "tus"]
dialects = pytest.mark.parametrize("dialect", DIALECTS)


def begin(device, dialect, bundle_id, length=None, part=None):
    """The URL of a new upload of either dialect."""
    if dialect == "tus":
        return created(device, bundle_id, length or 1000)
    upload = Upload(device, 8, bundle_id, part)
    assert upload.create(length=length).status_code == 201
    return upload.url


def append_fields(dialect, at, complete=False):
    if dialect == "tus":
        return {"Tus-Resumable": VERSION, "Content-Type": MEDIA_TYPE, "Upload-Offset": str(at)}
    return {
        "Upload-Draft-Interop-Version": "8", "Content-Type": "application/partial-upload",
        "Upload-Offset": str(at), "Upload-Complete": "?1" if complete else "?0"}


def ask(device, dialect, url):
    fields = {"Tus-Resumable": VERSION} if dialect == "tus" else {}
    return call(device, "HEAD", url, fields)


def append(device, dialect, url, at, data, complete=False):
    return call(device, "PATCH", url, append_fields(dialect, at, complete), data)


# -- one bundle, every way


def test_a_bundle_whose_parts_come_by_put_by_tus_and_by_ietf_appends(device):
    chance = chance_of("three ways")
    sealed = seal(device, chance, 300_000, 300_000, 300_000)
    first, second, third = sealed.parts
    device.declare(sealed.bundle_id, sealed.parts)
    device.put(sealed.bundle_id, 1, first)
    url = created(device, sealed.bundle_id, len(second), part=2, parts=3)
    patched(device, url, 0, second[:1000])
    assert patch(device, url, 1000, second[1000:], cut=chance.randrange(len(second) - 1000)) is None
    upload = Upload(device, 8, sealed.bundle_id, 3)
    upload.create(length=len(third))
    upload.rest(third, cut=chance.randrange(len(third)))
    upload.ask()
    # What an app finds that lost its notes.
    listed, = device.get("/v1/bundles", params={"state": "receiving"})["bundles"]
    assert listed["bundle_id"] == sealed.bundle_id
    assert [part["complete"] for part in listed["parts"]] == [True, False, False]
    assert [part["upload"] for part in listed["parts"]] == [None, url, upload.url]
    at = offset(device, url)
    assert patched(device, url, at, second[at:]) == len(second)
    assert upload.rest(third).status_code == 201
    is_settled(device, sealed)


def test_what_tus_declares_is_told_as_a_declared_bundle_is(device):
    """Sizes are not known before they are told; another declaration under the id is a conflict."""
    sealed = seal(device, chance_of("declared by tus"), 2000, 3000)
    url = created(device, sealed.bundle_id, len(sealed.parts[0]), part=1, parts=2)
    parts = device.status(sealed.bundle_id)["parts"]
    assert [part["part"] for part in parts] == [1, 2]
    assert [part["received"] for part in parts] == [0, 0]
    assert parts[0]["upload"] == url
    answer = device.upload_raw(sealed.parts[0], sealed.bundle_id)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_conflict")
    # The other part in one plain request.
    device.put(sealed.bundle_id, 2, sealed.parts[1])
    patched(device, url, 0, sealed.parts[0])
    is_settled(device, sealed)


def test_an_upload_begun_in_one_dialect_goes_on_in_the_other(device):
    """One store behind both: the URL is one and the same."""
    sealed = seal(device, chance_of("other dialect"), 30_000)
    data = sealed.parts[0]
    url = created(device, sealed.bundle_id, len(data))
    patched(device, url, 0, data[:1000])
    answer = ask(device, "ietf", url)
    assert (answer.status_code, answer.offset) == (204, 1000), answer
    assert answer.headers["Upload-Length"] == str(len(data))
    assert append(device, "ietf", url, 1000, data[1000:2000]).status_code == 204
    assert offset(device, url) == 2000
    patched(device, url, 2000, data[2000:])
    is_settled(device, sealed)


# -- who takes over


@pytest.fixture
def stalled(device):
    """An upload whose append hangs after some bytes: the connection, the upload, the dialect, what has come."""
    wires = []

    def make(dialect, size=200_000, fields=None):
        sealed = seal(device, chance_of("stalled"), MIB)
        data = sealed.parts[0]
        url = begin(device, dialect, sealed.bundle_id, len(data))
        wires.append(Wire(device.base))
        wires[-1].head("PATCH", url, authorized(device, {
            **append_fields(dialect, 0, True), "Content-Length": str(len(data)),
            "Expect": "100-continue", **(fields or {})}))
        assert wires[-1].hint(100), "the append is under way"
        wires[-1].body(data[:size])
        return wires[-1], url, sealed

    yield make
    for wire in wires:
        wire.cut()


@dialects
@pytest.mark.parametrize("method", ["HEAD", "PATCH", "DELETE"])
def test_another_request_for_the_upload_takes_over_within_a_second(
        device, stalled, dialect, method):
    wire, url, sealed = stalled(dialect)
    data = sealed.parts[0]
    began = time.monotonic()
    if method == "HEAD":
        answer = ask(device, dialect, url)
        assert answer.status_code == (200 if dialect == "tus" else 204)
        assert answer.offset <= 200_000
    elif method == "PATCH":
        # At an offset that nobody can know: the answer tells it.
        answer = append(device, dialect, url, len(data), b"")
        assert answer.refusal == (409, "offset_conflict") and answer.offset <= 200_000
    else:
        answer = call(
            device, "DELETE", url, {"Tus-Resumable": VERSION} if dialect == "tus" else {})
        assert answer.status_code == 204
    assert time.monotonic() - began < 1, "it waits for the one that hangs"
    wire.until_closed()
    assert time.monotonic() - began < 1.5, "the connection lives on"
    if method == "DELETE":
        is_gone(ask(device, dialect, url))
        assert is_forgotten(device, sealed.bundle_id)
        return
    # What the first still sends is nobody's any more.
    at = answer.offset
    wire.body(data[200_000:300_000])
    assert ask(device, dialect, url).offset == at, "an offset that was told can be used"
    answer = append(device, dialect, url, at, data[at:], complete=True)
    assert answer.status_code == (204 if dialect == "tus" else 202), answer
    is_settled(device, sealed)


@pytest.mark.parametrize("stalls, takes", [("ietf", "tus"), ("tus", "ietf")])
def test_the_other_dialect_takes_over_too(device, stalled, stalls, takes):
    wire, url, sealed = stalled(stalls)
    at = ask(device, takes, url).offset
    wire.until_closed()
    answer = append(device, takes, url, at, sealed.parts[0][at:], complete=True)
    assert answer.status_code == (204 if takes == "tus" else 202), answer
    is_settled(device, sealed)


def test_a_creation_that_hangs_is_taken_over(device):
    sealed = seal(device, chance_of("creation hangs"), MIB)
    data = sealed.parts[0]
    upload = Upload(device, 8, sealed.bundle_id)
    with Wire(device.base) as wire:
        wire.head("POST", "/v1/bundles", authorized(device, {
            **upload.metadata, **upload.dialect.fields(True), "Content-Length": str(len(data))}))
        upload.find(wire.hint().headers["Location"])
        wire.body(data[:100_000])
        upload.sent = len(data)
        assert upload.ask().offset <= 100_000
        wire.until_closed()
    assert upload.rest(data).status_code == 202
    is_settled(device, sealed)


def test_a_parts_own_url_takes_over_as_well(device, stalled):
    wire, _, sealed = stalled("ietf")
    answer = call(device, "HEAD", f"/v1/bundles/{sealed.bundle_id}/parts/1")
    assert answer.status_code == 204 and answer.offset <= 200_000, answer
    wire.until_closed()


@dialects
def test_of_two_connections_on_one_part_one_wins_and_no_byte_is_there_twice(device, dialect):
    for _ in range(5):
        sealed = seal(device, chance_of("two connections"), 300_000)
        data = sealed.parts[0]
        url = begin(device, dialect, sealed.bundle_id, len(data))
        with concurrent.futures.ThreadPoolExecutor(2) as threads:
            answers = list(threads.map(
                lambda _: append(device, dialect, url, 0, data, True), range(2)))
        # Whoever comes second ends the first, unless the first has come to its end.
        done = 204 if dialect == "tus" else 202
        statuses = [None if answer is None else answer.status_code for answer in answers]
        assert statuses.count(done) <= 1 and set(statuses) <= {None, done, 409}, statuses
        answer = ask(device, dialect, url)
        assert answer.offset <= len(data)
        # To tus, an upload is complete with its last byte.
        is_complete = answer.offset == len(data) if dialect == "tus" else (
            answer.headers["Upload-Complete"] == "?1")
        if not is_complete:
            answer = append(device, dialect, url, answer.offset, data[answer.offset:], True)
            assert answer.status_code == done, answer
        is_settled(device, sealed)


# -- an upload anew


@pytest.mark.parametrize("first", DIALECTS)
@pytest.mark.parametrize("second", DIALECTS)
def test_a_new_creation_ends_the_old_upload_at_its_first_byte(device, first, second):
    sealed = seal(device, chance_of("anew"), 20_000)
    data = sealed.parts[0]
    old = begin(device, first, sealed.bundle_id, len(data))
    assert append(device, first, old, 0, data[:5000]).status_code == 204
    new = begin(device, second, sealed.bundle_id, len(data))
    assert new != old
    assert ask(device, first, old).offset == 5000, "nothing has come of the new one"
    assert append(device, second, new, 0, data[:1]).status_code == 204
    assert ask(device, first, old).status_code == 410
    answer = append(device, first, old, 5000, data[5000:], complete=True)
    assert answer.refusal == (410, "gone"), answer
    part, = device.status(sealed.bundle_id)["parts"]
    assert (part["received"], part["upload"]) == (1, new)
    answer = append(device, second, new, 1, data[1:], complete=True)
    assert answer.status_code == (204 if second == "tus" else 202), answer
    is_settled(device, sealed)


@dialects
def test_the_old_upload_may_win_while_the_new_one_is_empty(device, dialect):
    sealed = seal(device, chance_of("old wins"), 20_000)
    data = sealed.parts[0]
    old = begin(device, dialect, sealed.bundle_id, len(data))
    assert append(device, dialect, old, 0, data[:1]).status_code == 204
    new = begin(device, dialect, sealed.bundle_id, len(data))
    answer = append(device, dialect, old, 1, data[1:], complete=True)
    assert answer.status_code == (204 if dialect == "tus" else 202), answer
    is_settled(device, sealed)
    # Whatever is made of the new one, the bundle is not received twice.
    append(device, dialect, new, 0, data, complete=True)
    device.collect()
    assert len(device.receipts[sealed.bundle_id]) == 1
    assert device.get("/v1/bundles", params={"state": "receiving"}) == {"bundles": []}


@dialects
def test_the_whole_bundle_in_one_plain_request_ends_its_upload(device, dialect):
    sealed = seal(device, chance_of("plain after all"), 20_000)
    data = sealed.parts[0]
    url = begin(device, dialect, sealed.bundle_id, len(data))
    assert append(device, dialect, url, 0, data[:5000]).status_code == 204
    device.upload(sealed.bundle_id, data)
    assert ask(device, dialect, url).status_code in (404, 410)
    is_settled(device, sealed)


@dialects
def test_to_begin_what_is_received_says_so(device, dialect):
    """The states `queued` to `settled`: nothing is begun again."""
    sealed = seal(device, chance_of("received"), 3000)
    data = sealed.parts[0]
    device.upload(sealed.bundle_id, data)
    is_settled(device, sealed)
    if dialect == "ietf":
        answer = Upload(device, 8, sealed.bundle_id).create(data, complete=True)
        assert answer.status_code == 202 and answer.json()["state"] == "settled", answer
    else:
        answer = create(device, sealed.bundle_id, len(data), data)
        assert answer.status_code in (201, 409), answer
    device.collect()
    assert len(device.receipts[sealed.bundle_id]) == 1


# -- whose upload it is


@dialects
def test_somebody_elses_upload_is_not_there(server, tenant, device, dialect):
    """With one and the same body as one that never was, and as a name that is none."""
    sealed = seal(device, chance_of("theirs"), 20_000)
    data = sealed.parts[0]
    url = begin(device, dialect, sealed.bundle_id, len(data))
    assert append(device, dialect, url, 0, data[:5000]).status_code == 204
    folder = url.rpartition("/")[0]
    for other in (server.new_device(tenant), server.new_device(server.create_tenant(f"far-{dialect}"))):
        bodies = set()
        for name in (url, f"{folder}/{'0' * 32}", f"{folder}/x", f"{url}0"):
            told = {"Tus-Resumable": VERSION} if dialect == "tus" else {}
            assert ask(other, dialect, name).status_code == 404, name
            for answer in (append(other, dialect, name, 5000, data[5000:], complete=True),
                           call(other, "DELETE", name, told)):
                assert answer.refusal == (404, "not_found"), answer
                bodies.add(answer.content)
        assert len(bodies) == 1, bodies
    assert ask(device, dialect, url).offset == 5000
    answer = append(device, dialect, url, 5000, data[5000:], complete=True)
    assert answer.status_code == (204 if dialect == "tus" else 202)
    is_settled(device, sealed)


def test_somebody_elses_pieces_are_no_part_of_a_whole(server, tenant, device):
    other = server.new_device(tenant)
    sealed = seal(other, chance_of("their pieces"), 2000)
    data = sealed.parts[0]
    url = created(device, length=len(data), fields={"Upload-Concat": "partial"})
    patched(device, url, 0, data)
    answer = create(other, sealed.bundle_id, fields={"Upload-Concat": f"final;{url}"})
    assert answer.status_code in (400, 404), answer
    assert is_forgotten(other, sealed.bundle_id)
    assert offset(device, url) == len(data)


@dialects
def test_without_a_token_it_is_401_whatever_the_name(device, dialect):
    url = begin(device, dialect, new_id(), 1000)
    bodies = set()
    for token in ("", "Bearer guess", "Bearer " + "0" * 43):
        for name in (url, url[:-1] + ("0" if url[-1] != "0" else "1")):
            fields = {**append_fields(dialect, 0), "Authorization": token}
            answer = call(device, "PATCH", name, fields, b"x")
            assert answer.refusal == (401, "unauthorized"), answer
            bodies.add(answer.content)
    assert len(bodies) == 1
    assert ask(device, dialect, url).offset == 0


@dialects
def test_revoked_in_the_middle_of_an_upload_the_next_request_is_401(server, tenant, dialect):
    device = server.new_device(tenant)
    sealed = seal(device, chance_of("revoked"), MIB)
    data = sealed.parts[0]
    url = begin(device, dialect, sealed.bundle_id, len(data))
    with Wire(device.base) as wire:
        wire.head("PATCH", url, authorized(device, {
            **append_fields(dialect, 0, True), "Content-Length": str(len(data))}))
        wire.body(data[:100_000])
        server.command("device", "revoke", device.id)
        wire.body(data[100_000:]).end()
        answer = wire.answer()
        assert answer is None or answer.status_code in (202, 204, 401), answer
    assert ask(device, dialect, url).status_code == 401
    answer = append(device, dialect, url, 0, data)
    assert answer.refusal == (401, "unauthorized"), answer


def test_a_wrong_checksum_of_one_dialect_and_a_digest_of_the_other_guard_the_same_bytes(device):
    sealed = seal(device, chance_of("both guards"), 20_000)
    data = sealed.parts[0]
    url = created(device, sealed.bundle_id, len(data))
    patched(device, url, 0, data[:1000], fields=checksum("sha256", data[:1000]))
    fields = {**append_fields("ietf", 1000, True), "Content-Digest": f"sha-256=:{'A' * 43}=:"}
    answer = call(device, "PATCH", url, fields, data[1000:])
    assert answer.refusal == (422, "digest_mismatch"), answer
    assert patch(device, url, 1000, data[1000:], checksum("sha1", data)).status_code == 460
    assert offset(device, url) == 1000
    patched(device, url, 1000, data[1000:])
    is_settled(device, sealed)


def test_uploads_leave_nothing_behind_in_the_process(server, device):
    """Descriptors and memory are back after uploads that were begun, cut and deleted."""
    footprint, chance = Footprint(server), chance_of("nothing behind")
    for number in range(30):
        sealed = seal(device, chance, 200_000)
        data = sealed.parts[0]
        dialect = DIALECTS[number % 2]
        url = begin(device, dialect, sealed.bundle_id, len(data))
        fields = append_fields(dialect, 0, True)
        call(device, "PATCH", url, fields, data, cut=chance.randrange(len(data)))
        told = {"Tus-Resumable": VERSION} if dialect == "tus" else {}
        assert call(device, "DELETE", url, told).status_code == 204
    footprint.assert_back()
    assert device.get("/v1/bundles", params={"state": "receiving"}) == {"bundles": []}
    assert tus(device, "OPTIONS", "/v1/uploads").status_code == 204
    until(lambda: head(device, url).status_code in (404, 410), 1)

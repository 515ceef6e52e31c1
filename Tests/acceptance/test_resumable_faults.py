"""What happens to uploads when the server ends, the disk fills, time passes, or nobody comes back."""

import errno
import os
import pathlib
import time

import pytest

from place import until
from resumable import (
    MIB, Upload, Wire, authorized, call, chance_of, is_forgotten, is_gone, is_settled, limits, seal)
from stranger import new_id
from test_faults_disk import faults, make_disk
from test_faults_process import clock
from test_resumable_mixed import append, append_fields, ask, begin, dialects
from tus_calls import VERSION, create, created, head, patch, patched

# Fixtures of other files.
__all__ = ["clock", "faults", "make_disk"]
LEFT = int(os.environ.get("WAYBILL_TEST_UPLOADS_LEFT", "2000"))
DAY = 24


def part_files(place, folder="parts"):
    return list(pathlib.Path(place.server.data, folder).iterdir())


def unfinished(device):
    return device.get("/v1/bundles", params={"state": "receiving"})["bundles"]


def open_parts(place):
    """Files of parts that the server holds open."""
    found = []
    for entry in pathlib.Path(f"/proc/{place.server.process.pid}/fd").iterdir():
        try:
            found.append(os.readlink(entry))
        except FileNotFoundError:
            pass  # Closed meanwhile.
    return [name for name in found if ".part" in name]


def half_sent(device, dialect, sealed):
    """The URL of an upload of which half has come, and how much that is."""
    data = sealed.parts[0]
    url = begin(device, dialect, sealed.bundle_id, len(data))
    assert append(device, dialect, url, 0, data[:len(data) // 2]).status_code == 204
    return url, len(data) // 2


def finishes(device, dialect, sealed, url):
    """From wherever the server says that it is."""
    data = sealed.parts[0]
    at = ask(device, dialect, url).offset
    answer = append(device, dialect, url, at, data[at:], complete=True)
    assert answer.status_code == (204 if dialect == "tus" else 202), answer
    is_settled(device, sealed)


# -- the server ends


@dialects
@pytest.mark.parametrize("how", ["kill", "stop"])
def test_after_a_restart_head_tells_the_synced_offset(make_place, dialect, how):
    place = make_place()
    device = place.device
    sealed = seal(device, chance_of("restart"), MIB)
    url, half = half_sent(device, dialect, sealed)
    for _ in range(2):
        getattr(place.server, how)()
        place.server.start()
        answer = ask(device, dialect, url)
        assert answer.offset == half and answer.headers["Upload-Length"] == str(len(sealed.parts[0]))
        part, = device.status(sealed.bundle_id)["parts"]
        assert (part["received"], part["upload"]) == (half, url)
        assert not open_parts(place), "nobody is at it"
    finishes(device, dialect, sealed, url)
    place.server.kill()
    place.server.start()
    answer = ask(device, dialect, url)
    assert answer.offset == len(sealed.parts[0]), "it is told for a day that all came"


@dialects
def test_what_was_asked_for_at_the_beginning_is_known_after_a_kill(make_place, dialect):
    """Metadata, lengths, digests of the whole: whatever a later request does not repeat."""
    place = make_place()
    device = place.device
    sealed = seal(device, chance_of("known"), 20_000)
    data = sealed.parts[0]
    if dialect == "tus":
        piece = created(device, length=5000, fields={"Upload-Concat": "partial"})
        patched(device, piece, 0, data[:5000])
        url = created(device, sealed.bundle_id, fields={"Upload-Defer-Length": 1}, filename="a b")
        before = head(device, url).headers, head(device, piece).headers
        names = ("Upload-Metadata", "Upload-Defer-Length", "Upload-Concat", "Upload-Length")
        place.server.kill()
        place.server.start()
        after = head(device, url).headers, head(device, piece).headers
        for one, other in zip(before, after):
            assert [one.get(name) for name in names] == [other.get(name) for name in names]
        rest = created(device, length=len(data) - 5000, fields={"Upload-Concat": "partial"})
        patched(device, rest, 0, data[5000:])
        answer = create(
            device, sealed.bundle_id, fields={"Upload-Concat": f"final;{piece} {rest}"})
        assert answer.status_code == 201, answer
    else:
        upload = Upload(device, 8, sealed.bundle_id)
        upload.create(length=len(data), fields={"Repr-Digest": f"sha-256=:{'A' * 43}=:"})
        upload.append(data[:5000])
        place.server.kill()
        place.server.start()
        answer = upload.rest(data)
        assert answer.refusal == (422, "digest_mismatch"), answer
        finishes(device, dialect, sealed, begin(device, dialect, sealed.bundle_id, len(data)))
        return
    is_settled(device, sealed)


@dialects
@pytest.mark.parametrize("is_complete", [False, True])
def test_bytes_whose_sync_failed_are_not_told_by_a_second_one(
        make_place, faults, dialect, is_complete):
    """A sync that comes after a failed one says nothing of what that was for."""
    place = make_place("listeners=0", prefix=faults.prefix)
    device = place.device
    sealed = seal(device, chance_of("sync"), MIB)
    data = sealed.parts[0]
    url, half = half_sent(device, dialect, sealed)
    end = len(data) if is_complete else half + 100_000
    faults.fail(place.server, "sync/fdatasync", errno.EIO, once=True)
    answer = append(device, dialect, url, half, data[half:end], complete=is_complete)
    assert answer.status_code == 500, answer
    assert ask(device, dialect, url).offset == half
    place.listeners(1)
    finishes(device, dialect, sealed, url)


@dialects
def test_bytes_behind_a_piece_that_was_not_written_do_not_take_its_place(make_place, faults, dialect):
    """The rest of a body is there before the server hears that its beginning found no room."""
    place = make_place("listeners=0", prefix=faults.prefix)
    device = place.device
    sealed = seal(device, chance_of("piece"), MIB)
    data = sealed.parts[0]
    url, half = half_sent(device, dialect, sealed)
    faults.fail(place.server, "rw/pwrite", errno.ENOSPC, once=True)
    with Wire(device.base) as wire:
        wire.head("PATCH", url, authorized(device, {
            **append_fields(dialect, half), "Content-Length": "40000"}))
        wire.body(data[half:half + 30_000])
        time.sleep(0.1)
        answer = wire.body(data[half + 30_000:half + 40_000]).end().answer()
    assert answer.status_code == 507, answer
    assert ask(device, dialect, url).offset == half
    assert not open_parts(place)
    place.listeners(1)
    finishes(device, dialect, sealed, url)


@dialects
def test_sigterm_in_an_upload_keeps_the_offset_and_exits_with_0(make_place, dialect):
    place = make_place("shutdown-grace=1s")
    device = place.device
    sealed = seal(device, chance_of("sigterm"), MIB)
    data = sealed.parts[0]
    url = begin(device, dialect, sealed.bundle_id, len(data))
    with Wire(device.base) as wire:
        wire.head("PATCH", url, authorized(device, {
            **append_fields(dialect, 0, True), "Content-Length": str(len(data)),
            "Expect": "100-continue"}))
        assert wire.hint(100), "the append is under way"
        wire.body(data[:300_000])
        assert place.server.stop() == 0
        answer = wire.answer()
        assert answer is None or answer.refusal[0] in (408, 503), answer
    place.server.start()
    answer = ask(device, dialect, url)
    assert answer.offset == 300_000, "all that had come"
    finishes(device, dialect, sealed, url)


def test_kills_in_the_middle_of_an_append_lose_nothing_that_was_told(make_place):
    """What 104 told is there after the kill, too."""
    chance = chance_of("told")
    place = make_place()
    device = place.device
    sealed = seal(device, chance, 4 * MIB)
    data = sealed.parts[0]
    upload = Upload(device, 8, sealed.bundle_id)
    upload.create(length=len(data))
    for _ in range(4):
        left = len(data) - upload.told
        with Wire(device.base) as wire:
            wire.head("PATCH", upload.url, authorized(device, {
                **upload.dialect.fields(True, upload.told), "Content-Length": str(left)}))
            size = chance.randrange(left // 2)
            wire.body(data[upload.told:upload.told + size])
            upload.sent = upload.told + size
            place.server.kill()
            wire.until_closed()
            told = [int(one.headers["Upload-Offset"]) for one in wire.interim if one.status == 104]
        upload.told = max([upload.told, *told])
        place.server.start()
        assert upload.ask().status_code == 204
    upload.sent = len(data)
    assert upload.rest(data).status_code == 202
    is_settled(device, sealed)
    place.server.command("audit", "verify")


# -- the disk


def fill(path, room=0):
    """Somebody else's file that takes what is left on a disk."""
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            pass
    if room:
        os.truncate(path, max(0, path.stat().st_size - room))


@dialects
def test_case_17_a_disk_filled_by_somebody_else_during_an_upload_keeps_the_offset(
        make_place, make_disk, dialect):
    chance = chance_of("case 17")
    disk = make_disk("96m")
    place = make_place("segment-bytes=1MiB", data=disk.data)
    device = place.device
    sealed = seal(device, chance, 8 * MIB)
    data = sealed.parts[0]
    url = begin(device, dialect, sealed.bundle_id, len(data))
    assert append(device, dialect, url, 0, data[:MIB]).status_code == 204
    with Wire(device.base) as wire:
        wire.head("PATCH", url, authorized(device, {
            **append_fields(dialect, MIB, True), "Content-Length": str(len(data) - MIB),
            "Expect": "100-continue"}))
        assert wire.hint(100), "the append is under way"
        wire.body(data[MIB:3 * MIB])
        fill(disk.path / "somebody else's", room=MIB)
        wire.body(data[3 * MIB:]).end()
        answer = wire.answer()
        told = [int(one.headers["Upload-Offset"]) for one in wire.interim
                if "Upload-Offset" in one.headers]
    if answer is not None:
        assert answer.refusal == (507, "disk_full"), answer
        assert answer.json()["retryable"] is True and int(answer.headers["Retry-After"]) > 0
    kept = ask(device, dialect, url).offset
    assert max([MIB, *told]) <= kept < len(data)
    (disk.path / "somebody else's").unlink()

    def goes_on():
        at = ask(device, dialect, url).offset
        assert kept <= at
        answer = append(device, dialect, url, at, data[at:], complete=True)
        assert answer is None or answer.status_code in (202, 204, 507), answer
        return answer is not None and answer.status_code != 507

    until(goes_on, 60, "it does not go on though there is room")
    is_settled(device, sealed)
    assert place.server.stop() == 0


@dialects
def test_a_disk_under_its_floor_begins_no_upload_and_tells_every_offset(make_place, dialect):
    place = make_place()
    device = place.device
    sealed = seal(device, chance_of("floor"), 20_000)
    url, half = half_sent(device, dialect, sealed)
    place.server.stop()
    # No disk has this much.
    place.set("disk-free-floor=1048576GiB")
    place.server.start()
    assert ask(device, dialect, url).offset == half
    answers = [append(device, dialect, url, half, sealed.parts[0][half:], complete=True)]
    answers.append(
        create(device, new_id(), 1000) if dialect == "tus" else Upload(device, 8, new_id()).create())
    for answer in answers:
        assert answer.refusal == (507, "disk_full"), answer
        assert int(answer.headers["Retry-After"]) > 0
    assert ask(device, dialect, url).offset == half
    place.server.stop()
    place.set("disk-free-floor=0")
    place.server.start()
    finishes(device, dialect, sealed, url)


# -- time


@dialects
def test_case_37_a_half_received_bundle_whose_device_comes_back_after_three_weeks(
        make_place, clock, dialect):
    place = make_place(prefix=clock.prefix)
    device = place.device
    sealed = seal(device, chance_of("case 37"), MIB, 20_000)
    device.declare(sealed.bundle_id, sealed.parts)
    device.put(sealed.bundle_id, 2, sealed.parts[1])
    data = sealed.parts[0]
    if dialect == "tus":
        url = created(device, sealed.bundle_id, len(data), part=1, parts=2)
    else:
        upload = Upload(device, 8, sealed.bundle_id, 1)
        upload.create(length=len(data))
        url = upload.url
    assert append(device, dialect, url, 0, data[:400_000]).status_code == 204
    clock(21 * DAY)
    # Started again meanwhile: what is too old would be swept at the start.
    place.server.stop()
    place.server.start()
    listed, = unfinished(device)
    assert [part["complete"] for part in listed["parts"]] == [False, True]
    assert [part["received"] for part in listed["parts"]] == [400_000, len(sealed.parts[1])]
    assert listed["parts"][0]["upload"] == url
    assert ask(device, dialect, url).offset == 400_000
    assert append(device, dialect, url, 400_000, data[400_000:500_000]).status_code == 204
    # Progress counts from now: three weeks more are not too many.
    clock(42 * DAY)
    place.server.stop()
    place.server.start()
    answer = append(device, dialect, url, 500_000, data[500_000:], complete=True)
    assert answer.status_code == (204 if dialect == "tus" else 201), answer
    is_settled(device, sealed)


@dialects
def test_an_upload_without_progress_is_swept_after_its_days(
        make_place, clock, dialect):
    place = make_place("open-bundle-days=1", prefix=clock.prefix)
    device = place.device
    sealed = seal(device, chance_of("expiry"), 20_000)
    url, _ = half_sent(device, dialect, sealed)
    piece = created(device, length=1000, fields={"Upload-Concat": "partial"})
    patched(device, piece, 0, b"x" * 500)
    if dialect == "ietf":
        assert 86400 - 600 < limits(ask(device, dialect, url))["max-age"] <= 86400
    assert len(part_files(place)) == 2
    clock(DAY + 1)
    place.server.kill()
    place.server.start()
    until(lambda: ask(device, dialect, url).status_code in (404, 410), 30, "it is not swept")
    is_gone(append(device, dialect, url, 0, b"x"))
    until(lambda: head(device, piece).status_code in (404, 410), 30, "pieces are not swept")
    until(lambda: part_files(place) == [], 30, "their files stay")
    until(lambda: unfinished(device) == [], 30, "their bundles stay")
    finishes(device, dialect, sealed, begin(device, dialect, sealed.bundle_id, len(sealed.parts[0])))


@dialects
def test_a_finished_uploads_url_answers_for_a_day_and_then_no_more(
        make_place, clock, dialect):
    place = make_place(prefix=clock.prefix)
    device = place.device
    sealed = seal(device, chance_of("a day"), 20_000)
    url, _ = half_sent(device, dialect, sealed)
    finishes(device, dialect, sealed, url)
    for hours, is_there in ((23, True), (26, False)):
        clock(hours)
        place.server.kill()
        place.server.start()
        if is_there:
            assert ask(device, dialect, url).offset == len(sealed.parts[0])
        else:
            until(lambda: ask(device, dialect, url).status_code == 404, 30, "it is told on")
            until(lambda: part_files(place, "uploads") == [], 30, "its record stays")
    assert device.status(sealed.bundle_id)["state"] == "settled"


# -- begun and left


def begin_raw(device, dialect, bundle_id, length=None):
    if dialect == "tus":
        return create(device, bundle_id, length or 1000)
    return Upload(device, 8, bundle_id).create(length=length)


@dialects
def test_uploads_begun_and_left_are_429_and_their_device_may_finish_what_it_has(
        make_place, clock, dialect):
    """However many: only so many are there, and after their days none."""
    place = make_place(devices=2, prefix=clock.prefix)
    device, other = place.devices
    allowed = device.limits["open_bundles_max"]
    sealed = seal(device, chance_of("left"), 20_000)
    url, _ = half_sent(device, dialect, sealed)
    for _ in range(allowed - 1):
        assert begin_raw(device, dialect, new_id()).status_code == 201
    began = time.monotonic()
    for number in range(LEFT):
        answer = begin_raw(device, dialect, new_id())
        assert answer.refusal == (429, "too_many_open"), answer
        assert answer.json()["retryable"] is True and int(answer.headers["Retry-After"]) > 0
        if time.monotonic() - began > 60:
            break
    print(f"{number + 1} refused")
    assert len(part_files(place)) <= allowed
    assert len(part_files(place, "uploads")) <= allowed, "a refused one leaves a trace"
    # Whoever else, and who comes with the whole in one request, notices nothing.
    assert begin_raw(other, dialect, new_id()).status_code == 201
    one = seal(device, chance_of("one"), 2000)
    device.upload(one.bundle_id, one.parts[0])
    is_settled(device, one)
    finishes(device, dialect, sealed, url)
    assert begin_raw(device, dialect, new_id()).status_code == 201
    clock(31 * DAY)
    place.server.kill()
    place.server.start()
    until(lambda: part_files(place) == [], 30, "their files stay")
    until(lambda: unfinished(device) == [], 30, "their bundles stay")
    assert begin_raw(device, dialect, new_id()).status_code == 201


@dialects
def test_bytes_of_unfinished_uploads_are_limited_as_told(make_place, dialect):
    place = make_place("open-bytes-max=200000", "part-bytes-max=200000")
    device = place.device
    first, second = new_id(), new_id()
    url = begin(device, dialect, first, 150_000)
    assert begin_raw(device, dialect, second, 50_001).refusal == (429, "too_many_open")
    assert is_forgotten(device, second)
    assert begin_raw(device, dialect, second, 50_000).status_code == 201
    told = {"Tus-Resumable": VERSION} if dialect == "tus" else {}
    assert call(device, "DELETE", url, told).status_code == 204
    assert begin_raw(device, dialect, first, 150_000).status_code == 201


def test_pieces_count_as_bytes(make_place):
    """As told from their first byte on, for nobody may have heard of a piece without one; as they come where nothing was
    told."""
    place = make_place("open-bytes-max=200000", "part-bytes-max=200000")
    device = place.device
    partial = {"Upload-Concat": "partial"}
    piece, unheard_of = (created(device, length=150_000, fields=partial) for _ in range(2))
    patched(device, piece, 0, bytes(1))
    answer = patch(device, unheard_of, 0, bytes(150_000))
    assert answer.refusal == (429, "too_many_open"), answer
    answer = create(device, length=50_001, fields=partial)
    assert answer.refusal == (429, "too_many_open"), answer
    deferred = created(device, fields={**partial, "Upload-Defer-Length": 1})
    answer = patch(device, deferred, 0, bytes(50_001))
    assert answer is None or answer.refusal[0] in (413, 429), answer
    assert head(device, deferred).offset <= 50_000
    patched(device, piece, 1, bytes(149_999))

"""tus 1.0.0 by hand: the core and every extension that the server names, with their errors."""

import email.utils
import time

import pytest

from resumable import (
    UPLOAD_URL, Wire, authorized, call, chance_of, is_forgotten, is_gone, is_settled, seal)
from stranger import new_id
from tus_calls import (
    MEDIA_TYPE, VERSION, checksum, create, created, head, metadata, offset, patch, patched, tus)


def begun(device, size=20_000, name="tus"):
    """A sealed bundle of one part and the URL of its empty upload."""
    sealed = seal(device, chance_of(name), size)
    return sealed, created(device, sealed.bundle_id, len(sealed.parts[0]))


def finished(device, sealed, url, at=0):
    """Sends the rest of a one-part bundle, which settles."""
    data = sealed.parts[0]
    assert patched(device, url, at, data[at:]) == len(data)
    is_settled(device, sealed)


def expiry(answer):
    """`Upload-Expires` in seconds from now; the date is as RFC 7231 has it."""
    text = answer.headers["Upload-Expires"]
    date = email.utils.parsedate_to_datetime(text)
    assert email.utils.format_datetime(date, usegmt=True) == text
    return date.timestamp() - time.time()


# -- core and creation


def test_a_bundle_is_created_appended_to_and_settled(device):
    sealed, url = begun(device)
    data = sealed.parts[0]
    answer = head(device, url)
    assert (answer.status_code, answer.offset) == (200, 0), answer
    assert answer.headers["Upload-Length"] == str(len(data))
    assert answer.headers["Upload-Metadata"] == metadata(bundle_id=sealed.bundle_id)
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Upload-Defer-Length" not in answer.headers and "Upload-Concat" not in answer.headers
    assert patched(device, url, 0, data[:7000]) == offset(device, url) == 7000
    part, = device.status(sealed.bundle_id)["parts"]
    assert (part["received"], part["complete"], part["upload"]) == (7000, False, url)
    finished(device, sealed, url, 7000)
    answer = head(device, url)
    assert (answer.status_code, answer.offset) == (200, len(data)), answer


def test_metadata_comes_back_as_it_was_sent(device):
    """The server uses its own keys, and keeps the others."""
    bundle_id = new_id()
    sent = ",".join([
        metadata(filename="Flugbuch für März.zip"), "is_confidential",
        metadata(bundle_id=bundle_id, part=1)])
    answer = tus(device, "POST", "/v1/uploads", {"Upload-Metadata": sent, "Upload-Length": 10})
    assert answer.status_code == 201, answer
    assert head(device, answer.headers["Location"]).headers["Upload-Metadata"] == sent
    assert device.status(bundle_id)["state"] == "receiving"


def test_parts_of_a_bundle_are_sent_in_any_order(device):
    """`tus for an undeclared bundle declares it, sizes unknown`."""
    chance = chance_of("tus parts")
    sealed = seal(device, chance, 30_000, 1000, 20_000)
    urls = {}
    for part in chance.sample([1, 2, 3], 3):
        data = sealed.parts[part - 1]
        urls[part] = created(device, sealed.bundle_id, len(data), part=part, parts=3)
        patched(device, urls[part], 0, data[:500])
    status = device.status(sealed.bundle_id)
    assert [part["upload"] for part in status["parts"]] == [urls[part] for part in (1, 2, 3)]
    assert [part["received"] for part in status["parts"]] == [500] * 3
    for part in chance.sample([1, 2, 3], 3):
        patched(device, urls[part], 500, sealed.parts[part - 1][500:])
    is_settled(device, sealed)


def test_the_epoch_may_be_told_and_is_one_of_the_declaration(device):
    sealed = seal(device, chance_of("tus epoch"), 1000)
    url = created(device, sealed.bundle_id, len(sealed.parts[0]), epoch=1)
    finished(device, sealed, url)
    for epoch in ("one", "0", "-1", "2"):
        answer = create(device, new_id(), 100, epoch=epoch)
        assert answer.refusal == (400, "invalid_request"), answer


def test_a_declared_bundle_takes_tus_for_its_parts(device):
    sealed = seal(device, chance_of("tus declared"), 5000, 3000)
    device.declare(sealed.bundle_id, sealed.parts)
    for part, data in enumerate(sealed.parts, 1):
        url = created(device, sealed.bundle_id, len(data), part=part, parts=2)
        patched(device, url, 0, data)
    is_settled(device, sealed)


def test_a_part_that_is_not_what_was_declared_is_422_and_may_be_sent_again(device):
    """Not 460: that is for one append, and the upload goes on."""
    sealed = seal(device, chance_of("tus other"), 5000)
    data = sealed.parts[0]
    other = data[:-1] + bytes([data[-1] ^ 1])
    device.declare(sealed.bundle_id, sealed.parts)
    url = created(device, sealed.bundle_id, len(data))
    assert patch(device, url, 0, other).refusal == (422, "digest_mismatch")
    is_gone(head(device, url))
    answer = create(device, sealed.bundle_id, fields=concat(partials(device, [other])))
    assert answer.refusal == (422, "digest_mismatch"), answer
    finished(device, sealed, created(device, sealed.bundle_id, len(data)))


def test_an_upload_begun_at_its_part_ends_with_its_last_byte_too(device):
    sealed = seal(device, chance_of("tus part"), 5000)
    device.declare(sealed.bundle_id, sealed.parts)
    url = f"/v1/bundles/{sealed.bundle_id}/parts/1"
    with Wire(device.base) as wire:
        wire.head("PATCH", url, authorized(device, {
            "Tus-Resumable": VERSION, "Content-Type": MEDIA_TYPE, "Upload-Offset": "0",
            "Transfer-Encoding": "chunked"}))
        # Without the chunk that ends it.
        wire.body(sealed.parts[0]).stop_sending()
    assert offset(device, url) == len(sealed.parts[0])
    is_settled(device, sealed)


@pytest.mark.parametrize("parts", [1, 3])
def test_another_number_of_parts_is_422(device, parts):
    bundle_id = new_id()
    created(device, bundle_id, 100, part=1, parts=2)
    answer = create(device, bundle_id, 100, part=1, parts=parts)
    assert answer.refusal == (422, "idempotency_conflict"), answer


@pytest.mark.parametrize("values", [
    {}, {"bundle_id": ""}, {"bundle_id": "x"}, {"bundle_id": "0190163d8694739baea5966c26f8ad91"},
    {"filename": "a.zip"}])
def test_an_upload_that_names_no_bundle_is_400(device, values):
    answer = create(device, length=100, **values)
    assert answer.refusal == (400, "invalid_request"), answer


@pytest.mark.parametrize("value", [
    "bundle_id", "bundle_id !!!", ",", "{id},{id}", "{id} eA==", "{id},part !!!"])
def test_metadata_against_the_protocols_rules_are_400(device, value):
    """"All keys MUST be unique", "the value MUST be Base64 encoded"."""
    value = value.replace("{id}", metadata(bundle_id=new_id()))
    fields = {"Upload-Metadata": value, "Upload-Length": 100}
    answer = tus(device, "POST", "/v1/uploads", fields)
    assert answer.refusal == (400, "invalid_request"), answer


@pytest.mark.parametrize("fields", [
    {}, {"Upload-Length": "-1"}, {"Upload-Length": "x"}, {"Upload-Length": "1.5"},
    {"Upload-Length": ""}, {"Upload-Defer-Length": "0"}, {"Upload-Defer-Length": "2"},
    {"Upload-Concat": "whole"}, {"Upload-Concat": "final;"}])
def test_a_creation_without_a_length_or_with_a_strange_one_is_400(device, fields):
    answer = create(device, new_id(), fields=fields)
    assert answer.refusal == (400, "invalid_request"), answer


def test_a_length_over_the_limit_is_413(device):
    bundle_id = new_id()
    answer = create(device, bundle_id, device.limits["part_bytes_max"] + 1)
    assert answer.refusal == (413, "too_large"), answer
    assert is_forgotten(device, bundle_id)


def test_a_creation_goes_to_the_uploads_and_nowhere_else(device):
    answer = tus(device, "POST", f"/v1/uploads/{'0' * 32}", {"Upload-Length": 10})
    assert answer.status_code in (404, 405), answer


@pytest.mark.parametrize("version", [None, "0.2.2", "1.0", "2.0.0", "x"])
def test_another_version_is_412_with_the_right_one_and_nothing_is_done(device, version):
    sealed, url = begun(device, 2000)
    data, bundle_id = sealed.parts[0], new_id()
    answers = [
        tus(device, "POST", "/v1/uploads", {
            "Upload-Metadata": metadata(bundle_id=bundle_id), "Upload-Length": 10}, version=version)]
    if version is not None:
        # Without the field, the others are the IETF's requests.
        answers += [
            tus(device, "PATCH", url, {"Upload-Offset": 0}, data, version=version),
            tus(device, "HEAD", url, version=version), tus(device, "DELETE", url, version=version)]
    for answer in answers:
        assert answer.status_code == 412, answer
        assert answer.headers["Tus-Version"] == VERSION
    assert is_forgotten(device, bundle_id) and offset(device, url) == 0
    finished(device, sealed, url)


def test_every_answer_says_its_version(device):
    """"The `Tus-Resumable` header MUST be included in every request and response"."""
    sealed, url = begun(device, 2000)
    data = sealed.parts[0]
    for answer in (
            create(device, new_id(), 10), create(device, None, 10), head(device, url),
            patch(device, url, 1, data), patch(device, url, 0, data, {"Content-Type": "text/plain"}),
            patch(device, url, 0, data, checksum("sha1", b"other")), patch(device, url, 0, data[:9]),
            tus(device, "DELETE", url),
            # Before anybody looks at what is spoken.
            tus(device, "PATCH", url, {"Authorization": "Bearer x"}),
            tus(device, "HEAD", "/v1/nothing"), tus(device, "PUT", "/v1/uploads")):
        assert answer.headers.get("Tus-Resumable") == VERSION, answer


def test_options_ignore_the_version(device):
    """"The Server MUST ignore the header": 204, whatever it says."""
    for version in (None, VERSION, "0.2.2"):
        answer = tus(device, "OPTIONS", "/v1/uploads", version=version)
        assert answer.status_code == 204 and answer.headers["Tus-Version"] == VERSION, answer


@pytest.mark.parametrize("media_type", [None, "application/octet-stream", "application/zip", "x"])
def test_an_append_of_another_media_type_is_415(device, media_type):
    sealed, url = begun(device, 2000)
    answer = patch(device, url, 0, sealed.parts[0], {"Content-Type": media_type})
    assert answer.refusal == (415, "unsupported_media_type"), answer
    assert offset(device, url) == 0
    finished(device, sealed, url)


@pytest.mark.parametrize("wrong", [0, 6999, 7001, 10**14])
def test_a_wrong_offset_is_409_and_then_it_finishes(device, wrong):
    sealed, url = begun(device)
    data = sealed.parts[0]
    patched(device, url, 0, data[:7000])
    answer = patch(device, url, wrong, data[:1000])
    assert answer.refusal == (409, "offset_conflict"), answer
    assert answer.offset == 7000, "the right one comes with it"
    assert offset(device, url) == 7000
    finished(device, sealed, url, 7000)


@pytest.mark.parametrize("value", [None, "-1", "x", "1.5", "0, 0", ""])
def test_an_append_without_an_offset_is_400(device, value):
    sealed, url = begun(device, 2000)
    answer = patch(device, url, value, sealed.parts[0])
    assert answer.refusal == (400, "invalid_request"), answer
    assert offset(device, url) == 0
    finished(device, sealed, url)


@pytest.mark.parametrize("chunked", [False, True])
def test_past_the_length_is_413_and_the_offset_stays_within_it(device, chunked):
    sealed, url = begun(device)
    data = sealed.parts[0]
    patched(device, url, 0, data[:7000])
    answer = patch(device, url, 7000, data[7000:] + b"x", chunked=chunked)
    assert answer.refusal == (413, "too_large"), answer
    finished_from = offset(device, url)
    assert 7000 <= finished_from <= len(data)
    if finished_from < len(data):
        finished(device, sealed, url, finished_from)


def test_nothing_can_be_appended_to_what_is_complete(device):
    sealed, url = begun(device, 2000)
    data = sealed.parts[0]
    finished(device, sealed, url)
    for at, more in ((len(data), b"more"), (0, data)):
        for chunked in (False, True):
            answer = patch(device, url, at, more, chunked=chunked)
            assert answer.refusal == (409, "already_complete"), answer
    assert offset(device, url) == len(data)
    device.collect()
    assert len(device.receipts[sealed.bundle_id]) == 1


def test_who_waits_to_be_asked_for_nothing_is_asked(device):
    """tus-java, whose last answer was lost, opens a chunked request before it looks whether anything is left."""
    sealed, url = begun(device, 2000)
    finished(device, sealed, url)
    with Wire(device.base) as wire:
        wire.head("PATCH", url, authorized(device, {
            "Tus-Resumable": VERSION, "Content-Type": MEDIA_TYPE,
            "Upload-Offset": str(len(sealed.parts[0])), "Transfer-Encoding": "chunked",
            "Expect": "100-continue"}))
        assert wire.hint(100), wire.last
        assert wire.end().answer().status_code == 204


def test_an_upload_that_is_cut_keeps_what_came(device):
    """"The Server SHOULD always attempt to store as much of the received data as possible.\""""
    chance = chance_of("tus cut")
    sealed, url = begun(device, 2_000_000)
    data, at = sealed.parts[0], 0
    for _ in range(3):
        size = chance.randrange(1, (len(data) - at) // 2)
        with Wire(device.base) as wire:
            wire.head("PATCH", url, authorized(device, {
                "Tus-Resumable": VERSION, "Content-Type": MEDIA_TYPE, "Upload-Offset": str(at),
                "Content-Length": str(len(data) - at)}))
            wire.body(data[at:at + size]).stop_sending()
        at += size
        assert offset(device, url) == at
    finished(device, sealed, url, at)


def test_with_its_last_byte_an_upload_is_complete_though_the_request_never_ended(device):
    """To a client whose HEAD tells the length as the offset there is nothing left to do."""
    sealed, url = begun(device)
    data = sealed.parts[0]
    with Wire(device.base) as wire:
        wire.head("PATCH", url, authorized(device, {
            "Tus-Resumable": VERSION, "Content-Type": MEDIA_TYPE, "Upload-Offset": "0",
            "Transfer-Encoding": "chunked"}))
        # Without the chunk that ends it.
        wire.body(data).stop_sending()
    assert offset(device, url) == len(data)
    is_settled(device, sealed)


def test_a_broken_archive_is_422_at_the_last_append_and_may_be_begun_again(device):
    sealed, data = seal(device, chance_of("tus broken"), 5000), None
    for surplus in (b"surplus", b""):
        data = sealed.parts[0] + surplus
        url = created(device, sealed.bundle_id, len(data))
        patched(device, url, 0, data[:2000])
        answer = patch(device, url, 2000, data[2000:])
        if surplus:
            assert answer.status_code == 422, answer
            assert answer.json()["code"].startswith("archive_"), answer
            is_gone(head(device, url))
            is_gone(patch(device, url, len(data), b""))
            assert is_forgotten(device, sealed.bundle_id)
    assert answer.status_code == 204
    is_settled(device, sealed)


def test_nothing_at_all_is_archive_empty(device):
    """With the creation or with an empty append, whichever completes it."""
    answer = create(device, bundle_id := new_id(), 0)
    if answer.status_code == 201:
        answer = patch(device, answer.headers["Location"], 0)
    assert answer.refusal == (422, "archive_empty"), answer
    assert is_forgotten(device, bundle_id)


# -- creation with upload


@pytest.mark.parametrize("share", [0.3, 1])
def test_a_creation_may_bring_the_first_bytes_or_all(device, share):
    sealed = seal(device, chance_of("tus with upload"), 20_000)
    data = sealed.parts[0]
    size = int(len(data) * share)
    answer = create(device, sealed.bundle_id, len(data), data[:size])
    assert (answer.status_code, answer.offset) == (201, size), answer
    assert UPLOAD_URL.search(url := answer.headers["Location"])
    assert offset(device, url) == size
    if size < len(data):
        patched(device, url, size, data[size:])
    is_settled(device, sealed)


def test_bytes_of_another_media_type_are_no_part_of_a_creation(device):
    sealed = seal(device, chance_of("tus media type"), 2000)
    answer = create(device, sealed.bundle_id, len(sealed.parts[0]), sealed.parts[0], {
        "Content-Type": "application/zip"})
    assert answer.refusal == (415, "unsupported_media_type"), answer


def test_an_empty_creation_may_say_any_media_type(device):
    """As a client does whose HTTP library always says one."""
    url = created(device, new_id(), 10, fields={"Content-Type": "application/octet-stream"})
    assert offset(device, url) == 0


# -- a length that is told later


def test_the_length_may_be_told_with_a_later_append_and_then_stays(device):
    sealed = seal(device, chance_of("tus deferred"), 20_000)
    data = sealed.parts[0]
    url = created(device, sealed.bundle_id, fields={"Upload-Defer-Length": 1})
    patched(device, url, 0, data[:3000])
    answer = head(device, url)
    assert answer.headers["Upload-Defer-Length"] == "1" and answer.offset == 3000, answer
    assert "Upload-Length" not in answer.headers
    patched(device, url, 3000, data[3000:5000], fields={"Upload-Length": len(data)})
    answer = head(device, url)
    assert answer.headers["Upload-Length"] == str(len(data)), answer
    assert "Upload-Defer-Length" not in answer.headers
    answer = patch(device, url, 5000, data[5000:6000], {"Upload-Length": len(data) + 1})
    assert answer.refusal == (400, "invalid_request"), answer
    assert offset(device, url) == 5000
    finished(device, sealed, url, 5000)


def test_an_empty_append_that_tells_the_length_completes_what_is_all_there(device):
    sealed = seal(device, chance_of("tus deferred to the end"), 20_000)
    data = sealed.parts[0]
    url = created(device, sealed.bundle_id, fields={"Upload-Defer-Length": 1})
    patched(device, url, 0, data)
    assert device.status(sealed.bundle_id)["state"] == "receiving"
    patched(device, url, len(data), b"", fields={"Upload-Length": len(data)})
    is_settled(device, sealed)


# -- expiration


def test_when_an_upload_expires_is_told_from_the_beginning(device):
    sealed = seal(device, chance_of("tus expires"), 2000)
    data = sealed.parts[0]
    answer = create(device, sealed.bundle_id, len(data))
    url = answer.headers["Location"]
    for answer in (answer, patch(device, url, 0, data[:100]), head(device, url)):
        assert 29 * 86400 < expiry(answer) <= 30 * 86400, answer


# -- checksums


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
def test_a_wrong_checksum_is_460_and_the_offset_stays(device, algorithm):
    sealed, url = begun(device)
    data = sealed.parts[0]
    patched(device, url, 0, data[:3000], fields=checksum(algorithm, data[:3000]))
    for size in (5000, len(data)):
        answer = patch(device, url, 3000, data[3000:size], checksum(algorithm, data[3001:size]))
        assert answer.status_code == 460, answer
        assert offset(device, url) == 3000
    patched(device, url, 3000, data[3000:], fields=checksum(algorithm, data[3000:]))
    is_settled(device, sealed)


@pytest.mark.parametrize("value", [
    "md5 1B2M2Y8AsgTpgAmY7PhCfg==", "crc32 AAAAAA==", "SHA1 2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "sha1",
    "sha1 !!!", "sha1 AAAA", "2jmj7l5rSw0yVb/vlWAYkK/YBwk="])
def test_a_checksum_that_cannot_be_checked_is_400_and_the_offset_stays(device, value):
    """"The names of the checksum algorithms MUST only consist of ASCII characters" in lower case."""
    sealed, url = begun(device)
    answer = patch(device, url, 0, sealed.parts[0], {"Upload-Checksum": value})
    assert answer.refusal == (400, "invalid_request"), answer
    assert offset(device, url) == 0
    finished(device, sealed, url)


def test_what_came_of_an_append_whose_checksum_nobody_could_check_is_not_kept(device):
    sealed, url = begun(device, 2_000_000)
    data = sealed.parts[0]
    with Wire(device.base) as wire:
        wire.head("PATCH", url, authorized(device, {
            "Tus-Resumable": VERSION, "Content-Type": MEDIA_TYPE, "Upload-Offset": "0",
            "Content-Length": str(len(data)), **checksum("sha256", data)}))
        wire.body(data[:-1]).stop_sending()
    assert offset(device, url) == 0
    finished(device, sealed, url)


# -- termination


def test_a_deleted_upload_is_gone_and_its_bundle_may_be_begun_again(device):
    sealed, url = begun(device)
    patched(device, url, 0, sealed.parts[0][:3000])
    assert tus(device, "DELETE", url).status_code == 204
    for answer in (head(device, url), patch(device, url, 3000, b"x"), tus(device, "DELETE", url)):
        is_gone(answer)
        assert answer.offset is None
    assert is_forgotten(device, sealed.bundle_id)
    again = created(device, sealed.bundle_id, len(sealed.parts[0]))
    assert again != url
    finished(device, sealed, again)


def test_one_part_of_many_is_deleted_and_the_others_stay(device):
    sealed = seal(device, chance_of("tus delete a part"), 3000, 2000)
    urls = [
        created(device, sealed.bundle_id, len(data), part=part, parts=2)
        for part, data in enumerate(sealed.parts, 1)]
    patched(device, urls[0], 0, sealed.parts[0])
    assert tus(device, "DELETE", urls[1]).status_code == 204
    assert [part["complete"] for part in device.status(sealed.bundle_id)["parts"]] == [True, False]
    again = created(device, sealed.bundle_id, len(sealed.parts[1]), part=2, parts=2)
    patched(device, again, 0, sealed.parts[1])
    is_settled(device, sealed)


# -- concatenation


PARTIAL = {"Upload-Concat": "partial"}


def partials(device, pieces):
    """The URLs of complete partial uploads; they need no metadata."""
    urls = [created(device, length=len(piece), fields=PARTIAL) for piece in pieces]
    for url, piece in zip(urls, pieces):
        if piece:
            patched(device, url, 0, piece)
    return urls


def in_pieces(data, chance, count):
    ends = sorted(chance.sample(range(1, len(data)), count - 1))
    return [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)])]


def concat(urls):
    return {"Upload-Concat": "final;" + " ".join(urls)}


def path_of(device, url):
    return url.removeprefix(device.base)


@pytest.mark.parametrize("paths", [False, True])
def test_partial_uploads_become_one_bundle_in_the_told_order(device, paths):
    chance = chance_of("tus concatenation")
    sealed = seal(device, chance, 40_000)
    data = sealed.parts[0]
    urls = partials(device, in_pieces(data, chance, 4))
    for url in urls:
        assert head(device, url).headers["Upload-Concat"] == "partial"
    assert device.get("/v1/bundles", params={"state": "receiving"}) == {"bundles": []}
    told = concat([path_of(device, url) for url in urls] if paths else urls)
    answer = create(device, sealed.bundle_id, fields=told, filename="a.zip")
    assert answer.status_code == 201, answer
    answer = head(device, final := answer.headers["Location"])
    assert answer.headers["Upload-Concat"] == told["Upload-Concat"], "as it was received"
    assert answer.offset == int(answer.headers["Upload-Length"]) == len(data)
    assert answer.headers["Upload-Metadata"] == metadata(
        bundle_id=sealed.bundle_id, filename="a.zip")
    answer = patch(device, final, len(data), b"x")
    assert answer.status_code == 403, answer
    is_settled(device, sealed)


def test_a_final_upload_may_be_one_part_of_many(device):
    chance = chance_of("tus concatenated part")
    sealed = seal(device, chance, 20_000, 1000)
    urls = partials(device, in_pieces(sealed.parts[0], chance, 2))
    answer = create(device, sealed.bundle_id, fields=concat(urls), part=1, parts=2)
    assert answer.status_code == 201, answer
    url = created(device, sealed.bundle_id, len(sealed.parts[1]), part=2, parts=2)
    patched(device, url, 0, sealed.parts[1])
    is_settled(device, sealed)


def test_a_final_upload_over_an_unfinished_one_is_400_and_possible_later(device):
    chance = chance_of("tus unfinished")
    sealed = seal(device, chance, 20_000)
    first, second = in_pieces(sealed.parts[0], chance, 2)
    urls = [*partials(device, [first]), created(device, length=len(second), fields=PARTIAL)]
    for at in (0, len(second) // 2):
        if at:
            patched(device, urls[1], 0, second[:at])
        answer = create(device, sealed.bundle_id, fields=concat(urls))
        assert answer.refusal == (400, "invalid_request"), answer
        assert is_forgotten(device, sealed.bundle_id)
    patched(device, urls[1], at, second[at:])
    assert create(device, sealed.bundle_id, fields=concat(urls)).status_code == 201
    is_settled(device, sealed)


def test_a_final_upload_names_no_length_and_nothing_but_partial_uploads(device):
    chance = chance_of("tus final")
    sealed, whole = begun(device, 3000)
    piece, = partials(device, [chance.randbytes(100)])
    unknown = whole.rpartition("/")[0] + "/" + "0" * 32
    with_length = {**concat([piece]), "Upload-Length": 100}
    assert create(device, new_id(), fields=with_length).refusal == (400, "invalid_request")
    for urls in (
            [whole], [unknown], [piece, whole], ["../../x"], ["https://elsewhere.example/x"],
            [piece.replace("/v1/uploads/", "/v1/bundles/")]):
        answer = create(device, bundle_id := new_id(), fields=concat(urls))
        assert answer.status_code in (400, 404), answer
        assert is_forgotten(device, bundle_id)
    assert create(device, fields=concat([piece])).refusal == (400, "invalid_request"), "no bundle"


def test_partial_uploads_count_as_bytes_and_not_as_open_bundles(device):
    pieces = [b"x"] * (device.limits["open_bundles_max"] + 1)
    urls = partials(device, pieces)
    assert device.get("/v1/bundles", params={"state": "receiving"}) == {"bundles": []}
    for url in urls:
        assert tus(device, "DELETE", url).status_code == 204
        is_gone(head(device, url))


def test_a_piece_may_be_empty(device):
    chance = chance_of("tus empty piece")
    sealed = seal(device, chance, 5000)
    first, second = in_pieces(sealed.parts[0], chance, 2)
    answer = create(
        device, sealed.bundle_id, fields=concat(partials(device, [b"", first, b"", second])))
    assert answer.status_code == 201, answer
    is_settled(device, sealed)


def test_pieces_whose_creation_was_never_heard_of_shut_nobody_out(device):
    """Nobody can name them, to go on or to give them up."""
    limits = device.limits
    for _ in range(max(300, limits["open_bytes_max"] // limits["part_bytes_max"] + 1)):
        created(device, length=limits["part_bytes_max"], fields=PARTIAL)
    sealed, url = begun(device, 2000)
    finished(device, sealed, url)


def test_a_broken_whole_is_422_and_may_be_put_together_again(device):
    """From the same pieces or from others: the bundle is not begun."""
    chance = chance_of("tus wrong order")
    sealed = seal(device, chance, 20_000)
    pieces = in_pieces(sealed.parts[0], chance, 3)
    answer = create(
        device, sealed.bundle_id, fields=concat(partials(device, list(reversed(pieces)))))
    assert answer.status_code == 422, answer
    assert answer.json()["code"].startswith("archive_"), answer
    assert is_forgotten(device, sealed.bundle_id)
    answer = create(device, sealed.bundle_id, fields=concat(partials(device, pieces)))
    assert answer.status_code == 201, answer
    is_settled(device, sealed)


# -- for who cannot say PATCH or DELETE


def test_the_method_may_be_another_than_the_requests(device):
    sealed, url = begun(device)
    data = sealed.parts[0]

    def instead(method, fields=None, body=b""):
        return tus(device, "POST", url, {"X-HTTP-Method-Override": method, **(fields or {})}, body)

    answer = instead("PATCH", {"Upload-Offset": 0, "Content-Type": MEDIA_TYPE}, data[:3000])
    assert (answer.status_code, answer.offset) == (204, 3000), answer
    answer = instead("HEAD")
    assert answer.status_code in (200, 204) and answer.offset == 3000, answer
    assert instead("DELETE").status_code == 204
    is_gone(head(device, url))
    assert is_forgotten(device, sealed.bundle_id)


def test_the_ietfs_methods_may_be_overridden_too(device):
    sealed = seal(device, chance_of("override"), 3000)
    url = call(device, "POST", "/v1/bundles", {
        "Content-Type": "application/zip", "Idempotency-Key": sealed.bundle_id,
        "Upload-Complete": "?0"}).headers["Location"]
    answer = call(device, "POST", url, {
        "X-HTTP-Method-Override": "PATCH", "Upload-Offset": "0", "Upload-Complete": "?1",
        "Content-Type": "application/partial-upload"}, sealed.parts[0])
    assert answer.status_code == 202, answer
    is_settled(device, sealed)


@pytest.mark.parametrize("method", ["GET", "PUT", "TRACE", "CONNECT", "x", ""])
def test_no_other_method_is_smuggled_in(device, method):
    sealed, url = begun(device, 3000)
    answer = tus(device, "POST", url, {"X-HTTP-Method-Override": method})
    assert 400 <= answer.status_code < 500, answer
    finished(device, sealed, url)

"""Appending to an upload and ending it, in every interop version of the IETF's drafts and without one."""

import pytest

from resumable import (
    VERSIONS, Upload, begun, call, chance_of, is_forgotten, is_gone, is_problem_of, is_received,
    is_settled, seal)

versions = pytest.mark.parametrize("version", VERSIONS)


@versions
def test_an_append_without_its_media_type_is_415_where_the_version_has_one(device, version):
    sealed, upload = begun(device, version, chance_of("media type"))
    data = sealed.parts[0]
    for media_type in ("application/octet-stream", "application/zip"):
        answer = upload.append(data[upload.told:][:100], fields={"Content-Type": media_type})
        if upload.dialect.needs_media_type:
            assert answer.refusal == (415, "unsupported_media_type"), answer
        else:
            assert answer.status_code == upload.dialect.appended, answer
        upload.ask()
    assert upload.told == (0 if upload.dialect.needs_media_type else 200)
    is_received(upload.rest(data), upload, sealed)


@versions
@pytest.mark.parametrize("where", ["gap", "overlap", "repeat"])
def test_a_wrong_offset_is_409_with_the_right_one_and_then_it_finishes(device, version, where):
    sealed, upload = begun(device, version, chance_of("wrong offset"))
    data = sealed.parts[0]
    upload.append(data[:7000])
    wrong = {"gap": 7001, "overlap": 6999, "repeat": 0}[where]
    for complete in (False, True):
        upload.sent = len(data)
        answer = upload.append(data[wrong:wrong + 7000], offset=wrong, complete=complete)
        assert answer.refusal == (409, "offset_conflict"), answer
        assert answer.offset == 7000
        is_problem_of(answer, "mismatching-upload-offset",
                      **{"expected-offset": 7000, "provided-offset": wrong})
        assert upload.ask().offset == 7000
    is_received(upload.rest(data), upload, sealed)
    is_settled(device, sealed)


@versions
def test_a_complete_upload_takes_nothing_more(device, version):
    sealed, upload = begun(device, version, chance_of("complete"))
    data = sealed.parts[0]
    is_received(upload.rest(data), upload, sealed)
    for more, complete in ((b"", True), (b"", False), (b"more", True), (b"more", False)):
        answer = upload.append(more, offset=len(data), complete=complete)
        assert answer.refusal == (409, "already_complete"), answer
        is_problem_of(answer, "completed-upload")
        assert upload.dialect.is_complete(answer) is True
    is_settled(device, sealed)


@versions
def test_an_empty_append_completes_what_is_all_there(device, version):
    sealed, upload = begun(device, version, chance_of("empty append"))
    data = sealed.parts[0]
    answer = upload.append(data, length=len(data))
    assert answer.status_code == upload.dialect.appended, answer
    answer = upload.ask()
    assert answer.offset == len(data) and upload.dialect.is_complete(answer) is False
    is_received(upload.append(b"", offset=len(data), complete=True), upload, sealed)
    is_settled(device, sealed)


@versions
def test_a_chunked_append_is_as_good_as_one_with_a_length(device, version):
    sealed, upload = begun(device, version, chance_of("chunked"))
    data = sealed.parts[0]
    assert upload.append(data[:9000], chunked=True).status_code == upload.dialect.appended
    is_received(upload.rest(data, chunked=True), upload, sealed)
    is_settled(device, sealed)


@versions
def test_lengths_that_differ_are_400_and_the_upload_lives_on(device, version):
    chance = chance_of("lengths")
    sealed = seal(device, chance, 20_000)
    data = sealed.parts[0]
    upload = Upload(device, version, sealed.bundle_id)
    answer = upload.create(data, complete=True, length=len(data) + 1)
    assert answer.refusal == (400, "invalid_request"), answer
    is_problem_of(answer, "inconsistent-upload-length")
    upload.url, upload.told = None, 0
    assert upload.create(length=len(data)).status_code == 201
    upload.append(data[:4000])
    upload.ask()
    for size, complete, length in (
            (100, False, len(data) + 1), (100, False, len(data) - 1), (100, True, None)):
        answer = upload.append(
            data[4000:4000 + size], offset=4000, complete=complete, length=length)
        assert answer.refusal == (400, "invalid_request"), answer
        is_problem_of(answer, "inconsistent-upload-length")
        assert upload.ask().offset == 4000
    is_received(upload.rest(data), upload, sealed)
    is_settled(device, sealed)


@versions
@pytest.mark.parametrize("chunked", [False, True])
def test_past_the_told_length_is_413_and_the_offset_stays(device, version, chunked):
    chance = chance_of("past the length")
    sealed = seal(device, chance, 20_000)
    data = sealed.parts[0]
    upload = Upload(device, version, sealed.bundle_id)
    assert upload.create(length=len(data)).status_code == 201
    upload.append(data[:4000])
    upload.ask()
    answer = upload.append(data[4000:] + b"x", offset=4000, chunked=chunked)
    assert answer.refusal == (413, "too_large"), answer
    assert 4000 <= upload.ask().offset <= len(data)
    is_received(upload.rest(data), upload, sealed)
    is_settled(device, sealed)


@pytest.mark.parametrize("version", [5, 6])
def test_an_append_that_does_not_say_whether_it_is_the_last_goes_by_the_length(device, version):
    """As in the draft's example; later versions ask for the field, and version 3 has the contrary one."""
    chance = chance_of("by the length")
    sealed = seal(device, chance, 20_000)
    data = sealed.parts[0]
    upload = Upload(device, version, sealed.bundle_id)
    assert upload.create().status_code == 201
    for at, end, length in ((0, 4000, None), (4000, len(data), None), (len(data), len(data), len(data))):
        fields = upload.dialect.fields(False, at, length)
        del fields["Upload-Complete"]
        answer = call(device, "PATCH", upload.url, fields, data[at:end])
        if length is None:
            assert answer.status_code == upload.dialect.appended and answer.offset == end, answer
    assert answer.status_code == 202, answer
    is_settled(device, sealed)


@pytest.mark.parametrize("version", [7, 8, None])
def test_an_append_that_does_not_say_whether_it_is_the_last_is_400(device, version):
    sealed, upload = begun(device, version, chance_of("unsaid"))
    fields = upload.dialect.fields(False, 0)
    del fields["Upload-Complete"]
    answer = call(device, "PATCH", upload.url, fields, sealed.parts[0][:100])
    assert answer.refusal == (400, "invalid_request"), answer
    assert upload.ask().offset == 0


@versions
def test_no_version_takes_an_append_in_a_coding(device, version):
    """Which codings there are, and tus: test_resumable_bad.py."""
    sealed, upload = begun(device, version, chance_of("coding"))
    answer = upload.append(b"x", fields={"Content-Encoding": "gzip"})
    assert answer.refusal == (415, "unsupported_media_type"), answer
    upload.told = 0
    assert upload.ask().offset == 0
    is_received(upload.rest(sealed.parts[0]), upload, sealed)


@versions
@pytest.mark.parametrize("value", [None, "-1", "x", "1.5", "0, 0", "9223372036854775808"])
def test_an_append_without_an_offset_is_400(device, version, value):
    """A value that is no non-negative integer counts as absent."""
    sealed, upload = begun(device, version, chance_of("no offset"))
    fields = upload.dialect.fields(False, 0)
    del fields["Upload-Offset"]
    if value is not None:
        fields["Upload-Offset"] = value
    answer = call(device, "PATCH", upload.url, fields, sealed.parts[0][:100])
    assert answer.refusal == (400, "invalid_request"), answer
    assert upload.ask().offset == 0
    is_received(upload.rest(sealed.parts[0]), upload, sealed)


@versions
def test_a_deleted_upload_is_gone_and_the_bundle_may_be_begun_again(device, version):
    chance = chance_of("delete")
    sealed, upload = begun(device, version, chance)
    upload.append(sealed.parts[0][:9000])
    assert upload.delete().status_code == 204
    is_gone(upload.ask())
    is_gone(upload.append(sealed.parts[0][9000:], offset=9000, complete=True))
    is_gone(upload.delete())
    assert is_forgotten(device, sealed.bundle_id)
    lines = device.seal(sealed.bundle_id, [])
    again = Upload(device, version, sealed.bundle_id)
    assert again.create().status_code == 201 and again.url != upload.url
    assert again.rest(lines).status_code == 202
    assert device.receipt_of(sealed.bundle_id)["state"] == "settled"

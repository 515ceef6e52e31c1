"""Resumable upload as the IETF's drafts have it, in every interop version and without one: creation, interruptions,
and what a client may ask before."""

import json
import subprocess

import pytest

from place import needs, until
from resumable import (
    KNOWN, MIB, VERSIONS, Dialect, Upload, Wire, authorized, begun, call, chance_of, is_forgotten,
    is_received, is_settled, limits, seal)
from stranger import new_id
from tus_calls import EXTENSIONS

versions = pytest.mark.parametrize("version", VERSIONS)


@versions
def test_careful_creation_is_201_with_the_upload_and_its_limits(device, version):
    upload = Upload(device, version, new_id())
    answer = upload.create()
    assert (answer.status_code, answer.offset) == (201, 0), answer
    assert upload.dialect.is_complete(answer) is False
    if upload.dialect.has_limits:
        told = limits(answer)
        assert told["max-size"] == device.limits["part_bytes_max"]
        assert 29 * 86400 < told[upload.dialect.age] <= 30 * 86400, told
    part = upload.ask_the_bundle()
    assert (part["received"], part["complete"]) == (0, False)


@versions
def test_head_tells_offset_completeness_length_and_limits_to_no_cache(device, version):
    chance = chance_of("head")
    sealed, upload = begun(device, version, chance)
    data = sealed.parts[0]
    answer = upload.ask()
    assert (answer.status_code, answer.offset) == (204, 0), answer
    assert "Upload-Length" not in answer.headers, "nobody said it"
    upload.append(data[:5000], length=len(data))
    answer = upload.ask()
    assert (answer.status_code, answer.offset) == (204, 5000), answer
    assert upload.dialect.is_complete(answer) is False
    assert answer.headers["Upload-Length"] == str(len(data))
    assert answer.headers["Cache-Control"] == "no-store"
    if upload.dialect.has_limits:
        assert limits(answer)["max-size"] == device.limits["part_bytes_max"]
    is_received(upload.rest(data), upload, sealed)
    answer = upload.ask()
    assert (answer.status_code, answer.offset) == (204, len(data)), answer
    assert upload.dialect.is_complete(answer) is True


@versions
def test_complete_in_one_request_is_202_as_ever(device, version):
    sealed = seal(device, chance_of("one request"), 50_000)
    upload = Upload(device, version, sealed.bundle_id)
    upload.sent = len(sealed.parts[0])
    answer = upload.create(sealed.parts[0], complete=True, length=len(sealed.parts[0]))
    is_received(answer, upload, sealed)
    assert bool(answer.hints) is (version is not None)
    is_settled(device, sealed)


@pytest.mark.parametrize("version", KNOWN)
def test_104_names_the_upload_before_the_body_comes(device, version):
    upload = Upload(device, version, new_id())
    with Wire(device.base) as wire:
        wire.head("POST", "/v1/bundles", authorized(device, {
            **upload.metadata, "Content-Length": "100000", **upload.dialect.fields(True)}))
        hint = wire.hint()
        upload.find(hint.headers["Location"])
        assert hint.headers["Upload-Draft-Interop-Version"] == str(version)
        if version >= 6:
            assert limits(hint)["max-size"] == device.limits["part_bytes_max"]
        # It is there: asking for it ends the first request.
        answer = upload.ask()
        assert (answer.status_code, answer.offset) == (204, 0)
        assert upload.dialect.is_complete(answer) is False


@pytest.mark.parametrize("complete", [True, False])
def test_without_a_version_there_is_no_104(device, complete):
    sealed = seal(device, chance_of("no version"), MIB)
    upload = Upload(device, None, sealed.bundle_id)
    answer = upload.create(sealed.parts[0], complete=complete)
    assert answer.status_code == (202 if complete else 201)
    assert answer.interim == []
    if not complete:
        answer = upload.rest(sealed.parts[0])
        assert answer.interim == []
        is_received(answer, upload, sealed)


@pytest.mark.parametrize("version", ["1", "4", "9", "99", "-8", "?1", "x"])
@pytest.mark.parametrize("complete", ["?1", "?0"])
def test_an_unknown_version_is_a_plain_upload(device, version, complete):
    """The body is the whole bundle, whatever the other fields say."""
    sealed = seal(device, chance_of("unknown version"), 50_000)
    fields = {
        "Content-Type": "application/zip", "Idempotency-Key": sealed.bundle_id,
        "Upload-Draft-Interop-Version": version, "Upload-Complete": complete}
    answer = call(device, "POST", "/v1/bundles", fields, sealed.parts[0])
    assert (answer.status_code, answer.interim) == (202, []), answer
    assert answer.headers["Location"].endswith(f"/v1/bundles/{sealed.bundle_id}")
    is_settled(device, sealed)


def test_a_plain_upload_of_an_unknown_version_that_is_cut_leaves_nothing(device):
    sealed = seal(device, chance_of("unknown version cut"), 50_000)
    call(device, "POST", "/v1/bundles", {
        "Content-Type": "application/zip", "Idempotency-Key": sealed.bundle_id,
        "Upload-Draft-Interop-Version": "9", "Upload-Complete": "?1"}, sealed.parts[0], cut=20_000)
    assert is_forgotten(device, sealed.bundle_id)
    device.upload(sealed.bundle_id, sealed.parts[0])
    is_settled(device, sealed)


@pytest.mark.parametrize("value", ["1", "true", "?2", "?", '"?1"', "?1, ?0"])
def test_a_field_that_is_no_boolean_counts_as_absent(device, value):
    """"Other values MUST cause the entire header field to be ignored": a plain upload."""
    sealed = seal(device, chance_of("no boolean"), 2000)
    answer = call(device, "POST", "/v1/bundles", {
        "Content-Type": "application/zip", "Idempotency-Key": sealed.bundle_id,
        "Upload-Draft-Interop-Version": "8", "Upload-Complete": value}, sealed.parts[0])
    assert (answer.status_code, answer.interim) == (202, []), answer
    is_settled(device, sealed)


def test_104_does_not_stand_in_for_100(device):
    """"The server MUST NOT omit the 100 (Continue) response because it has sent" a 104."""
    upload = Upload(device, 8, new_id())
    with Wire(device.base) as wire:
        wire.head("POST", "/v1/bundles", authorized(device, {
            **upload.metadata, **upload.dialect.fields(True), "Content-Length": "1000",
            "Expect": "100-continue"}))
        seen = {wire.event().status_code for _ in range(2)}
        assert seen == {100, 104}


def test_a_length_over_the_limit_is_413_with_the_limits(device):
    upload = Upload(device, 8, new_id())
    answer = upload.create(length=device.limits["part_bytes_max"] + 1)
    assert answer.refusal == (413, "too_large"), answer
    assert limits(answer)["max-size"] == device.limits["part_bytes_max"]
    assert is_forgotten(device, upload.bundle_url.rpartition("/")[2])


# -- interruptions


@pytest.mark.parametrize("creation", ["careful", "optimistic"])
@versions
def test_an_upload_cut_at_any_byte_goes_on_from_the_told_offset_and_settles(
        device, version, creation):
    chance = chance_of(f"cut {version} {creation}")
    sealed = seal(device, chance, chance.randint(MIB, 3 * MIB))
    data = sealed.parts[0]
    upload = Upload(device, version, sealed.bundle_id)
    if creation == "careful":
        assert upload.create(length=len(data)).status_code == 201
    else:
        upload.create(data, complete=True, cut=chance.randrange(len(data)))
        if upload.url is None:
            # Nobody told: the bundle's status does.
            until(lambda: not is_forgotten(device, sealed.bundle_id), 10)
            upload.ask_the_bundle()
    for complete in (False, True, True):
        answer = upload.ask()
        assert answer.status_code == 204 and upload.dialect.is_complete(answer) is False
        left = len(data) - upload.told
        upload.rest(data, cut=chance.randrange(left)) if complete else upload.append(
            data[upload.told:], cut=chance.randrange(left))
    upload.ask()
    # In two requests, so that each version's answer to an append is seen.
    half = upload.told + (len(data) - upload.told) // 2
    answer = upload.append(data[upload.told:half])
    assert answer.status_code == upload.dialect.appended, answer
    assert upload.dialect.is_complete(answer) is False
    is_received(upload.rest(data), upload, sealed)
    is_settled(device, sealed)


@versions
def test_all_that_came_before_the_cut_is_kept(device, version):
    """"The server SHOULD append as much of the request content as possible": here, the client says that it ends."""
    chance = chance_of(f"kept {version}")
    sealed, upload = begun(device, version, chance, MIB)
    data = sealed.parts[0]
    for _ in range(3):
        size = chance.randrange(1, (len(data) - upload.told) // 2)
        with Wire(device.base) as wire:
            wire.head("PATCH", upload.url, authorized(device, {
                **upload.dialect.fields(True, upload.told),
                "Content-Length": str(len(data) - upload.told)}))
            wire.body(data[upload.told:upload.told + size]).stop_sending()
        upload.sent = upload.told + size
        assert upload.ask().offset == upload.sent
    upload.sent = len(data)
    is_received(upload.rest(data), upload, sealed)
    is_settled(device, sealed)


@versions
def test_a_lost_last_answer_is_found_by_head(device, version):
    sealed, upload = begun(device, version, chance_of("lost answer"))
    data = sealed.parts[0]
    upload.sent = len(data)
    with Wire(device.base) as wire:
        wire.head("PATCH", upload.url, authorized(device, {
            **upload.dialect.fields(True, 0), "Content-Length": str(len(data))}))
        wire.body(data).end()
        # Answered, and nobody reads it.
        until(lambda: device.status(sealed.bundle_id)["state"] != "receiving")
    answer = upload.ask()
    assert (answer.status_code, answer.offset) == (204, len(data)), answer
    assert upload.dialect.is_complete(answer) is True
    is_settled(device, sealed)


@pytest.mark.parametrize("version", [5, 6, 7, 8])
def test_progress_is_told_of_synced_bytes_only_and_never_goes_back(device, version):
    """Whatever is told while the body comes can be gone on from."""
    chance = chance_of(f"progress {version}")
    sealed, upload = begun(device, version, chance, 4 * MIB)
    data = sealed.parts[0]
    with Wire(device.base) as wire:
        wire.head("PATCH", upload.url, authorized(device, {
            **upload.dialect.fields(True, 0), "Content-Length": str(len(data))}))
        for at in range(0, len(data) - 1, 1 << 16):
            wire.body(data[at:min(at + (1 << 16), len(data) - 1)])
        wire.stop_sending()
        told = [int(one.headers["Upload-Offset"]) for one in wire.interim if one.status == 104]
        assert all("Location" not in one.headers for one in wire.interim)
    assert told == sorted(told) and all(offset < len(data) for offset in told)
    upload.sent, upload.told = len(data), max(told, default=0)
    assert upload.ask().offset == len(data) - 1
    is_received(upload.rest(data), upload, sealed)


# -- what a client may ask before


@pytest.mark.parametrize("path", [
    "/v1/bundles", "/v1/bundles/{bundle}/parts/1", "/v1/uploads", "/v1/uploads/{upload}"])
@pytest.mark.parametrize("token", [True, False])
def test_options_tell_both_dialects_and_need_no_token(device, path, token):
    upload = Upload(device, 8, bundle := new_id())
    upload.create()
    path = path.format(bundle=bundle, upload=upload.url.rpartition("/")[2])
    with Wire(device.base) as wire:
        wire.head("OPTIONS", path, authorized(device) if token else {}).end()
        answer = wire.answer()
    assert (answer.status_code, answer.content) == (204, b""), answer
    patches = [one.strip() for one in answer.headers["Accept-Patch"].split(",")]
    assert {"application/partial-upload", "application/offset+octet-stream"} <= set(patches)
    assert limits(answer)["max-size"] == device.limits["part_bytes_max"]
    assert answer.headers["Tus-Version"] == answer.headers["Tus-Resumable"] == "1.0.0"
    assert int(answer.headers["Tus-Max-Size"]) == device.limits["part_bytes_max"]
    assert set(answer.headers["Tus-Extension"].split(",")) == EXTENSIONS
    assert set(answer.headers["Tus-Checksum-Algorithm"].split(",")) == {"sha1", "sha256", "sha512"}


@pytest.mark.parametrize("version", [5, 8, None])
def test_ten_uploads_on_one_connection_of_curl(device, tmp_path, version):
    """Interim answers in between leave the connection as it was."""
    needs("curl")
    chance, dialect = chance_of("curl"), Dialect(version)
    bundles, lines = [], []
    for number in range(10):
        sealed = seal(device, chance, chance.randint(1000, 300_000))
        bundles.append(sealed)
        path = tmp_path / f"{number}.zip"
        path.write_bytes(sealed.parts[0])
        fields = authorized(device, {
            "Content-Type": "application/zip", "Idempotency-Key": sealed.bundle_id,
            **dialect.fields(True)})
        lines += ["next"] if number else []
        lines += [f"url = {device.base}/v1/bundles", f"data-binary = @{path}", "silent",
                  f"output = {tmp_path / str(number)}.json",
                  r'write-out = "%{http_code} %{num_connects}\n"']
        lines += [f"header = {json.dumps(f'{name}: {value}')}" for name, value in fields.items()]
    done = subprocess.run(
        ["curl", "--config", "-"], input="\n".join(lines), capture_output=True, text=True,
        timeout=120, check=True)
    told = [line.split() for line in done.stdout.splitlines()]
    assert told == [["202", "1"]] + [["202", "0"]] * 9, done
    for sealed in bundles:
        is_settled(device, sealed)

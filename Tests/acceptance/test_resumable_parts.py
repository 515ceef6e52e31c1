"""Digests of appends and of whole uploads, and uploads to the parts of declared bundles, in every interop version of
the IETF's drafts and without one."""

import base64
import hashlib

import pytest

from resumable import (
    KNOWN, MIB, VERSIONS, Upload, Wire, authorized, begun, call, chance_of, is_forgotten, is_gone,
    is_received, is_settled, seal)

versions = pytest.mark.parametrize("version", VERSIONS)


def digest(data, algorithm="sha-256"):
    value = hashlib.new(algorithm.replace("-", ""), data).digest()
    return f"{algorithm}=:{base64.b64encode(value).decode()}:"


@versions
@pytest.mark.parametrize("algorithm", ["sha-256", "sha-512"])
def test_a_wrong_content_digest_drops_that_append_alone(device, version, algorithm):
    sealed, upload = begun(device, version, chance_of("content digest"))
    data = sealed.parts[0]
    first = {"Content-Digest": digest(data[:5000], algorithm)}
    assert upload.append(data[:5000], fields=first).status_code == upload.dialect.appended
    wrong = {"Content-Digest": digest(data[5000:] + b"x", algorithm)}
    for complete in (False, True):
        answer = upload.append(data[5000:], complete=complete, fields=wrong)
        assert answer.refusal == (422, "digest_mismatch"), answer
        answer = upload.ask()
        assert (answer.status_code, answer.offset) == (204, 5000)
        assert upload.dialect.is_complete(answer) is False
    right = {"Content-Digest": digest(data[5000:], algorithm)}
    is_received(upload.rest(data, fields=right), upload, sealed)
    is_settled(device, sealed)


@pytest.mark.parametrize("version", KNOWN)
@pytest.mark.parametrize("field", ["Content-Digest", "Repr-Digest"])
def test_no_progress_is_told_while_a_digest_could_take_it_back(device, version, field):
    """Nor is what came of an append kept whose digest nobody could check."""
    chance = chance_of(f"pending {version}")
    sealed = seal(device, chance, 3 * MIB)
    data = sealed.parts[0]
    upload = Upload(device, version, sealed.bundle_id)
    told = {field: digest(data)}
    assert upload.create(fields=told if field == "Repr-Digest" else None).status_code == 201
    with Wire(device.base) as wire:
        wire.head("PATCH", upload.url, authorized(device, {
            **upload.dialect.fields(True, 0), "Content-Length": str(len(data)),
            **(told if field == "Content-Digest" else {})}))
        for at in range(0, len(data) - 1, 1 << 16):
            wire.body(data[at:min(at + (1 << 16), len(data) - 1)])
        wire.stop_sending()
        assert [one for one in wire.interim if "Upload-Offset" in one.headers] == []
    upload.sent = len(data)
    kept = upload.ask().offset
    assert kept == 0 or field == "Repr-Digest", "what was not checked is not there"
    is_received(upload.rest(data), upload, sealed)
    is_settled(device, sealed)


@versions
@pytest.mark.parametrize("algorithm", ["sha-256", "sha-512"])
def test_a_wrong_repr_digest_drops_the_whole_upload_at_its_end(device, version, algorithm):
    chance = chance_of("repr digest")
    sealed = seal(device, chance, 20_000)
    data = sealed.parts[0]
    for right in (False, True):
        upload = Upload(device, version, sealed.bundle_id)
        upload.create(fields={
            "Repr-Digest": digest(data if right else data + b"x", algorithm)})
        assert upload.append(data[:7000]).status_code == upload.dialect.appended
        answer = upload.rest(data)
        if right:
            is_received(answer, upload, sealed)
        else:
            assert answer.refusal == (422, "digest_mismatch"), answer
            is_gone(upload.ask())
            is_gone(upload.append(data[7000:], offset=7000))
            assert is_forgotten(device, sealed.bundle_id)
    is_settled(device, sealed)


@versions
def test_who_wants_a_repr_digest_gets_it_with_the_last_answer(device, version):
    for algorithm in ("sha-256", "sha-512"):
        sealed = seal(device, chance_of("want"), 20_000)
        data = sealed.parts[0]
        upload = Upload(device, version, sealed.bundle_id)
        upload.create(fields={"Want-Repr-Digest": f"{algorithm}=10"})
        upload.append(data[:3000])
        answer = upload.rest(data)
        is_received(answer, upload, sealed)
        assert digest(data, algorithm) in answer.headers["Repr-Digest"], answer


@versions
def test_an_error_of_the_bundle_says_that_the_upload_is_complete(device, version):
    """So that it is told from one of the upload: resuming would not mend it."""
    sealed, upload = begun(device, version, chance_of("refused"))
    data = sealed.parts[0] + b"surplus"
    upload.append(data[:5000])
    answer = upload.rest(data)
    assert answer.status_code == 422 and answer.json()["code"].startswith("archive_"), answer
    assert upload.dialect.is_complete(answer) is True
    is_gone(upload.ask())
    assert is_forgotten(device, sealed.bundle_id)
    again = Upload(device, version, sealed.bundle_id)
    assert again.create().status_code == 201
    is_received(again.rest(sealed.parts[0]), again, sealed)
    is_settled(device, sealed)


# -- parts of declared bundles


@versions
def test_parts_of_a_declared_bundle_are_begun_with_put_cut_and_resumed(device, version):
    chance = chance_of(f"declared {version}")
    sealed = seal(device, chance, MIB, 200_000, 2000)
    device.declare(sealed.bundle_id, sealed.parts)
    for number in chance.sample([1, 2, 3], 3):
        data = sealed.parts[number - 1]
        upload = Upload(device, version, sealed.bundle_id, number)
        answer = upload.create(data[:1000], length=len(data))
        assert (answer.status_code, answer.offset) == (201, 1000), answer
        upload.rest(data, cut=chance.randrange(len(data) - 1000))
        assert upload.ask().headers["Upload-Length"] == str(len(data))
        part = upload.ask_the_bundle()
        assert (part["received"], part["complete"]) == (upload.told, False)
        answer = upload.rest(data)
        assert answer.status_code == 201, answer
        assert upload.dialect.is_complete(answer) is True
        part = answer.json()["parts"][number - 1]
        assert (part["received"], part["complete"]) == (len(data), True)
    is_settled(device, sealed)


@versions
def test_a_whole_part_in_one_request_is_201(device, version):
    sealed = seal(device, chance_of("whole part"), 3000, 2000)
    device.declare(sealed.bundle_id, sealed.parts)
    for number, data in enumerate(sealed.parts, 1):
        upload = Upload(device, version, sealed.bundle_id, number)
        answer = upload.create(data, complete=True)
        assert answer.status_code == 201 and upload.dialect.is_complete(answer) is True, answer
        assert bool(answer.hints) is (version is not None)
    is_settled(device, sealed)


@versions
def test_a_part_that_is_not_what_was_declared_is_422_and_may_be_sent_again(device, version):
    chance = chance_of("declared digest")
    sealed = seal(device, chance, 20_000, 2000)
    device.declare(sealed.bundle_id, sealed.parts)
    data = sealed.parts[0]
    upload = Upload(device, version, sealed.bundle_id, 1)
    upload.create()
    answer = upload.rest(chance.randbytes(len(data)))
    assert answer.refusal == (422, "digest_mismatch"), answer
    is_gone(upload.ask())
    assert device.status(sealed.bundle_id)["parts"][0]["received"] == 0
    again = Upload(device, version, sealed.bundle_id, 1)
    again.create()
    assert again.rest(data).status_code == 201
    device.put(sealed.bundle_id, 2, sealed.parts[1])
    is_settled(device, sealed)


@versions
def test_more_than_was_declared_is_413(device, version):
    sealed = seal(device, chance_of("declared size"), 20_000)
    device.declare(sealed.bundle_id, sealed.parts)
    data = sealed.parts[0]
    upload = Upload(device, version, sealed.bundle_id, 1)
    upload.create()
    upload.append(data[:5000])
    upload.ask()
    answer = upload.append(data[5000:] + b"x", offset=5000)
    assert answer.refusal == (413, "too_large"), answer
    upload.ask()
    assert upload.rest(data).status_code == 201
    is_settled(device, sealed)


@versions
@pytest.mark.parametrize("declares", [True, False])
def test_a_parts_own_url_reaches_its_current_upload(device, version, declares):
    sealed = seal(device, chance_of("own url"), *[20_000, 1000][:1 + declares])
    data, part = sealed.parts[0], 1 if declares else None
    if declares:
        device.declare(sealed.bundle_id, sealed.parts)
        device.put(sealed.bundle_id, 2, sealed.parts[1])
    upload = Upload(device, version, sealed.bundle_id, part)
    upload.create(data[:4000])
    own = f"{upload.bundle_url}/parts/1"
    told = {} if version is None else {"Upload-Draft-Interop-Version": str(version)}
    answer = call(device, "HEAD", own, told)
    assert (answer.status_code, answer.offset) == (204, 4000), answer
    answer = call(device, "PATCH", own, upload.dialect.fields(False, 4000), data[4000:9000])
    assert answer.status_code == upload.dialect.appended, answer
    upload.sent = 9000
    assert upload.ask().offset == 9000
    assert call(device, "DELETE", own).status_code == 204
    is_gone(upload.ask())
    again = Upload(device, version, sealed.bundle_id, part)
    assert again.create().status_code == 201
    answer = call(device, "PATCH", own, again.dialect.fields(True, 0), data)
    assert answer.status_code == (201 if declares else 202), answer
    is_settled(device, sealed)

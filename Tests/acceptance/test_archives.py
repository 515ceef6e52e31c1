"""Archives of other programs, and archives that break the profile."""

import io
import shutil
import struct
import subprocess
import zipfile

import pytest
import pyzipper

from stranger import ENTRY, archive, new_id, transaction


class Pipe(io.RawIOBase):
    """A stream that cannot seek: the writer must use data descriptors."""

    def __init__(self):
        super().__init__()
        self.content = bytearray()

    def writable(self):
        return True

    def seekable(self):
        return False

    def write(self, data):
        self.content += data
        return len(data)

    def getvalue(self):
        return bytes(self.content)


@pytest.mark.parametrize("options", [
    {"version": 1}, {"version": 2}, {"method": pyzipper.ZIP_STORED}, {"pipe": True},
    {"pipe": True, "method": pyzipper.ZIP_STORED},
], ids=str)
def test_pyzippers_archives_are_taken(device, options):
    options = dict(options)
    if options.pop("pipe", False):
        options["stream"] = Pipe()
    assert device.send([transaction()], **options)["counts"]["accepted"] == 1


@pytest.mark.skipif(shutil.which("7z") is None, reason="7-Zip is not installed")
@pytest.mark.parametrize("through_pipe", [False, True])
def test_7zips_archives_are_taken(device, tmp_path, through_pipe):
    bundle_id = new_id()
    entry = device.entry(bundle_id, [transaction()])
    command = ["7z", "a", "-tzip", "-mem=AES256", "-p" + device.password(bundle_id), "out.zip"]
    if through_pipe:
        subprocess.run([*command, "-si" + ENTRY], cwd=tmp_path, input=entry, check=True,
                       stdout=subprocess.DEVNULL)
    else:
        (tmp_path / ENTRY).write_bytes(entry)
        subprocess.run([*command, ENTRY], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    device.upload(bundle_id, (tmp_path / "out.zip").read_bytes())
    assert device.receipt_of(bundle_id)["counts"]["accepted"] == 1


def two_entries(password, entry):
    buffer = io.BytesIO()
    with pyzipper.AESZipFile(buffer, "w", encryption=pyzipper.WZ_AES) as file:
        file.setpassword(password.encode())
        file.writestr(ENTRY, entry)
        file.writestr("second", entry)
    return buffer.getvalue()


def no_entries(password, entry):
    buffer = io.BytesIO()
    zipfile.ZipFile(buffer, "w").close()
    return buffer.getvalue()


def with_local_name(password, entry):
    data = bytearray(archive(password, entry))
    data[30] ^= 1
    return bytes(data)


def with_method(password, entry):
    data = bytearray(archive(password, entry))
    for at in (data.find(b"\x01\x99"), data.rfind(b"\x01\x99")):
        struct.pack_into("<H", data, at + 9, 12)
    return bytes(data)


BROKEN = {
    "empty": (lambda p, e: b"", "archive_empty"),
    "random": (lambda p, e: bytes(range(256)) * 4, "archive_not_zip"),
    "before": (lambda p, e: b"x" + archive(p, e), "archive_surplus"),
    "after": (lambda p, e: archive(p, e) + b"x", "archive_surplus"),
    "comment": (lambda p, e: archive(p, e, comment=b"hello"), "archive_comment"),
    "two entries": (two_entries, "archive_entries"),
    "no entries": (no_entries, "archive_entries"),
    "name": (lambda p, e: archive(p, e, name="other.ndjson"), "archive_name"),
    "climbing name": (lambda p, e: archive(p, e, name="../" + ENTRY), "archive_name"),
    "not encrypted": (lambda p, e: archive(None, e), "archive_not_encrypted"),
    "AES-128": (lambda p, e: archive(p, e, bits=128), "archive_encryption"),
    "AES-192": (lambda p, e: archive(p, e, bits=192), "archive_encryption"),
    "local name": (with_local_name, "archive_inconsistent"),
    "bzip2 inside": (with_method, "archive_method"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_rule_is_422_with_its_code_and_nothing_is_kept(device, case):
    make, code = BROKEN[case]
    bundle_id = new_id()
    entry = device.entry(bundle_id, [transaction()])
    answer = device.upload_raw(make(device.password(bundle_id), entry), bundle_id)
    problem = answer.json()
    assert answer.status_code == 422 and problem["code"] == code, problem
    assert problem["retryable"] is False
    good = device.seal(bundle_id, [transaction()])
    device.upload(bundle_id, good)
    assert device.receipt_of(bundle_id)["state"] == "settled"


def test_an_archive_cut_anywhere_is_refused(device):
    bundle_id = new_id()
    data = device.seal(bundle_id, [transaction()])
    for length in range(1, len(data), max(1, len(data) // 64)):
        answer = device.upload_raw(data[:length], bundle_id)
        assert answer.status_code == 422, length
        assert answer.json()["code"] == "archive_truncated", length
    device.upload(bundle_id, data)
    assert device.receipt_of(bundle_id)["state"] == "settled"


def quarantined(device, bundle_id, data):
    device.upload(bundle_id, data)
    receipt = device.receipt_of(bundle_id)
    assert receipt["state"] == "quarantined", receipt
    assert receipt.get("exceptions", []) == []
    assert device.status(bundle_id)["state"] == "quarantined"
    return receipt["code"]


def test_a_wrong_password_is_quarantined(device):
    bundle_id = new_id()
    entry = device.entry(bundle_id, [transaction()])
    assert quarantined(device, bundle_id, archive("wrong" * 8, entry)) == "cannot_open"
    assert device.send([transaction()])["counts"]["accepted"] == 1, "the next one is not held up"


def test_one_flipped_bit_of_the_ciphertext_is_quarantined(device):
    bundle_id = new_id()
    data = bytearray(device.seal(bundle_id, [transaction()]))
    data[len(data) // 3] ^= 4
    assert quarantined(device, bundle_id, bytes(data)) == "cannot_open"


HEADERS = {
    "other bundle": ({"bundle_id": new_id()}, "binding_mismatch"),
    "other device": ({"device_id": new_id()}, "binding_mismatch"),
    "other part": ({"part": 2}, "binding_mismatch"),
    "other parts": ({"parts": 2}, "binding_mismatch"),
    "wrong count": ({"transactions": 5}, "binding_mismatch"),
    "no count": ({"transactions": ...}, "header_invalid"),
    "other version": ({"waybill": 2}, "header_invalid"),
    "no bundle": ({"bundle_id": ...}, "header_invalid"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_header_that_does_not_fit_is_quarantined(device, case):
    members, code = HEADERS[case]
    bundle_id = new_id()
    data = device.seal(bundle_id, [transaction()], header=members)
    assert quarantined(device, bundle_id, data) == code


@pytest.mark.parametrize("entry", [b"", b"\n", b"[]\n", b"not json\n", b"\xef\xbb\xbf{}\n"])
def test_an_entry_without_a_header_is_quarantined(device, entry):
    bundle_id = new_id()
    data = archive(device.password(bundle_id), entry)
    assert quarantined(device, bundle_id, data) == "header_invalid"

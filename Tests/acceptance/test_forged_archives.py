"""BAD-INPUTS.md, "Archive", item by item against a running server: **in** is 422 with its code and leaves nothing
behind, **Q** is a receipt that says why and a dead letter with the bytes, the rest is accepted."""

import io
import os
import re
import struct
import zlib

import pytest
import pyzipper

import forge as f
from forge import aes, deflate, encrypted, field, flipped, forge
from raw import Footprint
from stranger import checked, new_id, transaction


@pytest.fixture(scope="module", autouse=True)
def the_server_is_as_before(server):
    """The same process, memory and descriptors back, and what was acknowledged before is still there."""
    device = server.new_device(server.create_tenant("before-forging"))
    receipt = device.send([transaction()])
    footprint = Footprint(server)
    process = server.process.pid
    yield
    footprint.assert_back()
    assert server.is_running and server.process.pid == process
    assert device.status(receipt["bundle_id"])["receipt"] == receipt


def u32(*values):
    return struct.pack(f"<{len(values)}I", *values)


def u64(*values):
    return struct.pack(f"<{len(values)}Q", *values)


def sealed(device, **changes):
    """A bundle's id and a forged archive of one transaction."""
    bundle_id = new_id()
    entry = device.entry(bundle_id, [transaction()])
    return bundle_id, forge(device.password(bundle_id), entry, **changes)


def part_files(server):
    return os.listdir(server.data + "/parts")


# -- in: refused at the ingress

def length_of(data):
    """The zipped size that the local header tells."""
    return int.from_bytes(data[18:22], "little")


def zip64_end(count=1, locator=None):
    """A function that puts a zip64 end record and its locator before the end record."""
    def change(data):
        start = len(data) - 22
        offset = int.from_bytes(data[start + 16:start + 20], "little")
        record = u32(0x06064B50) + u64(44) + struct.pack("<HHII", 45, 45, 0, 0)
        record += u64(count, count, start - offset, offset)
        record += u32(0x07064B50, 0) + u64(start if locator is None else locator) + u32(1)
        return data[:start] + record + data[start:]
    return change


def overwrite(at, piece):
    """A function that replaces bytes; a negative place counts from the end."""
    def change(data):
        place = at if at >= 0 else len(data) + at
        return data[:place] + piece + data[place + len(piece):]
    return change


def twice(data):
    """Two whole entries of one name, and a directory of both."""
    start = len(data) - 22
    offset = int.from_bytes(data[start + 16:start + 20], "little")
    entry, directory = data[:offset], data[offset:start]
    second = directory[:42] + u32(offset) + directory[46:]
    return entry * 2 + directory + second + struct.pack(
        "<IHHHHIIH", 0x06054B50, 0, 0, 2, 2, 2 * len(directory), 2 * offset, 0)


def overlapping(data):
    """Two entries of the directory, one and the same entry."""
    start = len(data) - 22
    offset = int.from_bytes(data[start + 16:start + 20], "little")
    directory = data[offset:start] * 2
    return data[:offset] + directory + struct.pack(
        "<IHHHHIIH", 0x06054B50, 0, 0, 2, 2, len(directory), offset, 0)


SURPLUS, SAME = "archive_surplus", "archive_inconsistent"
REFUSED = {
    "zero bytes": (lambda data: b"", "archive_empty"),
    "random bytes": (lambda data: bytes(n * 37 & 0xFF for n in range(500)), "archive_not_zip"),
    "no entry": (lambda data: u32(0x06054B50) + bytes(18), "archive_entries"),
    "cut": (lambda data: data[:-1], "archive_truncated"),
    "entry count one more": (dict(entries=2), "archive_entries"),
    "entry count one less": (dict(entries=0), "archive_entries"),
    "65,535 entries": (dict(entries=65_535), "archive_entries"),
    "directory offset past the end": (dict(directory_offset=5_000_000), SAME),
    "bytes before": (lambda data: b"x" + data, SURPLUS),
    "bytes between entry and directory": (dict(between=b"\0\0"), SURPLUS),
    "bytes between directory and end": (dict(after_directory=b"\0"), SURPLUS),
    "bytes after": (dict(after=b"\0"), SURPLUS),
    "archive comment": (dict(comment=b"hello"), "archive_comment"),
    "archive comment that holds a second ZIP": (
        lambda data: data[:-2] + struct.pack("<H", len(data)) + data, "archive_comment"),
    "comment of the entry": (dict(entry_comment=b"A"), "archive_comment"),
    "two end records": (lambda data: data + data[-22:], SURPLUS),
    "multi-disk fields": (dict(disk=1), SAME),
    "EOCD and EOCD64 disagree": (zip64_end(count=2), SAME),
    "zip64 count 2^40": (
        lambda data: zip64_end(count=1 << 40)(overwrite(-14, b"\xff" * 4)(data)),
        "archive_entries"),
    "a locator to itself": (
        lambda data: zip64_end(locator=len(data) - 22 + 56)(data), SAME),
    "zip64 size 2^62": (
        dict(declared=0xFFFFFFFF, extra=aes() + field(1, u64(1 << 62))), "archive_limit"),
    "overlapping entries": (overlapping, "archive_entries"),
    "two entries, duplicate names": (twice, "archive_entries"),
    "headers disagree in name": (dict(local_name=b"bundle.ndjsoN"), SAME),
    "headers disagree in method": (dict(local_method=8), SAME),
    "headers disagree in CRC": (dict(local_crc=1), SAME),
    "headers disagree in flags": (dict(local_flags=0x801), SAME),
    "headers disagree in AES field": (dict(local_extra=aes(method=0)), SAME),
    "headers disagree in zipped size": (dict(local_zipped=1), SAME),
    "headers disagree in unzipped size": (dict(local_declared=1), SAME),
    "name ../x": (dict(name=b"../x"), "archive_name"),
    "name /x": (dict(name=b"/x"), "archive_name"),
    "name C:\\x": (dict(name=b"C:\\x"), "archive_name"),
    "name empty": (dict(name=b""), "archive_name"),
    "name of 65,535 bytes": (dict(name=b"A" * 65_535), "archive_name"),
    "name with NUL": (dict(name=b"bundle\0ndjson"), "archive_name"),
    "name not UTF-8": (dict(name=b"\xff" * 13), "archive_name"),
    "name in a folder": (dict(name=b"x/bundle.ndjson"), "archive_name"),
    "symlink attributes": (dict(attributes=0o120777 << 16), "archive_entry_type"),
    "directory attributes": (dict(attributes=0o040755 << 16), "archive_entry_type"),
    "directory attribute of DOS": (dict(attributes=0x10), "archive_entry_type"),
    "not encrypted": (dict(flags=0, method=8), "archive_not_encrypted"),
    "ZipCrypto": (dict(method=8, extra=b""), "archive_encryption"),
    "AES-128": (dict(extra=aes(strength=1)), "archive_encryption"),
    "AES-192": (dict(extra=aes(strength=2)), "archive_encryption"),
    "strong encryption": (dict(flags=0x41), "archive_encryption"),
    "masked headers": (dict(flags=0x2001), "archive_encryption"),
    "AES field missing": (dict(extra=b""), "archive_encryption"),
    "AES field short": (dict(extra=field(0x9901, b"\2\0AE\3\x08")), "archive_encryption"),
    "AES field twice": (dict(extra=aes() * 2), "archive_encryption"),
    "AES vendor": (dict(extra=aes(vendor=b"AX")), "archive_encryption"),
    "AES strength 0": (dict(extra=aes(strength=0)), "archive_encryption"),
    "AES strength 4": (dict(extra=aes(strength=4)), "archive_encryption"),
    "AES version 3": (dict(extra=aes(version=3)), "archive_encryption"),
    **{f"inner method {method}": (dict(extra=aes(method=method)), "archive_method")
       for method in (9, 12, 14, 93, 95, 99)},
    "compressed size under 28": (dict(data=bytes(27)), SAME),
    "declared ratio over the limit": (dict(declared=2 << 20), "archive_limit"),
    "declared entry over the limit": (dict(declared=(256 << 20) + 1), "archive_limit"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_each_structural_fault_is_422_with_its_code_its_byte_and_leaves_nothing(server, device, case):
    change, code = REFUSED[case]
    if isinstance(change, dict):
        bundle_id, data = sealed(device, **change)
    else:
        bundle_id, data = sealed(device)
        data = change(data)
    files = part_files(server)
    answer = device.upload_raw(data, bundle_id)
    problem = answer.json()
    assert answer.status_code == 422, problem
    assert problem["code"] == code and problem["retryable"] is False
    at = re.search(r"\bbyte (\d+)", problem["detail"])
    assert at and int(at[1]) <= len(data), problem["detail"]
    assert part_files(server) == files, "no partial file"
    # It is not known, and the id is free.
    assert device.http.get(f"{device.base}/v1/bundles/{bundle_id}", timeout=30).status_code == 404
    device.upload(bundle_id, device.seal(bundle_id, [transaction()]))
    assert device.receipt_of(bundle_id)["counts"]["accepted"] == 1


def test_cut_at_every_64th_of_its_length_is_archive_truncated(device):
    bundle_id, data = sealed(device)
    for n in range(1, 64):
        answer = device.upload_raw(data[:len(data) * n // 64], bundle_id)
        assert (answer.status_code, answer.json()["code"]) == (422, "archive_truncated"), n
    device.upload(bundle_id, data)
    assert device.receipt_of(bundle_id)["counts"]["accepted"] == 1


# -- Q: accepted, then quarantined

def other_verifier(device, bundle_id, entry):
    """Sealed with another password, under the verifier of the right one: one wrong password in 65,536 passes it."""
    data = forge("wrong", entry)
    right = f.keys(device.password(bundle_id))[2]
    return data[:f.VERIFIER] + right + data[f.CIPHERTEXT:]


def bit_of(at):
    def make(device, bundle_id, entry):
        data = forge(device.password(bundle_id), entry)
        return flipped(data, at if at >= 0 else f.DATA + length_of(data) + at)
    return make


def packed(transform, **changes):
    """The deflate stream is changed before it is sealed: password and code fit."""
    def make(device, bundle_id, entry):
        data = encrypted(device.password(bundle_id), transform(deflate(entry)))
        return forge(device.password(bundle_id), entry, data=data, **changes)
    return make


def rewritten_as_empty(device, bundle_id, entry):
    data = forge(device.password(bundle_id), entry)
    return forge(
        device.password(bundle_id), entry, declared=0, extra=aes(method=0),
        data=data[f.DATA:f.CIPHERTEXT] + data[f.CIPHERTEXT:][length_of(data) - 28:][:10])


def with_crc(version, crc_of):
    def make(device, bundle_id, entry):
        return forge(
            device.password(bundle_id), entry, extra=aes(version=version), crc=crc_of(entry))
    return make


def inflates_to_megabytes(device, bundle_id, entry):
    return forge(
        device.password(bundle_id), entry, declared=10,
        data=encrypted(device.password(bundle_id), deflate(entry + b" " * 5_000_000)))


CANNOT_OPEN = {
    "wrong password": lambda device, bundle_id, entry: forge("wrong", entry),
    "a wrong password that passes the verifier": other_verifier,
    "one bit of the salt": bit_of(f.DATA + 5),
    "one bit of the verifier": bit_of(f.VERIFIER),
    "one bit of the authentication code": bit_of(-1),
    "one bit of the ciphertext": bit_of(f.CIPHERTEXT + 20),
    "rewritten as empty": rewritten_as_empty,
    "method changed 8 to 0": packed(lambda stream: stream, extra=aes(method=0)),
    "deflate corrupt": packed(lambda stream: b"\xff" * len(stream)),
    "deflate unfinished": packed(lambda stream: stream[:-3]),
    "bytes after the end of deflate": packed(lambda stream: stream + b"\0"),
    "AE-1 with a wrong CRC": with_crc(1, lambda entry: zlib.crc32(entry) ^ 1),
}


def assert_quarantined(server, device, bundle_id, data, code):
    """A receipt that says why, the bytes kept as a dead letter, one audit event, and nobody else is held up."""
    device.upload(bundle_id, data)
    receipt = device.receipt_of(bundle_id)
    assert (receipt["state"], receipt["code"]) == ("quarantined", code)
    assert receipt["exceptions"] == [] and "counts" not in receipt
    letter, = server.json("dead-letters", "list", "--device", device.id)
    assert (letter["bundle_id"], letter["code"]) == (bundle_id, code)
    assert letter["parts"] == [len(data)]
    assert [name for name in os.listdir(server.data + "/dead-letters") if bundle_id in name]
    rows = checked(server.admin(
        "GET", "/admin/v1/audit", params={"tenant": device.tenant, "limit": 100})).json()["events"]
    told = [row["kind"] for row in rows if row.get("subject") == bundle_id]
    assert told == ["bundle.quarantined"]
    assert device.send([transaction()])["counts"]["accepted"] == 1
    return receipt


@pytest.mark.parametrize("case", CANNOT_OPEN)
def test_what_cannot_be_opened_is_quarantined_and_kept(server, device, case):
    bundle_id = new_id()
    data = CANNOT_OPEN[case](device, bundle_id, device.entry(bundle_id, [transaction()]))
    assert_quarantined(server, device, bundle_id, data, "cannot_open")


def test_declared_10_bytes_that_inflate_to_5_mb_are_limit_unzipped(server, device):
    bundle_id = new_id()
    data = inflates_to_megabytes(device, bundle_id, device.entry(bundle_id, [transaction()]))
    assert_quarantined(server, device, bundle_id, data, "limit_unzipped")


def test_to_a_device_all_that_cannot_be_opened_looks_the_same(device):
    """To a device all content failures of one class look the same; detail is for the audit log."""
    told = set()
    for make in CANNOT_OPEN.values():
        bundle_id = new_id()
        device.upload(bundle_id, make(device, bundle_id, device.entry(bundle_id, [transaction()])))
        receipt = device.receipt_of(bundle_id)
        told.add((tuple(sorted(receipt)), receipt["code"], receipt["detail"]))
    assert len(told) == 1, told


# -- accepted

def descriptor(*, wide=False, signed=True):
    """Bit 3: sizes 0 in the local header, and after the data what they are."""
    def change(data, declared):
        pack = u64 if wide else u32
        return (u32(0x08074B50) if signed else b"") + u32(0) + pack(len(data), declared)
    return change


ACCEPTED = {
    "plain": {},
    "stored": dict(stored=True),
    "AE-1": dict(extra=aes(version=1), crc=True),
    "AE-2 with a CRC (old libzip)": dict(crc=True),
    "NTFS extra in the central header": dict(
        local_extra=aes(), extra=field(0x000A, bytes(32)) + aes()),
    "an unknown extra field": dict(extra=field(0x7075, b"\1" + bytes(4) + b"../x") + aes()),
    "zip64 in the local header, FIFO mode bits (7-Zip from a pipe)": dict(
        zip64=True, attributes=0o010600 << 16),
    "bit 3, sizes 0, signed descriptor (pyzipper to a pipe)": dict(descriptor=descriptor()),
    "bit 3, descriptor without a signature": dict(descriptor=descriptor(signed=False)),
    "bit 3, wide descriptor": dict(descriptor=descriptor(wide=True)),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_archives_within_the_profile_are_accepted(device, case):
    changes = dict(ACCEPTED[case])
    bundle_id = new_id()
    entry = device.entry(bundle_id, [transaction()])
    stored = changes.pop("stored", False)
    data = encrypted(device.password(bundle_id), entry if stored else deflate(entry))
    if stored:
        changes["extra"] = aes(method=0)
    if changes.get("crc"):
        changes["crc"] = zlib.crc32(entry)
    if changes.pop("zip64", False):
        changes.update(
            local_zipped=0xFFFFFFFF, local_declared=0xFFFFFFFF,
            local_extra=field(1, u64(len(entry), len(data))) + aes())
    if make := changes.pop("descriptor", None):
        changes.update(
            flags=9, local_zipped=0, local_declared=0, between=make(data, len(entry)))
    made = forge(device.password(bundle_id), entry, data=data, **changes)
    device.upload(bundle_id, made)
    assert device.receipt_of(bundle_id)["counts"]["accepted"] == 1


def test_the_forge_agrees_with_pyzipper(device):
    """What the forge seals, another program opens: its faults are only those that it is told."""
    bundle_id, data = sealed(device)
    with pyzipper.AESZipFile(io.BytesIO(data)) as file:
        file.setpassword(device.password(bundle_id).encode())
        assert file.read(f.ENTRY).startswith(b'{"waybill": 1')

"""ZIP archives field by field: what no ZIP program would write, sealed so that only the told fault is there."""

import dataclasses
import hashlib
import hmac
import struct
import zlib

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from stranger import ENTRY

SALT = bytes(range(16))
# Where the entry's data begins: the local header, the name, the AES field; then salt, verifier, ciphertext.
DATA = 30 + len(ENTRY) + 11
VERIFIER = DATA + 16
CIPHERTEXT = VERIFIER + 2
CODE_SIZE = 10


def keys(password, salt=SALT):
    """AES key, HMAC key and verifier of WinZip's AES-256."""
    derived = hashlib.pbkdf2_hmac("sha1", password.encode(), salt, 1000, 66)
    return derived[:32], derived[32:64], derived[64:]


def cipher(key, data):
    """AES in WinZip's counter mode: from 1, little-endian."""
    blocks = -(-len(data) // 16)
    counters = b"".join(number.to_bytes(16, "little") for number in range(1, blocks + 1))
    stream = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(counters)
    return bytes(a ^ b for a, b in zip(data, stream))


def deflate(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def encrypted(password, packed, salt=SALT):
    """Salt, verifier, ciphertext, authentication code."""
    key, mac, verifier = keys(password, salt)
    ciphertext = cipher(key, packed)
    code = hmac.new(mac, ciphertext, hashlib.sha1).digest()[:CODE_SIZE]
    return salt + verifier + ciphertext + code


def field(number, content):
    return struct.pack("<HH", number, len(content)) + content


def aes(version=2, vendor=b"AE", strength=3, method=8):
    return field(0x9901, struct.pack("<H2sBH", version, vendor, strength, method))


@dataclasses.dataclass
class Forge:
    """One archive, sound unless told otherwise; None takes what the others say."""

    data: bytes
    declared: int
    before: bytes = b""
    flags: int = 1
    method: int = 99
    crc: int = 0
    name: bytes = ENTRY.encode()
    extra: bytes = aes()
    zipped: int = None
    local_flags: int = None
    local_method: int = None
    local_crc: int = None
    local_name: bytes = None
    local_extra: bytes = None
    local_zipped: int = None
    local_declared: int = None
    between: bytes = b""
    attributes: int = 0o100644 << 16
    entry_comment: bytes = b""
    after_entry: bytes = b""
    after_directory: bytes = b""
    disk: int = 0
    entries: int = 1
    directory_offset: int = None
    comment: bytes = b""
    after: bytes = b""

    def bytes(self):
        def local(mine, general):
            return general if mine is None else mine

        zipped = local(self.zipped, len(self.data))
        name, extra = local(self.local_name, self.name), local(self.local_extra, self.extra)
        head = self.before + struct.pack(
            "<IHHHIIIIHH", 0x04034B50, 51, local(self.local_flags, self.flags),
            local(self.local_method, self.method), 0x210000, local(self.local_crc, self.crc),
            local(self.local_zipped, zipped), local(self.local_declared, self.declared),
            len(name), len(extra)) + name + extra + self.data + self.between
        directory = struct.pack(
            "<IHHHHIIIIHHHHHII", 0x02014B50, 0x333, 51, self.flags, self.method, 0x210000,
            self.crc, zipped, self.declared, len(self.name), len(self.extra),
            len(self.entry_comment), 0, 0, self.attributes, 0)
        directory += self.name + self.extra + self.entry_comment + self.after_entry
        end = struct.pack(
            "<IHHHHIIH", 0x06054B50, self.disk, self.disk, self.entries, self.entries,
            len(directory), local(self.directory_offset, len(head)), len(self.comment))
        return head + directory + self.after_directory + end + self.comment + self.after


def forge(password, entry, **changes):
    """A sealed entry, deflated, with changes to the archive's fields."""
    fields = {"data": encrypted(password, deflate(entry)), "declared": len(entry)}
    return Forge(**{**fields, **changes}).bytes()


def flipped(data, at, bit=0):
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1:]

"""A device as a stranger would write it: from the contract's page alone, with ready-made libraries."""

import base64
import hashlib
import io
import json
import random
import time
import uuid

import pyzipper
import requests
import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

ENTRY = "bundle.ndjson"


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def part_password(secret, tenant, device_id, bundle_id, epoch=1, part=1):
    """The password of one part, 43 ASCII characters."""
    info = f"waybill/v1/part/{tenant}/{device_id}/{epoch}/{part}".encode()
    key = HKDF(hashes.SHA256(), 32, salt=uuid.UUID(bundle_id).bytes, info=info).derive(secret)
    return b64url(key)


def new_id():
    """A UUID of version 7."""
    value = int(time.time() * 1000) << 80 | 7 << 76 | random.getrandbits(12) << 64
    return str(uuid.UUID(int=value | 2 << 62 | random.getrandbits(62)))


def transaction(payload=None, **members):
    """One valid line as a dictionary; members given replace or add."""
    line = {
        "id": new_id(),
        "type": "visit.completed",
        "occurred_at": "2026-11-21T03:00:00+01:00",
        "payload": {"n": 1} if payload is None else payload,
    }
    line.update(members)
    return {name: value for name, value in line.items() if value is not ...}


def archive(password, data, *, name=ENTRY, bits=256, version=None, method=pyzipper.ZIP_DEFLATED,
            comment=b"", stream=None):
    """A ZIP archive with one WinZip AES entry."""
    buffer = stream or io.BytesIO()
    with pyzipper.AESZipFile(buffer, "w", compression=method) as file:
        if password is not None:
            options = {"nbits": bits}
            if version is not None:
                options["force_wz_aes_version"] = version
            file.setencryption(pyzipper.WZ_AES, **options)
            file.setpassword(password.encode())
        file.writestr(name, data)
        file.comment = comment
    return buffer.getvalue()


def expand(exceptions):
    """Exceptions by index; folded ones unfolded."""
    result = {}
    for entry in exceptions:
        if "from" in entry:
            for index in range(entry["from"], entry["from"] + entry["count"]):
                result[index] = entry
        else:
            result[entry["index"]] = entry
    return result


def bundle_sha256(*parts):
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


class Refused(Exception):
    """An answer outside of 2xx."""

    def __init__(self, response):
        self.status = response.status_code
        self.response = response
        self.media_type = response.headers.get("Content-Type", "").split(";")[0]
        try:
            self.problem = response.json()
        except ValueError:
            self.problem = {}
        self.code = self.problem.get("code")
        super().__init__(f"{self.status} {self.code} {self.problem.get('detail')}")


def checked(response):
    if not 200 <= response.status_code < 300:
        raise Refused(response)
    return response


def enroll(device_url, code, name="stranger", request_id=None):
    """The answer to an enrolment."""
    body = {"code": code, "name": name}
    if request_id:
        body["request_id"] = request_id
    return checked(requests.post(device_url + "/v1/enrollments", json=body, timeout=30)).json()


class Device:
    """One enrolled device with its chain of receipts."""

    def __init__(self, enrollment):
        self.base = enrollment["base_url"].rstrip("/").removesuffix("/v1")
        self.tenant = enrollment["tenant"]
        self.id = enrollment["device_id"]
        self.token = enrollment["token"]
        self.secret = unb64url(enrollment["secret"])
        self.epoch = enrollment["epoch"]
        self.limits = enrollment["limits"]
        self.http = requests.Session()
        self.http.headers["Authorization"] = f"Bearer {self.token}"
        self.last = 0
        self.last_hash = "0" * 64
        self.keys = None
        self.receipts = {}

    # -- sealing

    def password(self, bundle_id, epoch=None, part=1):
        return part_password(
            self.secret, self.tenant, self.id, bundle_id, epoch or self.epoch, part)

    def header(self, bundle_id, count, /, **members):
        line = {
            "waybill": 1, "bundle_id": bundle_id, "device_id": self.id, "part": 1, "parts": 1,
            "transactions": count, "sealed_at": "2026-11-21T03:00:00Z",
        }
        line.update(members)
        return {name: value for name, value in line.items() if value is not ...}

    def entry(self, bundle_id, lines, /, **header):
        """Lines are dictionaries, text or bytes."""
        output = [json.dumps(self.header(bundle_id, len(lines), **header)).encode()]
        for line in lines:
            if isinstance(line, dict):
                line = json.dumps(line, ensure_ascii=False)
            output.append(line.encode() if isinstance(line, str) else line)
        return b"\n".join(output) + b"\n"

    def seal(self, bundle_id, lines, *, header=None, **options):
        return archive(
            self.password(bundle_id), self.entry(bundle_id, lines, **(header or {})), **options)

    def seal_parts(self, bundle_id, parts, *, header=None, **options):
        """One archive for each list of lines."""
        return [
            archive(
                self.password(bundle_id, part=number),
                self.entry(
                    bundle_id, lines, **{"part": number, "parts": len(parts), **(header or {})}),
                **options)
            for number, lines in enumerate(parts, 1)
        ]

    # -- calls

    def declare_raw(self, bundle_id, parts, epoch=None, headers=None, timeout=60):
        """Says which parts a bundle will have; parts are the sealed bytes."""
        body = {
            "bundle_id": bundle_id,
            "parts": [
                {"size": len(part), "sha256": hashlib.sha256(part).hexdigest()} for part in parts],
        }
        if epoch is not None:
            body["epoch"] = epoch
        return self.http.post(
            self.base + "/v1/bundles", json=body, headers=headers, timeout=timeout)

    def declare(self, bundle_id, parts, **options):
        return checked(self.declare_raw(bundle_id, parts, **options)).json()

    def put_raw(self, url, data, headers=None, timeout=60):
        return self.http.put(
            url, data=data, timeout=timeout,
            headers={"Content-Type": "application/zip", **(headers or {})})

    def put(self, bundle_id, number, data):
        url = f"{self.base}/v1/bundles/{bundle_id}/parts/{number}"
        return checked(self.put_raw(url, data)).json()

    def send_parts(self, bundle_id, parts):
        """Declares a bundle and sends what is missing of it; its status then."""
        status = self.declare(bundle_id, parts)
        for part in status["parts"]:
            if not part["complete"]:
                status = checked(self.put_raw(part["upload"], parts[part["part"] - 1])).json()
        return status

    def give_up(self, bundle_id):
        return self.http.delete(f"{self.base}/v1/bundles/{bundle_id}", timeout=30)

    def upload_raw(self, data, bundle_id=None, headers=None, timeout=60):
        all_headers = {"Content-Type": "application/zip"}
        if bundle_id is not None:
            all_headers["Idempotency-Key"] = f'"{bundle_id}"'
        all_headers.update(headers or {})
        all_headers = {name: value for name, value in all_headers.items() if value is not None}
        return self.http.post(
            self.base + "/v1/bundles", data=data, headers=all_headers, timeout=timeout)

    def upload(self, bundle_id, data, **options):
        return checked(self.upload_raw(data, bundle_id, **options)).json()

    def send(self, lines, **options):
        """Seals lines as a new bundle, uploads it and waits for its receipt."""
        bundle_id = new_id()
        data = self.seal(bundle_id, lines, **options)
        status = self.upload(bundle_id, data)
        assert status["bundle_id"] == bundle_id
        receipt = self.receipt_of(bundle_id)
        assert receipt["bundle_sha256"] == bundle_sha256(data)
        return receipt

    def get(self, path, **options):
        return checked(self.http.get(self.base + path, timeout=90, **options)).json()

    def status(self, bundle_id):
        return self.get(f"/v1/bundles/{bundle_id}")

    def page(self, after=0, limit=None, wait=None):
        parameters = {"after": after}
        if limit is not None:
            parameters["limit"] = limit
        if wait is not None:
            parameters["wait"] = wait
        return self.get("/v1/receipts", params=parameters)

    def confirm(self, through):
        return checked(self.http.post(
            self.base + "/v1/receipts/confirm", json={"through": through}, timeout=30))

    # -- receipts

    def key(self, key_id):
        if self.keys is None or key_id not in self.keys:
            answer = checked(
                requests.get(self.base + "/.well-known/waybill-keys.json", timeout=30)).json()
            self.keys = {key["key_id"]: unb64url(key["public_key"]) for key in answer["keys"]}
        return Ed25519PublicKey.from_public_bytes(self.keys[key_id])

    def verify(self, receipt):
        """Checks hash and signature as the contract describes them."""
        content = {k: v for k, v in receipt.items() if k not in ("hash", "signature")}
        digest = hashlib.sha256(rfc8785.dumps(content)).digest()
        assert digest.hex() == receipt["hash"], "hash"
        try:
            self.key(receipt["key_id"]).verify(
                unb64url(receipt["signature"]), b"waybill/v1/receipt\0" + digest)
        except InvalidSignature:
            raise AssertionError("signature") from None
        assert receipt["device_id"] == self.id
        return receipt

    def collect(self, wait=0):
        """Takes new receipts, each verified and chained to the one before."""
        page = self.page(after=self.last, wait=wait)
        for receipt in page["receipts"]:
            assert receipt["seq"] == self.last + 1, "numbers without a gap"
            assert receipt["previous"] == self.last_hash, "chain"
            self.verify(receipt)
            self.last = receipt["seq"]
            self.last_hash = receipt["hash"]
            self.receipts.setdefault(receipt["bundle_id"], []).append(receipt)
        return page["receipts"]

    def receipt_of(self, bundle_id, seconds=60):
        until = time.monotonic() + seconds
        while bundle_id not in self.receipts:
            assert time.monotonic() < until, f"no receipt of {bundle_id} in {seconds} s"
            self.collect(wait=5)
        return self.receipts[bundle_id][-1]

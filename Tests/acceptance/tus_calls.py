"""tus 1.0.0 by hand: one request a call, with the fields that the protocol asks for."""

import base64
import hashlib

from resumable import UPLOAD_URL, call

VERSION = "1.0.0"
MEDIA_TYPE = "application/offset+octet-stream"
EXTENSIONS = {
    "creation", "creation-with-upload", "creation-defer-length", "expiration", "checksum",
    "termination", "concatenation"}


def metadata(**values):
    """`Upload-Metadata`; the space may be left out where the value is empty."""
    return ",".join(
        f"{key} {base64.b64encode(str(value).encode()).decode()}".rstrip()
        for key, value in values.items())


def checksum(algorithm, data):
    digest = hashlib.new(algorithm, data).digest()
    return {"Upload-Checksum": f"{algorithm} {base64.b64encode(digest).decode()}"}


def tus(device, method, url, fields=None, data=b"", version=VERSION, **options):
    """One request; a field that is None is left out."""
    every = {"Tus-Resumable": version}
    if data and method in ("PATCH", "POST"):
        every["Content-Type"] = MEDIA_TYPE
    every.update(fields or {})
    every = {name: str(value) for name, value in every.items() if value is not None}
    return call(device, method, url, every, data, **options)


def create(device, bundle_id=None, length=None, data=b"", fields=None, **values):
    """The answer to a creation; `values` are further metadata."""
    if bundle_id is not None:
        values = {"bundle_id": bundle_id, **values}
    every = {"Upload-Metadata": metadata(**values) if values else None, "Upload-Length": length}
    return tus(device, "POST", "/v1/uploads", {**every, **(fields or {})}, data)


def created(device, *arguments, **options):
    """The URL of a new upload."""
    answer = create(device, *arguments, **options)
    assert answer.status_code == 201, answer
    location = answer.headers["Location"]
    assert location.startswith(device.base) and UPLOAD_URL.search(location), location
    return location


def head(device, url, fields=None):
    return tus(device, "HEAD", url, fields)


def offset(device, url):
    answer = head(device, url)
    assert answer.status_code == 200, answer
    return answer.offset


def patch(device, url, at, data=b"", fields=None, **options):
    every = {"Upload-Offset": at, "Content-Type": MEDIA_TYPE, **(fields or {})}
    return tus(device, "PATCH", url, every, data, **options)


def patched(device, url, at, data, **options):
    """The offset after an append."""
    answer = patch(device, url, at, data, **options)
    assert answer.status_code == 204, answer
    assert answer.offset == at + len(data), answer
    return answer.offset

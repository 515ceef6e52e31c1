"""Makes schemathesis reach what random data never would: sealed parts, known bundles, good codes.

Loaded by schemathesis itself (schemathesis.toml). Some of the calls are left as they were generated,
so that refusals are seen, too. What to use comes in WAYBILL_TEST_FUZZ, as JSON.
"""

import base64
import hashlib
import json
import os
import pathlib
import random
import sys
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import schemathesis
from hypothesis import strategies

from stranger import Device, new_id, transaction

WORLD = json.loads(os.environ["WAYBILL_TEST_FUZZ"])
DEVICE = Device(WORLD["enrollment"])
UNFINISHED_MAX = 5

# Bundles of this device that the server knows, and those declared that are not complete.
known = list(WORLD["bundles"])
unfinished = []


# Sealed parts to send in place of what was generated, by the case's id. They are put in at the
# last moment: schemathesis takes a body of bytes that it did not make for one against the schema.
sealed_parts = {}


@schemathesis.serializer("application/zip")
def zipped(context, value):
    """A part is sent as it is."""
    value = sealed_parts.pop(context.case.id, value)
    return {"data": value if isinstance(value, bytes) else str(value).encode()}


@schemathesis.serializer("application/partial-upload", "application/offset+octet-stream")
def appended(context, value):
    """Bytes of an upload are sent as they are."""
    return {"data": value if isinstance(value, bytes) else str(value).encode()}


for kind in ("application/zip", "application/partial-upload", "application/offset+octet-stream"):
    schemathesis.openapi.media_type(kind, strategies.binary(max_size=300))


def chance(case, of=4):
    """A choice that only depends on the case, so that a failure can be repeated."""
    text = json.dumps([case.path, case.query, dict(case.headers), repr(case.body)], default=str)
    return zlib.crc32(text.encode()) % of


def drop(headers, *names):
    for name in names:
        headers.pop(name, None)


@schemathesis.hook
def before_call(context, case, kwargs):
    operation = case.operation.label
    choice = chance(case)
    # Nothing is to wait for, and events never end.
    if isinstance(case.query, dict) and str(case.query.get("wait", "")).isdigit():
        case.query["wait"] = 0
    if operation == "GET /v1/receipts":
        case.headers["Accept"] = "application/json"
    if str(case.headers.get("Upload-Draft-Interop-Version", "")).strip().isdigit():
        # Python's client takes an interim 104 for the answer; test_resumable_ietf.py reads it.
        drop(case.headers, "Upload-Draft-Interop-Version")
    is_negative = case.meta is not None and case.meta.generation.mode.is_negative
    if choice == 0 or is_negative:
        return
    if operation == "POST /v1/bundles" and case.media_type == "application/zip":
        send_sealed(case, choice)
    elif operation == "POST /v1/bundles":
        give_up_old_ones()
    elif operation == "PUT /v1/bundles/{id}/parts/{n}":
        send_part(case, choice)
    elif operation == "POST /v1/uploads":
        give_up_old_ones()
        case.headers["Upload-Metadata"] = metadata(new_id())
    elif operation.endswith(" /v1/uploads/{id}"):
        case.path_parameters["id"] = upload()
    elif operation.endswith(" /v1/bundles/{id}/parts/{n}"):
        case.path_parameters["id"] = declare([b"x" * 100])
        case.path_parameters["n"] = 1
    elif operation.endswith(" /v1/bundles/{id}"):
        case.path_parameters["id"] = random.choice([*known, *unfinished])
    elif operation == "POST /v1/enrollments":
        put_into(case.body, "code", WORLD["codes"])
    elif operation == "PUT /admin/v1/listeners":
        few_listeners(case)
    elif "/admin/v1/" in operation:
        name_what_exists(case, operation)


def put_into(body, member, values):
    if isinstance(body, dict) and isinstance(body.get(member), str) and values:
        body[member] = random.choice(values)


def few_listeners(case):
    """Hundreds of listeners would only cost time."""
    for member in ("target", "min", "max"):
        if isinstance(case.body, dict) and isinstance(case.body.get(member), int):
            if 8 < case.body[member] <= 256:
                case.body[member] %= 8


def name_what_exists(case, operation):
    parameters = case.path_parameters
    if "name" in parameters:
        parameters["name"] = WORLD["tenant"]
    for holder in (case.query, case.body):
        if isinstance(holder, dict) and isinstance(holder.get("tenant"), str):
            holder["tenant"] = WORLD["tenant"]
    if "id" in parameters:
        kind = operation.split("/admin/v1/")[1].split("/")[0]
        if WORLD["ids"].get(kind):
            parameters["id"] = random.choice(WORLD["ids"][kind])


def send_sealed(case, choice):
    key = case.headers.get("Idempotency-Key", "")
    bundle_id = key.strip('"').lower()
    try:
        sealed = DEVICE.seal(bundle_id, [transaction({"n": choice})])
    except ValueError:
        return
    sealed_parts[case.id] = sealed
    if choice > 1:
        drop(case.headers, "Content-Digest", "Repr-Digest", "Waybill-Epoch")
        known.append(bundle_id)


def declare(parts):
    bundle_id = new_id()
    answer = DEVICE.http.post(DEVICE.base + "/v1/bundles", timeout=30, json={
        "bundle_id": bundle_id, "epoch": DEVICE.epoch, "parts": [
            {"size": len(part), "sha256": hashlib.sha256(part).hexdigest()} for part in parts]})
    if answer.status_code == 201:
        unfinished.append(bundle_id)
    return bundle_id


def metadata(bundle_id):
    return "bundle_id " + base64.b64encode(bundle_id.encode()).decode()


def upload():
    """The name of an upload of 100 bytes that has none yet."""
    give_up_old_ones()
    answer = DEVICE.http.post(DEVICE.base + "/v1/uploads", timeout=30, headers={
        "Tus-Resumable": "1.0.0", "Upload-Length": "100", "Upload-Metadata": metadata(new_id())})
    return answer.headers.get("Location", "/none").rsplit("/", 1)[1]


def send_part(case, choice):
    give_up_old_ones()
    bundle_id = new_id()
    part = DEVICE.seal(bundle_id, [transaction()])
    case.path_parameters["id"] = declare([part, part + b"x"][:1 + choice % 2])
    case.path_parameters["n"] = 1
    sealed_parts[case.id] = part
    drop(case.headers, "Content-Digest", "Repr-Digest")


def give_up_old_ones():
    """Makes room for other unfinished bundles, also for those that schemathesis declared."""
    listed = DEVICE.http.get(
        DEVICE.base + "/v1/bundles", params={"state": "receiving"}, timeout=30)
    if listed.status_code != 200:
        return
    for bundle in listed.json()["bundles"][:-UNFINISHED_MAX or None]:
        DEVICE.http.delete(f"{DEVICE.base}/v1/bundles/{bundle['bundle_id']}", timeout=30)
        if bundle["bundle_id"] in unfinished:
            unfinished.remove(bundle["bundle_id"])

"""Resumable upload as a stranger would write it: requests that can be cut at any byte, and the IETF's dialects.

Every answer is held against the document, as those are that `requests` gets.
"""

import base64
import collections
import json
import os
import random
import re
import socket
import types
import urllib.parse

import h11
from requests.structures import CaseInsensitiveDict

import contract
from place import until
from stranger import Refused, bundle_sha256, new_id, transaction

SEED = int(os.environ.get("WAYBILL_TEST_SEED", random.randrange(1 << 32)))
UPLOAD_URL = re.compile(r"/v1/uploads/[0-9a-f]{32}\Z")
PROBLEMS = "https://iana.org/assignments/http-problem-types#"
MIB = 1 << 20
# Interop versions; None is no version at all.
KNOWN = [3, 5, 6, 7, 8]
VERSIONS = [*KNOWN, None]

Interim = collections.namedtuple("Interim", "status headers")


def chance_of(name):
    """Random numbers of one test, told where a test that fails shows them."""
    print(f"seed {SEED}: set WAYBILL_TEST_SEED to repeat")
    return random.Random(f"{SEED} {name}")


def fields_of(message):
    """Names in any case; several values of one name are joined."""
    fields = CaseInsensitiveDict()
    for name, value in message.headers:
        name, value = name.decode(), value.decode("latin-1")
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return fields


class Answer:
    """A final answer, with the interim ones before it; it looks like one of `requests`."""

    def __init__(self, method, url, response, content, interim):
        self.request = types.SimpleNamespace(method=method, url=url)
        self.status_code = response.status_code
        self.headers = fields_of(response)
        self.content = content
        self.interim = interim

    def __repr__(self):
        return (f"{self.request.method} {self.request.url}: {self.status_code}"
                f" {dict(self.headers)} {self.content[:500]!r} after {self.interim}")

    @property
    def text(self):
        return self.content.decode(errors="replace")

    def json(self):
        return json.loads(self.content)

    @property
    def refusal(self):
        """Status and code of a problem; status and None of anything else."""
        is_problem = contract.media_type(self) == contract.PROBLEM and self.content
        return self.status_code, self.json()["code"] if is_problem else None

    @property
    def offset(self):
        """`Upload-Offset`; None without one."""
        value = self.headers.get("Upload-Offset")
        return None if value is None else int(value)

    @property
    def hints(self):
        """The 104 answers that came before."""
        return [one for one in self.interim if one.status == 104]


class Wire:
    """One connection: requests piece by piece, and everything that comes back."""

    def __init__(self, origin, timeout=60, judges=True):
        address = urllib.parse.urlsplit(origin)
        self.origin = f"http://{address.netloc}"
        self.judges = judges
        self.socket = socket.create_connection((address.hostname, address.port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.http = h11.Connection(h11.CLIENT)
        self.interim = []
        self.last = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def head(self, method, target, fields):
        """Sends a request's head; a path or an absolute URL."""
        if self.http.our_state is h11.DONE:
            self.http.start_next_cycle()
        if target.startswith("http"):
            target = urllib.parse.urlsplit(target)._replace(scheme="", netloc="").geturl()
        # What the server takes the request for.
        self.method = fields.get("X-HTTP-Method-Override") or method
        self.target = target
        host = self.origin.removeprefix("http://")
        self.send(h11.Request(
            method=method, target=target, headers=[("Host", host), *fields.items()]))
        return self

    def send(self, event):
        data = self.http.send(event)
        try:
            self.socket.sendall(data or b"")
        except (BrokenPipeError, ConnectionResetError):
            pass  # What was answered before can still be read.
        return self

    def body(self, data):
        return self.send(h11.Data(data=data))

    def end(self):
        return self.send(h11.EndOfMessage())

    def cut(self):
        """The network is gone, with whatever is on its way."""
        self.socket.close()

    def stop_sending(self):
        """Nothing more will come; what has come before is all there. Waits for the server's end."""
        self.socket.shutdown(socket.SHUT_WR)
        self.until_closed()

    def event(self):
        """The next thing that came; None at the end of the connection."""
        try:
            while (event := self.http.next_event()) is h11.NEED_DATA:
                self.last = self.receive()
                self.http.receive_data(self.last)
        except h11.RemoteProtocolError as error:
            # Either the connection has ended, or what came is no HTTP.
            assert self.last == b"", (error, self.last)
            return None
        if isinstance(event, h11.InformationalResponse):
            self.interim.append(Interim(event.status_code, fields_of(event)))
        return None if isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED else event

    def receive(self):
        try:
            return self.socket.recv(1 << 16)
        except ConnectionResetError:
            return b""

    def hint(self, status=104):
        """Waits for an interim answer; None if another thing came."""
        event = self.event()
        is_hint = isinstance(event, h11.InformationalResponse)
        return self.interim[-1] if is_hint and event.status_code == status else None

    def answer(self):
        """The final answer; None when the connection ended without one."""
        response, content = None, b""
        while (event := self.event()) is not None:
            if isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                content += event.data
            elif isinstance(event, h11.EndOfMessage):
                interim, self.interim = self.interim, []
                url = self.origin + self.target
                answer = Answer(self.method, url, response, content, interim)
                if self.judges:
                    contract.check(answer)
                return answer
        return None

    def until_closed(self):
        """Waits for the end of the connection, whatever comes before it."""
        while self.event() is not None:
            pass


def authorized(device, fields=None):
    return {"Authorization": f"Bearer {device.token}", **(fields or {})}


def framed(method, data, chunked=False):
    """The fields that say how long a body is."""
    if chunked:
        return {"Transfer-Encoding": "chunked"}
    return {} if method in ("HEAD", "GET", "OPTIONS") else {"Content-Length": str(len(data))}


def waiting(cut):
    """A request that is cut waits: one that the server has not seen could come after those that follow it."""
    return {} if cut is None else {"Expect": "100-continue"}


def call(device, method, url, fields=None, data=b"", cut=None, chunked=False):
    """One request on a connection of its own; None without an answer, as with `cut`: once the server has said that
    it wants the body, and after so many bytes of it, the connection goes."""
    with Wire(device.base) as wire:
        wire.head(method, url, {
            **authorized(device), **framed(method, data, chunked), **waiting(cut), **(fields or {})})
        if cut is not None:
            assert wire.hint(100), wire.last
            wire.body(data[:cut]).cut()
            return None
        if data:
            wire.body(data)
        return wire.end().answer()


# -- what is uploaded


Sealed = collections.namedtuple("Sealed", "bundle_id parts count")


def lines_of(chance, size):
    """Lines of at least so many bytes that no compression makes smaller, at least one."""
    lines, total = [], 0
    while total < size or not lines:
        body = base64.b64encode(chance.randbytes(min(300_000, max(1, (size - total) * 3 // 4))))
        lines.append(transaction(
            payload=..., content_type="application/octet-stream", body=body.decode()))
        total += len(body)
    return lines


def seal(device, chance, *sizes):
    """A sealed bundle: one part for each size in bytes, at least."""
    bundle_id = new_id()
    lines = [lines_of(chance, size) for size in sizes]
    parts = device.seal_parts(bundle_id, lines, method=0)
    return Sealed(bundle_id, parts, sum(map(len, lines)))


def is_settled(device, sealed):
    """Waits for the receipt: of these bytes, and of every transaction."""
    receipt = device.receipt_of(sealed.bundle_id, seconds=120)
    assert receipt["state"] == "settled", receipt
    assert receipt["counts"]["accepted"] == sealed.count and receipt["exceptions"] == [], receipt
    assert receipt["bundle_sha256"] == bundle_sha256(*sealed.parts)
    # The receipt is out a moment before the queue hears of it.
    until(lambda: device.status(sealed.bundle_id)["state"] == "settled", 10)
    return receipt


# -- the IETF's dialects


class Dialect:
    """What an interop version of draft-ietf-httpbis-resumable-upload writes; None is no version at all."""

    def __init__(self, version):
        self.version = version
        self.completeness = "Upload-Incomplete" if version == 3 else "Upload-Complete"
        self.has_limits = version is None or version >= 6
        self.needs_media_type = version is None or version >= 6
        self.age = "expires" if version == 6 else "max-age"
        # Of an append that does not complete the upload.
        self.appended = 201 if version in (3, 5, 6) else 204

    def fields(self, complete, offset=None, length=None):
        says = complete != (self.version == 3)
        fields = {self.completeness: "?1" if says else "?0"}
        if self.version is not None:
            fields["Upload-Draft-Interop-Version"] = str(self.version)
        if length is not None:
            fields["Upload-Length"] = str(length)
        if offset is not None:
            fields["Upload-Offset"] = str(offset)
            if self.needs_media_type:
                fields["Content-Type"] = "application/partial-upload"
        return fields

    def is_complete(self, answer):
        """None where the answer does not say."""
        value = answer.headers.get(self.completeness)
        assert value in (None, "?0", "?1"), answer
        return None if value is None else (value == "?1") != (self.version == 3)


def limits(answer):
    """`Upload-Limit`, a dictionary of integers."""
    pairs = [one.strip().split("=") for one in answer.headers["Upload-Limit"].split(",")]
    return {name: int(value) for name, value in pairs}


class Upload:
    """What a client of a dialect knows of one upload; an offset that it was told never goes back."""

    def __init__(self, device, version, bundle_id, part=None):
        self.device = device
        self.dialect = Dialect(version)
        self.method, self.target = "POST", "/v1/bundles"
        self.metadata = {"Content-Type": "application/zip"}
        if part is None:
            self.metadata["Idempotency-Key"] = f'"{bundle_id}"'
        else:
            self.method, self.target = "PUT", f"/v1/bundles/{bundle_id}/parts/{part}"
        self.bundle_url = f"{device.base}/v1/bundles/{bundle_id}"
        self.part = part or 1
        self.url = None
        self.told = self.sent = 0

    def hear(self, answer):
        """Whatever an answer says of the upload must fit what was heard before."""
        for one in [*answer.interim, answer]:
            if value := one.headers.get("Upload-Offset"):
                assert self.told <= int(value) <= self.sent, (self.told, self.sent, answer)
                self.told = int(value)
        return answer

    def find(self, location):
        """A URL of the upload, always the same."""
        assert location.startswith(self.device.base) and UPLOAD_URL.search(location), location
        assert self.url in (None, location), "the upload moves"
        self.url = location

    def ask_the_bundle(self):
        """For an app that lost its notes: the upload's URL from the bundle's status."""
        part = self.device.status(self.bundle_url.rpartition("/")[2])["parts"][self.part - 1]
        self.find(part["upload"])
        return part

    def create(self, data=b"", complete=False, length=None, fields=None, cut=None, chunked=False):
        """Begins the upload; None when the connection went after `cut` bytes."""
        with Wire(self.device.base) as wire:
            wire.head(self.method, self.target, authorized(self.device, {
                **self.metadata, **framed(self.method, data, chunked), **waiting(cut),
                **self.dialect.fields(complete, length=length), **(fields or {})}))
            self.sent = max(self.sent, len(data) if cut is None else cut)
            if cut is not None:
                if self.dialect.version is not None:
                    self.find(wire.hint().headers["Location"])
                assert wire.hint(100), wire.last
                wire.body(data[:cut]).cut()
                return None
            if data:
                wire.body(data)
            answer = self.hear(wire.end().answer())
        if answer.status_code == 201 and not self.dialect.is_complete(answer):
            self.find(answer.headers["Location"])
        return answer

    def ask(self):
        """The offset, by HEAD."""
        version = self.dialect.version
        fields = {} if version is None else {"Upload-Draft-Interop-Version": str(version)}
        return self.hear(call(self.device, "HEAD", self.url, fields))

    def append(self, data, offset=None, complete=False, fields=None, cut=None, length=None, chunked=False):
        """One PATCH; from the told offset unless another is given."""
        offset = self.told if offset is None else offset
        self.sent = max(self.sent, offset + (len(data) if cut is None else cut))
        answer = call(
            self.device, "PATCH", self.url,
            {**self.dialect.fields(complete, offset, length), **(fields or {})}, data, cut, chunked)
        if answer is not None:
            assert all("Location" not in one.headers for one in answer.interim), answer
            self.hear(answer)
            if answer.status_code == self.dialect.appended:
                self.told = offset + len(data)
        return answer

    def rest(self, data, **options):
        """The PATCH that completes the upload."""
        return self.append(data[self.told:], complete=True, **options)

    def delete(self):
        return call(self.device, "DELETE", self.url)


def is_received(answer, upload, sealed):
    """202 with the bundle's status, as the creating request would have had it."""
    assert answer is not None and answer.status_code == 202, answer
    assert upload.dialect.is_complete(answer) is True, answer
    assert answer.headers["Location"] == upload.bundle_url
    status = answer.json()
    assert status["bundle_id"] == sealed.bundle_id
    assert status["state"] in ("queued", "processing", "settled")
    assert status["parts"][0]["received"] == len(sealed.parts[0])
    assert status["parts"][0]["complete"] is True


def is_forgotten(device, bundle_id):
    """True for a bundle that the server does not know."""
    try:
        device.status(bundle_id)
    except Refused as refused:
        assert refused.status == 404
        return True
    return False


def begun(device, version, chance, size=20_000, length=None):
    """A small sealed bundle and its upload, empty as yet."""
    sealed = seal(device, chance, size)
    upload = Upload(device, version, sealed.bundle_id)
    assert upload.create(length=length).status_code == 201
    return sealed, upload


def is_problem_of(answer, name, **members):
    """One of the problem types of the draft, with its members."""
    assert answer.headers["Content-Type"] == "application/problem+json", answer
    problem = answer.json()
    assert problem["type"] == PROBLEMS + name, problem
    assert members.items() <= problem.items(), problem


def is_gone(answer):
    """An upload that was there, or never was: 410 or 404, each with its code."""
    if answer.request.method == "HEAD":
        assert answer.status_code in (404, 410), answer
        return
    assert answer.refusal in ((410, "gone"), (404, "not_found")), answer

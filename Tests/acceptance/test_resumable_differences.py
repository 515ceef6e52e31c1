"""The same tus requests to this server and to tuspyserver, somebody else's: each difference has its reason in the
protocol, and each reason still makes a difference."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from place import until
from resumable import Wire, chance_of, seal
from server import free_port
from tus_calls import MEDIA_TYPE, VERSION, checksum, metadata

COMPARED = (
    "Tus-Resumable", "Tus-Version", "Tus-Extension", "Tus-Max-Size", "Tus-Checksum-Algorithm",
    "Upload-Offset", "Upload-Length", "Upload-Defer-Length", "Upload-Metadata", "Upload-Concat",
    "Upload-Expires", "Location", "Cache-Control")
SIZE, CUT = "SIZE", "CUT"
A_DATE = "a date"
EXTENSIONS = (
    "concatenation,creation,creation-defer-length,creation-with-upload,expiration,termination")
THEIR_METADATA = "filename YS56aXA=, filetype YXBwbGljYXRpb24vemlw"

HEADS = (
    "head", "head after appends", "head of a deferred one", "head of a length told",
    "head after the wrong type")
BOTH_REFUSE = (
    "another version", "wrong type", "gap", "repeat", "no offset", "no number", "past the length",
    "append to a complete one", "head of a deleted one", "append to a deleted one",
    "delete of a deleted one", "create without a version", "create deferring 2",
    "final over an unfinished one", "final with a length", "append to a final one")
WE_REFUSE = {
    "create without a length": ("400", "The request MUST include one of the following headers:"
                                       " Upload-Length, or Upload-Defer-Length: 1."),
    "create of a negative length": ("400", "The value MUST be a non-negative integer."),
    "create of too great a length": (
        "413", "If the length of the upload exceeds the maximum, the Server MUST respond with 413."),
    "create with a key twice": ("400", "All keys MUST be unique."),
}
ENDED = "For all future requests to this URL, the Server SHOULD respond with 404 or 410."
IGNORED = "The Server MUST ignore the Tus-Resumable header of an OPTIONS request."
NO_VERSION = "The version that the client specifies counts: with none, it is the IETF's HEAD."
UNFINISHED = (
    "Upload-Expires indicates the time after which the unfinished upload expires: a finished one"
    " does not")
BAD_ALGORITHM = (
    "400 if the checksum algorithm is not supported by the server: the uploaded chunk MUST be"
    " discarded, and the upload and its offset MUST NOT be updated.")

# Steps, field, this server's, tuspyserver's, the protocol's sentence.
DIFFERENCES = [
    (["options"], "Tus-Extension", f"checksum,{EXTENSIONS}", EXTENSIONS,
     "Servers are encouraged to implement as many of the extensions as possible."),
    (["options"], "Tus-Checksum-Algorithm", "sha1,sha256,sha512", None,
     "Tus-Checksum-Algorithm MUST be included in the response to an OPTIONS request."),
    (["options of another version"], "status", "204", "412", IGNORED),
    (["options of another version"], "Tus-Resumable", VERSION, None, IGNORED),
    (["options of another version"], "Tus-Extension", f"checksum,{EXTENSIONS}", None, IGNORED),
    (["options of another version"], "Tus-Max-Size", str(64 << 20), None, IGNORED),
    (["options of another version"], "Tus-Checksum-Algorithm", "sha1,sha256,sha512", None, IGNORED),
    (["no version"], "status", "204", "412", NO_VERSION),
    (["no version"], "Tus-Version", None, VERSION, NO_VERSION),
    (["no version"], "Upload-Offset", "0", None, NO_VERSION),
    (["no version"], "Upload-Length", SIZE, None, NO_VERSION),
    (["no version"], "Cache-Control", "no-store", None, NO_VERSION),
    (["create", "create to delete", "create of the wrong type", "create deferred",
      "create to check", "partial 0", "partial 1"],
     "Upload-Offset", "0", None, "The new resource has an implicit offset of 0: here it is said."),
    ([*HEADS, "head of a complete one", "head of a final one"],
     "Upload-Metadata", "as sent", THEIR_METADATA,
     "Responses to HEAD requests MUST include Upload-Metadata and its value as specified by the"
     " Client during the creation."),
    (HEADS, "Upload-Expires", A_DATE, None,
     "The Client SHOULD use this header to determine if an upload is still valid before attempting"
     " to resume it: HEAD is what comes before."),
    (BOTH_REFUSE, "Tus-Resumable", VERSION, None,
     "Tus-Resumable MUST be included in every request and response."),
    (["head after the wrong type"], "Upload-Offset", "0", SIZE,
     "All PATCH requests MUST use application/offset+octet-stream: what has another type is not"
     " appended."),
    (["gap", "repeat"], "Upload-Offset", CUT, None,
     "If the offsets do not match, the Server MUST respond with 409: here with the right one."),
    (["past the length"], "status", "413", "400",
     "Upload-Length indicates the size of the entire upload in bytes: more is too large."),
    (["append to a complete one"], "status", "409", "400",
     "Without modifying the upload resource: it is complete, whatever is sent."),
    (["append to a complete one"], "Upload-Offset", SIZE, None,
     "Without modifying the upload resource: it is complete, and says so."),
    (["head of a deleted one", "append to a deleted one", "delete of a deleted one"],
     "status", "410", "404", ENDED),
    (["unknown algorithm"], "status", "400", "204", BAD_ALGORITHM),
    (["unknown algorithm"], "Upload-Offset", None, "TWICE", BAD_ALGORITHM),
    (["unknown algorithm"], "Upload-Expires", None, A_DATE, BAD_ALGORITHM),
    (["override", "the rest", "rest of a length told", "append to partial 0",
      "append to partial 1", "final"], "Upload-Expires", None, A_DATE, UNFINISHED),
    (["final"], "Upload-Offset", SIZE, None,
     "After successful concatenation, Upload-Offset and Upload-Length MUST be set: here at once."),
    (["append to a final one"], "status", "403", "400",
     "The Server MUST respond with 403 to PATCH requests against a final upload URL."),
    *[([step], "status", status, "201", why) for step, (status, why) in WE_REFUSE.items()],
    *[([step], "Location", None, f"<{step}>", why) for step, (_, why) in WE_REFUSE.items()],
    *[([step], "Upload-Expires", None, A_DATE, why) for step, (_, why) in WE_REFUSE.items()],
]


class Ours:
    """This server, as one device sees it."""

    endpoint = "/v1/uploads"
    options = "/v1/uploads"

    def __init__(self, device):
        self.origin = device.base
        self.authorization = {"Authorization": f"Bearer {device.token}"}
        self.judges = True


class Theirs:
    """tuspyserver, under uvicorn."""

    endpoint = "/files"
    options = "/files/"
    authorization = {}
    judges = False

    def __init__(self, folder):
        port = free_port()
        self.origin = f"http://127.0.0.1:{port}"
        self.log = open(folder / "log", "w+")
        self.process = subprocess.Popen(
            [sys.executable, "-B", "-m", "uvicorn", "--factory", "tuspy_app:make", "--port", str(port),
             "--log-level", "warning"],
            env={**os.environ, "TUSPY_FILES": str(folder / "files")}, cwd=pathlib.Path(__file__).parent,
            stdout=self.log, stderr=self.log)
        until(self.answers, 60, "uvicorn does not start")

    def answers(self):
        assert self.process.poll() is None, "uvicorn has ended"
        try:
            with Wire(self.origin, judges=False) as wire:
                return wire.head("OPTIONS", self.options, {}).end().answer() is not None
        except ConnectionRefusedError:
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


class Script:
    """The requests, one after the other, to one of the servers; what came of each."""

    def __init__(self, side, bundles):
        self.side = side
        self.bundles = iter(bundles)
        self.seen = {}
        self.names = {}

    def ask(self, step, method, target, fields=None, data=b"", version=VERSION):
        every = {**self.side.authorization, "Tus-Resumable": version, **(fields or {})}
        if method not in ("HEAD", "OPTIONS"):
            every["Content-Length"] = len(data)
        with Wire(self.side.origin, judges=self.side.judges) as wire:
            wire.head(method, target, {k: str(v) for k, v in every.items() if v is not None})
            answer = (wire.body(data) if data else wire).end().answer()
        assert answer is not None, step
        location = answer.headers.get("Location")
        if location:
            self.names[location] = self.names[re.sub("^https?://[^/]+", "", location)] = f"<{step}>"
        self.seen[step, "status"] = str(answer.status_code)
        for name in COMPARED:
            value = answer.headers.get(name)
            if value is not None:
                self.seen[step, name] = self.plain(name, value)
        return location or target

    def plain(self, name, value):
        """The value without what differs by nature."""
        if name == "Upload-Expires":
            return A_DATE
        if name == "Tus-Extension":
            return ",".join(sorted(value.split(",")))
        if name == "Upload-Metadata":
            value = value.replace(self.told, "as sent")
        for url in sorted(self.names, key=len, reverse=True):
            value = value.replace(url, self.names[url])
        for number, word in ((len(self.data), SIZE), (self.cut, CUT), (2 * self.cut, "TWICE")):
            value = re.sub(rf"\b{number}\b", word, value)
        return value

    def next(self, **values):
        """The next bundle, and metadata that suit both servers."""
        sealed = next(self.bundles)
        self.data = sealed.parts[0]
        self.cut = 1234
        self.told = metadata(
            bundle_id=sealed.bundle_id, filename="a.zip", filetype="application/zip", **values)
        return {"Upload-Metadata": self.told, "Upload-Length": len(self.data)}

    def append(self, step, url, at, data, fields=None):
        every = {"Upload-Offset": at, "Content-Type": MEDIA_TYPE, **(fields or {})}
        return self.ask(step, "PATCH", url, every, data)

    def run(self):
        self.run_core()
        self.run_creations()
        self.run_checksums()
        self.run_concatenation()
        return self.seen

    def run_core(self):
        create = self.next()
        self.ask("options", "OPTIONS", self.side.options, version=None)
        self.ask("options of another version", "OPTIONS", self.side.options, version="0.2.2")
        url = self.ask("create", "POST", self.side.endpoint, create)
        self.ask("head", "HEAD", url)
        self.ask("no version", "HEAD", url, version=None)
        self.ask("another version", "HEAD", url, version="0.2.2")
        self.append("append", url, 0, self.data[:self.cut])
        self.append("gap", url, self.cut + 1, self.data[:9])
        self.append("repeat", url, 0, self.data[:9])
        self.append("no offset", url, None, self.data[:9])
        self.append("no number", url, "x", self.data[:9])
        self.append("past the length", url, self.cut, self.data)
        self.ask("head after appends", "HEAD", url)
        self.ask("override", "POST", url, {
            "X-HTTP-Method-Override": "PATCH", "Upload-Offset": self.cut,
            "Content-Type": MEDIA_TYPE}, self.data[self.cut:])
        self.ask("head of a complete one", "HEAD", url)
        self.append("append to a complete one", url, len(self.data), b"more")
        url = self.ask("create of the wrong type", "POST", self.side.endpoint, self.next())
        self.append("wrong type", url, 0, self.data, {"Content-Type": "text/plain"})
        self.ask("head after the wrong type", "HEAD", url)
        url = self.ask("create to delete", "POST", self.side.endpoint, self.next())
        self.ask("delete", "DELETE", url)
        self.ask("head of a deleted one", "HEAD", url)
        self.append("append to a deleted one", url, 0, b"x")
        self.ask("delete of a deleted one", "DELETE", url)

    def run_creations(self):
        create = self.next()
        self.ask("create without a version", "POST", self.side.endpoint, create, version=None)
        self.ask("create without a length", "POST", self.side.endpoint,
                 {**create, "Upload-Length": None})
        self.ask("create of a negative length", "POST", self.side.endpoint,
                 {**create, "Upload-Length": -1})
        self.ask("create of too great a length", "POST", self.side.endpoint,
                 {**create, "Upload-Length": (64 << 20) + 1})
        self.ask("create deferring 2", "POST", self.side.endpoint,
                 {**create, "Upload-Length": None, "Upload-Defer-Length": 2})
        self.ask("create with a key twice", "POST", self.side.endpoint,
                 {**create, "Upload-Metadata": f"{self.told},{self.told}"})
        url = self.ask("create with bytes", "POST", self.side.endpoint,
                       {**create, "Content-Type": MEDIA_TYPE}, self.data[:self.cut])
        self.append("the rest", url, self.cut, self.data[self.cut:])
        create = self.next()
        url = self.ask("create deferred", "POST", self.side.endpoint,
                       {**create, "Upload-Length": None, "Upload-Defer-Length": 1})
        self.append("append deferred", url, 0, self.data[:self.cut])
        self.ask("head of a deferred one", "HEAD", url)
        self.append("length told", url, self.cut, self.data[self.cut:2 * self.cut],
                    {"Upload-Length": len(self.data)})
        self.ask("head of a length told", "HEAD", url)
        self.append("rest of a length told", url, 2 * self.cut, self.data[2 * self.cut:])

    def run_checksums(self):
        url = self.ask("create to check", "POST", self.side.endpoint, self.next())
        piece = self.data[:self.cut]
        self.append("right checksum", url, 0, piece, checksum("sha1", piece))
        self.append("unknown algorithm", url, self.cut, piece, {"Upload-Checksum": "md9 AAAA"})

    def run_concatenation(self):
        create = self.next()
        urls = []
        for number, piece in enumerate((self.data[:self.cut], self.data[self.cut:])):
            urls.append(self.ask(f"partial {number}", "POST", self.side.endpoint, {
                "Upload-Concat": "partial", "Upload-Length": len(piece)}))
            if number:
                self.ask("final over an unfinished one", "POST", self.side.endpoint, {
                    "Upload-Concat": "final;" + " ".join(urls),
                    "Upload-Metadata": create["Upload-Metadata"]})
            self.append(f"append to partial {number}", urls[-1], 0, piece)
        self.ask("head of a partial one", "HEAD", urls[0])
        final = {"Upload-Concat": "final;" + " ".join(urls),
                 "Upload-Metadata": create["Upload-Metadata"]}
        self.ask("final with a length", "POST", self.side.endpoint, {**final, "Upload-Length": 9})
        url = self.ask("final", "POST", self.side.endpoint, final)
        self.ask("head of a final one", "HEAD", url)
        self.append("append to a final one", url, len(self.data), b"x")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    side = Theirs(tmp_path_factory.mktemp("tuspyserver"))
    yield side
    side.stop()


def rows():
    """The table, by step and field."""
    table = {}
    for steps, field, ours, other, why in DIFFERENCES:
        for step in steps:
            assert (step, field) not in table and ours != other and why
            table[step, field] = ours, other
    return table


def test_every_difference_from_tuspyserver_has_its_reason_and_every_reason_its_difference(
        device, theirs):
    chance = chance_of("differences")
    bundles = [seal(device, chance, 5000 + 10 * number) for number in range(9)]
    ours = Script(Ours(device), bundles).run()
    other = Script(theirs, bundles).run()
    assert {step for step, _ in ours} == {step for step, _ in other}
    differences = {
        key: (ours.get(key), other.get(key)) for key in {*ours, *other}
        if ours.get(key) != other.get(key)}
    table = rows()
    surprising = {key: pair for key, pair in differences.items() if table.get(key) != pair}
    idle = {key: pair for key, pair in table.items() if differences.get(key) != pair}
    assert (surprising, idle) == ({}, {})

"""Measures receiving parts: one of 64 MiB, and 64 at once; whole and in appends of 64 KiB.

Beside it, in the same run, on the same file system and in turn with it: a C program that writes and
syncs the same bytes in the same pieces, as many parts at once, and nothing else (`c_…`; the aim for
whole parts is 70 % of it). For information, the same program that gets the bytes over loopback as the
server does (`c_socket_…`): what that leaves of the limit is what sockets cost, not the server.

`whole` is a plain PUT of a declared part, `ietf` a resumable one with all bytes in one request,
`appends` begins empty and sends each piece after the answer to the one before. The 64 have 16 MiB each
unless told otherwise (names say size and number) and are of 8 devices. Each is the only part of its
bundle, so that the time, from the first byte sent to the last answer, has the queueing in it.
Listeners stand still: what was received stays on disk until the bench ends, 10 GiB unless told
otherwise.

The server's memory is looked at every 50 ms (`rss_seen`); `rss_peak` is the kernel's word for each run.
Of all rounds the most counts.
"""

import argparse
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile
import threading
import urllib.parse
import uuid

import bench

SOURCES = pathlib.Path(__file__).parent / "upload"
DEVICES = 8
WAYS = ("whole", "ietf", "appends")
# How far memory may rise over the idle server's, in MiB, by parts at once: one, or many.
RSS_ONE, RSS_MANY = 32, 150
report = bench.Output("upload")


def mib(count):
    return f"{count / (1 << 20):g}MiB"


def archive(byte_count):
    """A part as sealed, stored, of just so many bytes. What lies in it stays closed: it is random."""
    name = b"bundle.ndjson"
    aes = struct.pack("<HHH2sBH", 0x9901, 7, 2, b"AE", 3, 0)
    # Heads, name and field twice; salt, verifier and code around the content.
    zipped = byte_count - 30 - 46 - 22 - 2 * (len(name) + len(aes))
    sizes = struct.pack("<III", 0, zipped, zipped - 28)
    lengths = struct.pack("<HH", len(name), len(aes))
    versions = struct.pack("<HHHI", 51, 1, 99, 0x210000)
    head = b"PK\3\4" + versions + sizes + lengths + name + aes
    directory = (b"PK\1\2" + struct.pack("<H", 0x333) + versions + sizes + lengths
                 + struct.pack("<HHHII", 0, 0, 0, 0o100644 << 16, 0) + name + aes)
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 1, 1, len(directory), len(head) + zipped, 0)
    return head + os.urandom(zipped) + directory + end


class Devices:
    """Enrolled devices; their bundles of one part."""

    def __init__(self, server):
        self.server, self.url = server, urllib.parse.urlsplit(server.device_url)
        self.run_command("tenant", "create", "bench")
        codes = json.loads(self.run_command(
            "device", "invite", "--tenant", "bench", "--count", str(DEVICES), "--output", "json"))
        self.enrolled = [self.post("/v1/enrollments", {"code": each["code"], "name": "bench"})
                         for each in codes]

    def run_command(self, *arguments):
        return subprocess.run(
            [self.server.binary, *arguments, "--data-dir", str(self.server.data)], check=True,
            stdout=subprocess.PIPE, text=True).stdout

    def post(self, path, body, token=None):
        with contextlib.closing(http.client.HTTPConnection(self.url.netloc)) as connection:
            headers = {"Content-Type": "application/json"}
            if token:
                headers["Authorization"] = f"Bearer {token}"
            connection.request("POST", path, json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        if answer.status != 201:
            raise SystemExit(f"{path}: {answer.status} {text}")
        return json.loads(text)

    def declare(self, count, byte_count, digest):
        """New bundles, spread over the devices; a line for each part: token and path."""
        lines = []
        for number in range(count):
            device = self.enrolled[number % DEVICES]
            bundle = str(uuid.uuid4())
            self.post("/v1/bundles", {
                "bundle_id": bundle, "epoch": device["epoch"],
                "parts": [{"size": byte_count, "sha256": digest}]}, device["token"])
            lines.append(f"{device['token']} /v1/bundles/{bundle}/parts/1\n")
        return "".join(lines)


class MemoryWatch:
    """A process's memory while something runs, in MiB: the most of it that was seen, and its peak."""

    def __init__(self, pid):
        self.folder = pathlib.Path(f"/proc/{pid}")
        self.seen = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.look)

    def read(self, name):
        for line in (self.folder / "status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) / 1024

    def look(self):
        while True:
            self.seen = max(self.seen, self.read("VmRSS"))
            if self.ended.wait(0.05):
                return

    def __enter__(self):
        # The peak begins anew.
        (self.folder / "clear_refs").write_text("5")
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.peak = self.read("VmHWM")


class Bench:
    def __init__(self, options, server):
        self.options, self.server = options, server
        self.devices = Devices(server)
        self.tools, self.peer_folder = server.folder / "tools", server.folder / "peer"
        self.tools.mkdir()
        self.peer_folder.mkdir()
        compiler = shutil.which("cc") or shutil.which("clang")
        if not compiler:
            raise SystemExit("a C compiler is needed")
        for name in ("send_parts", "write_parts"):
            subprocess.run([compiler, "-std=c11", "-O2", "-Wall", "-pthread", "-o",
                            str(self.tools / name), str(SOURCES / f"{name}.c")], check=True)
        self.archives = {}

    def archive(self, byte_count):
        """A file of this size, and its SHA-256."""
        if byte_count not in self.archives:
            path, data = self.server.folder / f"archive-{byte_count}", archive(byte_count)
            path.write_bytes(data)
            self.archives[byte_count] = (path, hashlib.sha256(data).hexdigest())
        return self.archives[byte_count]

    def json_of(self, name, *arguments, text=""):
        # What runs before is not to be written while this one is measured.
        os.sync()
        done = subprocess.run([str(self.tools / name), *map(str, arguments)], input=text,
                              check=True, stdout=subprocess.PIPE, text=True, timeout=1800)
        return json.loads(done.stdout)

    def ours(self, way, count, byte_count):
        path, digest = self.archive(byte_count)
        lines = self.devices.declare(count, byte_count, digest)
        cpu = self.server.cpu_seconds()
        with MemoryWatch(self.server.process.pid) as memory:
            found = self.json_of("send_parts", self.devices.url.port, path,
                                 self.options.piece_bytes, way, text=lines)
        found["server_cpu_seconds"] = self.server.cpu_seconds() - cpu
        found["rss_seen"], found["rss_peak"] = memory.seen, memory.peak
        return found

    def peer(self, source, way, count, byte_count):
        return self.json_of("write_parts", self.peer_folder, self.archive(byte_count)[0], count,
                            self.options.piece_bytes, way, source)

    def runs(self, ways):
        """What takes turns: name, and how."""
        syncs = sorted({"appends" if way == "appends" else "whole" for way in ways})
        peers = {f"{name}_{way}": (lambda *run, source=source, way=way: self.peer(source, way, *run))
                 for way in syncs for name, source in (("c", "memory"), ("c_socket", "socket"))}
        return peers | {way: (lambda *run, way=way: self.ours(way, *run)) for way in ways}


def measure(bench_run, count, byte_count, idle):
    """All in turn, as often as asked for; the run in the middle is the figure, the most memory the bound's."""
    runs = bench_run.runs(bench_run.options.ways)
    found = {name: [] for name in runs}
    for _ in range(bench_run.options.rounds):
        for name, run in runs.items():
            found[name].append(run(count, byte_count))
    middle = {name: sorted(each, key=lambda run: run["seconds"])[len(each) // 2]
              for name, each in found.items()}
    rates = {name: count * byte_count / 1e6 / run["seconds"] for name, run in middle.items()}
    for name, run in middle.items():
        text = f"{name}[{mib(byte_count)},{count}]"
        if name not in WAYS:
            report(text, rates[name], "MB/s")
            continue
        sync = "appends" if name == "appends" else "whole"
        report(text, rates[name], "MB/s", limit=rates[f"c_{sync}"],
               peer="a C program that writes and syncs")
        report(f"{text}.over_socket", rates[name], "MB/s", limit=rates[f"c_socket_{sync}"],
               peer="the same over loopback")
        if name == "appends":
            for quantile in ("p50", "p99"):
                report(f"{text}.{quantile}", run[f"{quantile}_us"] / 1000, "ms",
                       limit=middle["c_appends"][f"{quantile}_us"] / 1000, peer="the C program's")
        report(f"{text}.client_cpu", run["cpu_seconds"] / run["seconds"], "cores")
        report(f"{text}.server_cpu", run["server_cpu_seconds"] / run["seconds"], "cores")
        bound = RSS_ONE if count == 1 else RSS_MANY
        for kind in ("seen", "peak"):
            report(f"{text}.rss_{kind}", max(run[f"rss_{kind}"] for run in found[name]), "MiB",
                   limit=idle + bound, peer=f"idle and {bound} MiB")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", type=lambda text: text.split(","), default=list(WAYS),
                        help="of whole, ietf and appends, with commas between")
    parser.add_argument("--part-bytes", type=int, default=64 << 20, help="of the part alone")
    parser.add_argument("--at-once", type=int, default=64, help="parts; 0 leaves them out")
    parser.add_argument("--at-once-bytes", type=int, default=16 << 20, help="of each of these")
    parser.add_argument("--piece-bytes", type=int, default=64 << 10, help="of an append")
    parser.add_argument("--directory", help="on the disk that is to be measured")
    options = parser.parse_args()
    if not set(options.ways) <= set(WAYS):
        parser.error(f"the ways are {', '.join(WAYS)}")
    # Where the server and its database make theirs.
    tempfile.tempdir = options.directory
    with bench.server(options.binary, "--set", "rate-requests=0", "--set",
                      "rate-bytes=0") as server:
        bench_run = Bench(options, server)
        idle = server.rss_mib()
        report("rss_idle", idle, "MiB")
        measure(bench_run, 1, options.part_bytes, idle)
        if options.at_once:
            measure(bench_run, options.at_once, options.at_once_bytes, idle)
        report("rss_after", server.rss_mib(), "MiB", limit=idle + RSS_MANY,
               peer=f"idle and {RSS_MANY} MiB")


main()

"""Measures the way from an upload to a receipt, and in the same run the limits that hold it.

Acknowledging: 32 connections of wrk send bundles of 1,000 devices, sealed beforehand, each once;
listeners stand still meanwhile. Settling: the listeners then work off that backlog.
Limits: a request that the same server answers without work, the median of a sync on the same
disk, binary COPY of all rows settled so far into an empty table with the same columns, keys and
checks over one and two connections (psql's start included), key derivations a second with OpenSSL
on one core.
"""

import argparse
import base64
import concurrent.futures
import hashlib
import io
import json
import os
import pathlib
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid

import pyzipper
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

HERE = pathlib.Path(__file__).parent
POSTGRES = pathlib.Path("/usr/lib/postgresql/15/bin")
CONNECTIONS = 32
THREADS = 2


def report(name, value, unit, limit=None, peer=None):
    ratio = value / limit if limit else None
    print(json.dumps({
        "bench": "spine", "name": name, "value": round(value, 3), "unit": unit,
        "limit": round(limit, 3) if limit else None,
        "ratio": round(ratio, 3) if ratio else None, "peer": peer}), flush=True)


def note(text):
    print(text, file=sys.stderr, flush=True)


def run_as_postgres(command):
    if os.geteuid() == 0:
        command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] + command
    return subprocess.run(command, check=True, capture_output=True, text=True)


class Database:
    """A PostgreSQL of this run's own, on a Unix socket."""

    def __init__(self, folder):
        self.folder = folder / "pg"
        self.folder.mkdir()
        if os.geteuid() == 0:
            os.chmod(folder, 0o755)
            shutil.chown(self.folder, "postgres", "postgres")
        run_as_postgres([str(POSTGRES / "initdb"), "-D", str(self.folder / "data"), "-U",
                         "waybill", "-A", "trust", "-E", "UTF8", "--no-locale"])
        options = (f"-c listen_addresses='' -c unix_socket_directories={self.folder} "
                   "-c shared_buffers=256MB -c max_wal_size=4GB")
        run_as_postgres([str(POSTGRES / "pg_ctl"), "-D", str(self.folder / "data"), "-w", "-l",
                         str(self.folder / "log"), "-o", options, "start"])
        self.url = f"postgresql://waybill@/postgres?host={self.folder}"

    def query(self, sql):
        return subprocess.run(["psql", "-X", "-A", "-t", "-q", self.url, "-c", sql], check=True,
                              capture_output=True, text=True).stdout.strip()

    def stop(self):
        run_as_postgres([str(POSTGRES / "pg_ctl"), "-D", str(self.folder / "data"), "-m", "fast",
                         "stop"])


class Server:
    """`waybill serve` on ports of its own."""

    def __init__(self, binary, folder, database):
        self.binary, self.data = binary, folder / "data"
        self.log = open(folder / "server.log", "wb")
        self.process = subprocess.Popen(
            [binary, "serve", "--data-dir", str(self.data), "--device-address", "127.0.0.1:0",
             "--admin-address", "127.0.0.1:0", "--database-url", database.url, "--set",
             "listeners=0", "--set", "log-level=warning"],
            stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"the server did not start; see {folder / 'server.log'}")
        self.urls = json.loads((self.data / "admin.json").read_text())

    def command(self, *words):
        out = subprocess.run([self.binary, *words, "--data-dir", str(self.data), "--output",
                              "json"], check=True, capture_output=True, text=True).stdout
        return json.loads(out) if out.strip() else None

    def admin(self, method, path, body=None):
        """A call of the operator's side: starting a program for it would cost what is measured."""
        request = urllib.request.Request(
            self.urls["admin_url"] + "/admin/v1" + path, method=method,
            data=json.dumps(body).encode() if body else None,
            headers={"Authorization": "Bearer " + self.urls["token"],
                     "Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def rss_mib(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)


def enroll(base, code):
    body = json.dumps({"code": code, "name": "bench", "request_id": str(uuid.uuid4())}).encode()
    request = urllib.request.Request(base + "/v1/enrollments", body,
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def seal(arguments):
    device, size, sequence = arguments
    bundle = uuid.uuid4()
    secret = base64.urlsafe_b64decode(device["secret"] + "=")
    info = f"waybill/v1/part/{device['tenant']}/{device['device_id']}/{device['epoch']}/1"
    key = HKDF(hashes.SHA256(), 32, bundle.bytes, info.encode()).derive(secret)
    password = base64.urlsafe_b64encode(key).rstrip(b"=")
    lines = [json.dumps({
        "waybill": 1, "bundle_id": str(bundle), "device_id": device["device_id"], "part": 1,
        "parts": 1, "transactions": size, "device_seq": sequence,
        "sealed_at": "2026-11-21T03:00:00Z"})]
    for number in range(size):
        lines.append(json.dumps({
            "id": str(uuid.uuid4()), "type": "visit.completed",
            "occurred_at": "2026-11-21T02:59:00.123+05:30",
            "payload": {"patient": f"p-{number:06}", "clinic": "Rampur 4", "weight": 61.5,
                        "systolic": 118, "diastolic": 76, "medicines": ["ORS", "zinc"],
                        "note": "follow up in two weeks; referred to the district hospital",
                        "number": number, "follow_up": True}}))
    archive = io.BytesIO()
    with pyzipper.AESZipFile(archive, "w", compression=pyzipper.ZIP_DEFLATED,
                             encryption=pyzipper.WZ_AES) as file:
        file.setpassword(password)
        file.writestr("bundle.ndjson", "\n".join(lines).encode())
    part = archive.getvalue()
    head = ("POST /v1/bundles HTTP/1.1\r\nHost: bench\r\nContent-Type: application/zip\r\n"
            f"Idempotency-Key: \"{bundle}\"\r\nAuthorization: Bearer {device['token']}\r\n"
            f"Content-Length: {len(part)}\r\n\r\n")
    return head.encode() + part


def wrk(script, url, seconds, *arguments):
    out = subprocess.run(
        ["wrk", "-t", str(THREADS), "-c", str(CONNECTIONS), "-d", f"{seconds}s", "--timeout",
         "30s", "-s", str(HERE / script), url, "--", *arguments],
        capture_output=True, text=True)
    for line in out.stdout.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line[7:])
    sys.exit(f"wrk failed: {out.stdout}{out.stderr}")


def median_sync_seconds(folder):
    file = os.open(folder / "sync-probe", os.O_WRONLY | os.O_CREAT)
    times = []
    for _ in range(1000):
        os.write(file, bytes(4096))
        start = time.perf_counter()
        os.fdatasync(file)
        times.append(time.perf_counter() - start)
    os.close(file)
    return statistics.median(times)


def derivations_per_second():
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < 2:
        hashlib.pbkdf2_hmac("sha1", b"x" * 43, count.to_bytes(16, "big"), 1000, 66)
        count += 1
    return count / (time.perf_counter() - start)


def copy_rows_per_second(database, folder, connections):
    """COPY of the settled rows, in binary, into an empty table of the same shape."""
    total = int(database.query("select count(*) from waybill.transactions"))
    files = []
    for number in range(connections):
        path = database.folder / f"rows-{connections}-{number}.bin"
        database.query(
            "copy (select * from waybill.transactions where get_byte(uuid_send(id), 15) % "
            f"{connections} = {number} order by tenant_id, id) to '{path}' (format binary)")
        files.append(path)
    database.query("create table waybill.copy_probe (like waybill.transactions including all)")
    start = time.perf_counter()
    copies = [subprocess.Popen(["psql", "-X", "-q", database.url, "-c",
                                f"copy waybill.copy_probe from '{path}' (format binary)"])
              for path in files]
    if any(copy.wait() != 0 for copy in copies):
        sys.exit("COPY of the settled rows failed")
    elapsed = time.perf_counter() - start
    database.query("drop table waybill.copy_probe")
    for path in files:
        path.unlink()
    return total / elapsed


def drain(server, listeners):
    start = time.perf_counter()
    server.admin("PUT", "/listeners", {"target": listeners})
    while server.admin("GET", "/queue")["depth"] > 0:
        time.sleep(0.02)
    elapsed = time.perf_counter() - start
    server.admin("PUT", "/listeners", {"target": 0})
    return elapsed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--listeners", type=int, default=2)
    parser.add_argument("--bundles", default="1:8000,100:4000,1000:600",
                        help="transactions in a bundle : bundles")
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="waybill-bench-"))
    database = Database(folder)
    server = Server(options.binary, folder, database)
    try:
        measure(options, folder, database, server)
    finally:
        server.stop()
        database.stop()
        shutil.rmtree(folder, ignore_errors=True)


def measure(options, folder, database, server):
    base = server.urls["device_url"]
    server.command("tenant", "create", "bench")
    codes = server.command("device", "invite", "--tenant", "bench", "--count",
                           str(options.devices))
    note(f"enrolling {options.devices} devices")
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        devices = list(pool.map(lambda code: enroll(base, code["code"]), codes))
    sync = median_sync_seconds(folder)
    report("median_sync", sync * 1e6, "us")
    derivations = derivations_per_second()
    report("key_derivations", derivations, "1/s")
    sequence = 0
    for plan in options.bundles.split(","):
        size, count = map(int, plan.split(":"))
        note(f"sealing {count} bundles of {size}")
        jobs = [(devices[n % len(devices)], size, sequence + n // len(devices) + 1)
                for n in range(count)]
        sequence += (count + len(devices) - 1) // len(devices)
        with concurrent.futures.ProcessPoolExecutor(2) as pool:
            requests = list(pool.map(seal, jobs, chunksize=50))
        for thread in range(THREADS):
            (folder / f"requests.{thread}.done").unlink(missing_ok=True)
            with open(folder / f"requests.{thread}", "wb") as file:
                for request in requests[thread::THREADS]:
                    file.write(struct.pack(">I", len(request)) + request)
        empty = wrk("get.lua", base + "/.well-known/waybill-keys.json", 5)
        empty_rate = empty["answered"] / (empty["duration_us"] / 1e6)
        report(f"empty_handler[{size}]", empty_rate, "1/s")
        result = wrk("acknowledge.lua", base, 120, str(folder / "requests"), str(THREADS))
        if result["answered"] != count:
            sys.exit(f"{count} bundles sent, {result['answered']} acknowledged")
        rate = result["answered"] / (result["duration_us"] / 1e6)
        report(f"acknowledged[{size}]", rate, "bundles/s",
               limit=min(empty_rate, CONNECTIONS / (2 * sync)))
        report(f"acknowledge_p50[{size}]", result["p50_us"] / 1000, "ms")
        report(f"acknowledge_p99[{size}]", result["p99_us"] / 1000, "ms")
        before = int(database.query("select count(*) from waybill.transactions"))
        elapsed = drain(server, options.listeners)
        stored = int(database.query("select count(*) from waybill.transactions")) - before
        if stored != size * count:
            sys.exit(f"{size * count} transactions sent, {stored} stored")
        if size == 1:
            report(f"settled[{size}]", stored / elapsed, "tx/s", limit=derivations,
                   peer="key derivations on one core")
        else:
            copy = copy_rows_per_second(database, folder, 2)
            report(f"copy_two_connections[{size}]", copy, "rows/s")
            report(f"copy_one_connection[{size}]", copy_rows_per_second(database, folder, 1),
                   "rows/s")
            report(f"settled[{size}]", stored / elapsed, "tx/s", limit=copy,
                   peer="COPY over two connections")
    report("server_rss", server.rss_mib(), "MiB")


main()

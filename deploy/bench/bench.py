"""What benches share: a PostgreSQL and a server of their own, runs of `waybill load`, output."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

POSTGRES = pathlib.Path("/usr/lib/postgresql/15/bin")
COLUMNS = ("tenant_id, id, device_id, bundle_id, bundle_index, occurred_at, settled_at, feed, "
           "offset_minutes, content_key, content_hash, type, actor, payload, content_type, body, "
           "emptied_at")


def note(text):
    print(text, file=sys.stderr, flush=True)


class Output:
    """One JSON object a line."""

    def __init__(self, bench):
        self.bench = bench

    def __call__(self, name, value, unit, limit=None, peer=None):
        ratio = value / limit if limit else None
        print(json.dumps({
            "bench": self.bench, "name": name, "value": round(value, 3), "unit": unit,
            "limit": round(limit, 3) if limit else None,
            "ratio": round(ratio, 3) if ratio else None, "peer": peer}), flush=True)


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

    def psql(self, sql):
        """Begins a query in a process of its own."""
        return subprocess.Popen(["psql", "-X", "-q", self.url, "-c", sql])

    def stop(self):
        run_as_postgres([str(POSTGRES / "pg_ctl"), "-D", str(self.folder / "data"), "-m", "fast",
                         "stop"])


class Server:
    """`waybill serve` on ports of its own."""

    def __init__(self, binary, folder, database, *arguments):
        self.binary, self.folder, self.data = binary, folder, folder / "data"
        self.database = database
        self.log = open(folder / "server.log", "wb")
        self.process = subprocess.Popen(
            [binary, "serve", "--data-dir", str(self.data), "--device-address", "127.0.0.1:0",
             "--admin-address", "127.0.0.1:0", "--database-url", database.url, "--set",
             "listeners=0", "--set", "log-level=warning", *arguments],
            stdout=subprocess.PIPE, stderr=self.log, text=True)
        if not self.process.stdout.readline():
            # The folder is gone after the bench.
            text = (folder / "server.log").read_text(errors="replace")
            sys.exit(f"the server did not start:\n{text[-4000:]}")
        urls = json.loads((self.data / "admin.json").read_text())
        self.device_url, self.admin_url, self.token = (
            urls["device_url"], urls["admin_url"], urls["token"])

    def limits(self, connections):
        """What the machine can do, and this server without work."""
        out = subprocess.run(
            [self.binary, "load", "limits", "--directory", str(self.folder), "--server-url",
             self.device_url, "--connections", str(connections), "--output", "json"],
            check=True, stdout=subprocess.PIPE, text=True).stdout
        return json.loads(out)

    def load(self, plan, devices_file="devices.json"):
        """Runs a plan; its report. A finding of the audit ends the bench."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            file = pathlib.Path(folder) / "plan.yaml"
            # JSON is YAML.
            file.write_text(json.dumps(plan))
            done = subprocess.run(
                [self.binary, "load", "run", "--plan", str(file), "--server-url", self.device_url,
                 "--admin-url", self.admin_url, "--database-url", self.database.url,
                 "--devices-file", str(self.folder / devices_file), "--report-dir", folder],
                env=os.environ | {"WAYBILL_ADMIN_TOKEN": self.token}, stdout=subprocess.DEVNULL)
            if done.returncode != 0:
                sys.exit(f"waybill load ended with {done.returncode}")
            return json.loads((pathlib.Path(folder) / "report.json").read_text())

    def rss_mib(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")")[-1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)


@contextlib.contextmanager
def server(binary, *arguments):
    """A server and its database, gone afterwards."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="waybill-bench-"))
    database = Database(folder)
    try:
        running = Server(binary, folder, database, *arguments)
        try:
            yield running
        finally:
            running.stop()
    finally:
        database.stop()
        shutil.rmtree(folder, ignore_errors=True)


def latency(report, name):
    return next(each for each in report["latencies"] if each["name"] == name)

"""`waybill serve` as a process under test, and a PostgreSQL of the test's own."""

import atexit
import glob
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import requests

from stranger import Device, checked, enroll

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("WAYBILL_BIN", str(ROOT / ".build/debug/waybill"))
READY_SECONDS = 120


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(*arguments, stdin=None, environment=None, check=True, timeout=120):
    """One call of the command line; its result with text output."""
    result = subprocess.run(
        [BINARY, *map(str, arguments)], input=stdin, capture_output=True, timeout=timeout,
        env={**os.environ, **(environment or {})},
        text=not isinstance(stdin, bytes))
    if check:
        assert result.returncode == 0, (arguments, result.returncode, result.stderr)
    return result


class Server:
    """A server with a fixed address, so that devices find it again after a restart."""

    def __init__(self, directory, *options):
        self.data = str(directory)
        self.options = options
        self.device_address = f"127.0.0.1:{free_port()}"
        self.admin_address = f"127.0.0.1:{free_port()}"
        self.process = None
        # What the line of a ready server names for devices: its address, or the URL that it was given.
        self.announced = self.device_address
        # Words before the command, such as `prlimit …`.
        self.prefix = []
        self.starts = 0
        atexit.register(self.remove_database)

    def start(self):
        self.starts += 1
        log = open(self.data + ".log", "ab")
        self.process = subprocess.Popen(
            [*self.prefix, BINARY, "serve", "--data-dir", self.data, "--device-address", self.device_address,
             "--admin-address", self.admin_address, *self.options],
            stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True)
        log.close()
        began = time.monotonic()
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(
                f"serve ended with {self.process.wait()}: {self.log_tail()}")
        assert self.announced in line and self.admin_address in line, line
        assert time.monotonic() - began < READY_SECONDS
        self.address = json.loads(pathlib.Path(self.data, "admin.json").read_text())
        return self

    def log_tail(self):
        return pathlib.Path(self.data + ".log").read_text(errors="replace")[-2000:]

    def kill(self):
        """Pulls the plug of the process, not of its database."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def stop(self):
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        self.process.stdout.close()
        return code

    def remove_database(self):
        """The private PostgreSQL's files, where they had to go to another place than asked for."""
        location = pathlib.Path(self.data, "postgres", "LOCATION")
        if location.exists() and not self.is_running:
            shutil.rmtree(location.read_text().strip(), ignore_errors=True)

    @property
    def is_running(self):
        return self.process is not None and self.process.poll() is None

    @property
    def device_url(self):
        return self.address["device_url"].rstrip("/")

    @property
    def admin_url(self):
        return self.address["admin_url"].rstrip("/")

    def admin(self, method, path, **options):
        return requests.request(
            method, self.admin_url + path, timeout=30,
            headers={"Authorization": f"Bearer {self.address['token']}"}, **options)

    def command(self, *arguments, **options):
        return run(*arguments, "--data-dir", self.data, **options)

    def json(self, *arguments):
        return json.loads(self.command(*arguments, "--output", "json").stdout)

    def create_tenant(self, name):
        self.command("tenant", "create", name)
        return name

    def codes(self, tenant, count=1):
        return [
            invitation["code"]
            for invitation in self.json("device", "invite", "--tenant", tenant, "--count", count)
        ]

    def new_device(self, tenant, name="stranger"):
        return Device(enroll(self.device_url, self.codes(tenant)[0], name))

    def row_count(self, tenant):
        path = f"/admin/v1/tenants/{tenant}/transactions/count"
        return checked(self.admin("GET", path)).json()["count"]


class Postgres:
    """A database server of the test's own, under an unprivileged user, on a Unix socket alone."""

    def __init__(self):
        self.binaries = self.find_binaries()
        self.directory = tempfile.mkdtemp(prefix="wbpg", dir="/tmp")
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() == 0:
            shutil.chown(self.directory, "postgres")
            os.chmod(self.directory, 0o755)
        self.data = self.directory + "/data"
        self.call("initdb", "-D", self.data, "-U", "waybill", "-A", "trust", "-E", "UTF8",
                  "--no-sync")
        self.start()
        self.call("createdb", "-h", self.directory, "-p", "5432", "-U", "waybill", "waybill")
        self.url = f"postgresql://waybill@/waybill?host={self.directory}&port=5432"

    @staticmethod
    def find_binaries():
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
        if found:
            return os.path.dirname(found[-1])
        initdb = shutil.which("initdb")
        assert initdb, "PostgreSQL's server programs are not installed"
        return os.path.dirname(initdb)

    def call(self, program, *arguments):
        command = [f"{self.binaries}/{program}", *arguments]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *command]
        subprocess.run(
            command, check=True, cwd="/tmp", stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def rows(self, statement):
        """What a superuser reads: one list of texts a row."""
        result = subprocess.run(
            [f"{self.binaries}/psql", "-X", "-A", "-t", "-F", "\x1f", "-R", "\x1e", "-v",
             "ON_ERROR_STOP=1", "-h", self.directory, "-p", "5432", "-U", "waybill", "-c",
             statement, "waybill"],
            check=True, cwd="/tmp", stdin=subprocess.DEVNULL, capture_output=True, text=True)
        text = result.stdout.removesuffix("\n")
        return [row.split("\x1f") for row in text.split("\x1e")] if text else []

    def start(self):
        self.call(
            "pg_ctl", "-D", self.data, "-w", "-l", self.directory + "/log", "-o",
            f"-c listen_addresses= -c unix_socket_directories={self.directory}", "start")

    def stop(self, mode="immediate"):
        self.call("pg_ctl", "-D", self.data, "-w", "-m", mode, "stop")

    def signal_all(self, number):
        """A signal to the server and all of its processes."""
        postmaster = int(pathlib.Path(self.data, "postmaster.pid").read_text().split()[0])
        children = []
        for status in glob.glob("/proc/[0-9]*/stat"):
            try:
                text = pathlib.Path(status).read_text()
            except OSError:
                continue
            match = re.match(r"(\d+) \(.*\) \S (\d+)", text)
            if match and int(match[2]) == postmaster:
                children.append(int(match[1]))
        for process in [postmaster, *children]:
            try:
                os.kill(process, number)
            except ProcessLookupError:
                pass

    def query(self, sql):
        """What `psql` prints of some statements, run as the owner of everything."""
        result = subprocess.run(
            [f"{self.binaries}/psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", self.url,
             "-c", sql], check=True, capture_output=True, text=True)
        return result.stdout.strip()

    def remove(self):
        shutil.rmtree(self.directory, ignore_errors=True)

"""A server on a PostgreSQL of the test's own, with the devices of one tenant; and how to wait for it."""

import json
import os
import pathlib
import shutil
import subprocess
import time

import pytest

from server import Postgres, Server
from stranger import Device, Refused, enroll


def until(holds, seconds=60, why=None):
    """Polls; what `holds` returned."""
    deadline = time.monotonic() + seconds
    while not (value := holds()):
        assert time.monotonic() < deadline, why or "it does not come"
        time.sleep(0.02)
    return value


def needs(*programs):
    for program in programs:
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed: deploy/prepare.sh does it")


def needs_root(why):
    if os.geteuid() != 0:
        pytest.skip(f"root alone {why}")


def bound_by_permissions():
    """Words before a command under which root, too, may read only what permissions let it."""
    needs_root("can lay down the right to read everything")
    needs("setpriv")
    prefix = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    if subprocess.run([*prefix, "true"], capture_output=True).returncode != 0:
        pytest.skip("root may not lay down rights here")
    return prefix


class Database:
    """One database of a PostgreSQL that several tests share."""

    def __init__(self, postgres, name):
        self.postgres = postgres
        self.binaries = postgres.binaries
        self.name = name
        postgres.call("createdb", "-h", postgres.directory, "-p", "5432", "-U", "waybill", name)
        self.url = f"postgresql://waybill@/{name}?host={postgres.directory}&port=5432"
        # A session in another database of the same PostgreSQL.
        self.elsewhere = postgres

    def query(self, sql):
        return Postgres.query(self, sql)

    def rows(self, statement):
        """One list of values a row."""
        text = self.query(
            f"SELECT coalesce(json_agg(row_to_json(q)), '[]') FROM ({statement}) AS q")
        return [list(row.values()) for row in json.loads(text)]


class Place:
    """A server and its database; `devices` are enrolled in one tenant."""

    def __init__(self, folder, postgres, name, *settings, devices=1, prefix=(), data=None):
        self.database = Database(postgres, name)
        self.server = Server(data or pathlib.Path(folder) / "data", "--database-url", self.database.url)
        self.server.prefix = list(prefix)
        self.set("rate-requests=0", "disk-free-floor=0", *settings)
        self.server.start()
        self.tenant = self.server.create_tenant("acme")
        self.devices = [
            Device(enroll(self.server.device_url, code, f"device {number}"))
            for number, code in enumerate(self.server.codes(self.tenant, devices))]

    @property
    def device(self):
        return self.devices[0]

    def set(self, *settings):
        """Settings from the next start on; later ones win over earlier ones of the same name."""
        known = dict(pair.split("=", 1) for pair in self.server.options[3::2])
        known.update(pair.split("=", 1) for pair in settings)
        self.server.options = list(self.server.options[:2])
        for key, value in known.items():
            self.server.options += ["--set", f"{key}={value}"]

    def listeners(self, count):
        self.server.command("listeners", "set", count)

    def status(self):
        return self.server.json("queue", "status")

    def drained(self, seconds=120):
        """Waits until nothing is left in the queue."""
        until(lambda: self.status()["depth"] == 0, seconds, "the queue does not drain")

    def exit_code(self, seconds=60):
        """Of a server that ends by itself."""
        code = self.server.process.wait(timeout=seconds)
        self.server.process.stdout.close()
        return code

    def log_lines(self):
        """What the server has logged, over all of its starts."""
        lines = pathlib.Path(self.server.data + ".log").read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def close(self):
        if self.server.is_running:
            self.server.stop()


class Holder:
    """A session that holds an advisory lock, as a context."""

    def __init__(self, database, key):
        self.database = database
        self.key = key

    def __enter__(self):
        self.psql = subprocess.Popen(
            [f"{self.database.binaries}/psql", "-XAtq", self.database.url],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.say(f"SELECT pg_advisory_lock({self.key}); SELECT 'held';")
        until(lambda: self.psql.stdout.readline().strip() == "held")
        return self

    def say(self, statements):
        self.psql.stdin.write(statements + "\n")
        self.psql.stdin.flush()

    def __exit__(self, *_):
        self.psql.stdin.close()
        self.psql.stdout.close()
        self.psql.wait()


def settled(device, bundle_id):
    """True once the bundle has a receipt."""
    try:
        device.collect()
    except Refused as refused:
        assert refused.code == "database_unavailable"
    return bundle_id in device.receipts

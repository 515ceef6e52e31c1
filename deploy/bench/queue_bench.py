"""Measures the queue beside the queues that others use, on the same disk and with the same messages.

A sender has one message on its way and sends the next when the last is confirmed. In process the
limit is a C program that only commits the same bytes in groups; over sockets beanstalkd and NATS,
driven by the same client as our queue behind a minimal front. Each figure is taken as the machine
is and with 5 ms added before each fsync and fdatasync. Ours is sealed always, the others never.
Bars (`limit`) are ratios of figures of this run.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

import bench

SOURCES = pathlib.Path(__file__).parent / "queue"
DELAY_US = 5000
WARM_UP_SECONDS = 0.3
report = bench.Output("queue")


def compile_peers(folder):
    for name in ("group_commit", "socket_load", "sync_delay"):
        subprocess.run(["cc", "-std=c11", "-O2", "-Wall", "-pthread", "-o", str(folder / name),
                        str(SOURCES / f"{name}.c")], check=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, process):
    """Until something listens; ends the bench if the process does first."""
    while True:
        if process.poll() is not None:
            raise SystemExit(f"{process.args[0]} ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.01)


def rss_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Bench:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.ours, self.tools = options.queuebench, folder / "tools"
        self.tools.mkdir()
        compile_peers(self.tools)
        self.runs = 0

    def new_folder(self):
        self.runs += 1
        path = self.folder / f"run-{self.runs}"
        path.mkdir()
        return path

    def command(self, arguments, delayed):
        prefix = [str(self.tools / "sync_delay"), str(DELAY_US)] if delayed else []
        return prefix + [str(each) for each in arguments]

    def json_of(self, arguments, delayed=False, timeout=300):
        done = subprocess.run(self.command(arguments, delayed), check=True,
                              stdout=subprocess.PIPE, text=True, timeout=timeout)
        return json.loads(done.stdout.splitlines()[-1])

    # In process: each takes senders, bytes, delayed.

    def appended(self, via, senders, size, delayed):
        folder = self.new_folder()
        try:
            return self.json_of(
                [self.ours, "append", "--directory", folder / "log", "--via", via, "--senders",
                 senders, "--bytes", size, "--seconds", self.options.seconds], delayed)
        finally:
            shutil.rmtree(folder)

    def group_commit(self, senders, size, delayed, *threads):
        folder = self.new_folder()
        try:
            return self.json_of([self.tools / "group_commit", folder / "file", senders, size,
                                 self.options.seconds, *threads], delayed)
        finally:
            shutil.rmtree(folder)

    # Over sockets.

    @contextlib.contextmanager
    def running(self, arguments, delayed, **others):
        process = subprocess.Popen(self.command(arguments, delayed), **others)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=60)

    @contextlib.contextmanager
    def front(self, folder, delayed):
        with self.running([self.ours, "front", "--directory", folder / "log"], delayed, text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            yield process.pid, "front", int(json.loads(process.stdout.readline())["port"])
            process.stdin.close()
            process.wait(timeout=60)

    @contextlib.contextmanager
    def beanstalkd(self, folder, delayed, *sync):
        port = free_port()
        with self.running(["beanstalkd", "-l", "127.0.0.1", "-p", port, "-b", folder, "-z",
                           1 << 20, *sync], delayed, stderr=subprocess.DEVNULL) as process:
            wait_for(port, process)
            yield process.pid, "beanstalkd", port

    @contextlib.contextmanager
    def nats(self, folder, delayed, sync=""):
        port = free_port()
        (folder / "nats.conf").write_text(
            f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{folder}/store"\n {sync} }}\n')
        with self.running([self.options.nats, "-c", folder / "nats.conf"], delayed,
                          stderr=subprocess.DEVNULL) as process:
            wait_for(port, process)
            yield process.pid, "nats", port

    def over_sockets(self, server, senders, size, delayed, *arguments):
        folder = self.new_folder()
        try:
            with server(folder, delayed, *arguments) as (pid, protocol, port):
                before = cpu_seconds(pid)
                found = self.json_of([self.tools / "socket_load", protocol, port, senders, size,
                                      self.options.seconds])
                # Delayed, the process is not the server but what delays it.
                found["server_cpu_seconds"] = None if delayed else cpu_seconds(pid) - before
                return found
        finally:
            shutil.rmtree(folder)

    def peers(self):
        """What is measured: name, and how."""
        in_process = {
            "queue": lambda *run: self.appended("queue", *run),
            "log": lambda *run: self.appended("log", *run),
            "group_commit": self.group_commit,
        }
        sockets = {
            "queue_socket": lambda *run: self.over_sockets(self.front, *run),
            "beanstalkd_f0": lambda *run: self.over_sockets(self.beanstalkd, *run, "-f0"),
            "beanstalkd": lambda *run: self.over_sockets(self.beanstalkd, *run),
            "nats_always": lambda *run: self.over_sockets(
                self.nats, *run, "sync_interval: always"),
            "nats": lambda *run: self.over_sockets(self.nats, *run),
        }
        chosen = self.options.only.split(",") if self.options.only else None
        return {name: run for name, run in (in_process | sockets).items()
                if not chosen or name in chosen}


# What each figure must come to: (name, senders, bytes, delayed) → peer's (…), and how much of it.
BARS = {
    ("queue", 256, 1024, True): (("queue", 1, 1024, True), 80, "80 times one sender"),
    ("log", 256, 1024, True): (("log", 1, 1024, True), 80, "80 times one sender"),
    ("queue", 256, 1024, False): (
        ("group_commit", 256, 1024, False), 0.5, "half of the C program"),
    ("log", 256, 1024, False): (
        ("group_commit", 256, 1024, False), 0.5, "half of the C program"),
    ("queue_socket", 256, 1024, False): (
        ("beanstalkd_f0", 256, 1024, False), 3, "three times beanstalkd -f0"),
}


def label(name, senders, size, delayed):
    return f"{name}[{size >> 10}KiB,{senders}{',5ms' if delayed else ''}]"


def print_figures(key, found, rates):
    name, senders, size, delayed = key
    limit = peer = None
    if key in BARS and BARS[key][0] in rates:
        other, times, peer = BARS[key]
        limit = times * rates[other]
    text = label(*key)
    report(text, rates[key], "1/s", limit=limit, peer=peer)
    has_bar = delayed and senders == 256 and size == 1024 and name in ("queue", "log")
    report(f"{text}.p50", found["p50_us"] / 1000, "ms")
    report(f"{text}.p99", found["p99_us"] / 1000, "ms", limit=15 if has_bar else None,
           peer="the issue" if has_bar else None)
    # The run and its warm-up; whoever is pressed for time by neighbours still has a true cost.
    seconds = found["seconds"] + WARM_UP_SECONDS
    cpu = found["cpu_seconds"]
    if name not in ("queue", "log", "group_commit"):
        report(f"{text}.client_cpu", cpu / seconds, "cores")
        cpu = found["server_cpu_seconds"]
    if cpu is not None and rates[key]:
        report(f"{text}.cpu", 1e6 * cpu / seconds / rates[key], "us/message")


def measure_appends(bench_run):
    options, rates = bench_run.options, {}
    for size in options.sizes:
        for delayed in (False, True):
            for senders in options.senders:
                measure_side_by_side(bench_run, senders, size, delayed, rates)
    key = ("queue_socket", 256, 1024, False)
    unsynced = rates.get(("nats", 256, 1024, False))
    if key in rates and unsynced:
        report(label(*key) + ".over_nats", rates[key], "1/s", limit=unsynced,
               peer="NATS without sync")


def measure_side_by_side(bench_run, senders, size, delayed, rates):
    """All peers in turn, as often as asked for; the run in the middle is the figure."""
    found = {name: [] for name in bench_run.peers()}
    for _ in range(bench_run.options.rounds):
        for name, run in bench_run.peers().items():
            found[name].append(run(senders, size, delayed))
    middle = {}
    for name, runs in found.items():
        runs.sort(key=lambda run: run["confirmed"] / run["seconds"])
        key = (name, senders, size, delayed)
        middle[key] = runs[len(runs) // 2]
        rates[key] = middle[key]["confirmed"] / middle[key]["seconds"]
    for key, figures in middle.items():
        print_figures(key, figures, rates)
    if "group_commit" in found and senders == 256:
        few = bench_run.group_commit(senders, size, delayed, 2)
        report(label("group_commit_two_threads", senders, size, delayed),
               few["confirmed"] / few["seconds"], "1/s")


def measure_serve(bench_run):
    """POST /bundles to the real server, bundles of one transaction; listeners stand still."""
    with bench.server(bench_run.options.waybill) as server:
        for connections in (32, 256):
            found = server.load({
                "devices": 1000, "connections": connections, "bundles": 8000,
                "mix": [{"transactions": 1}], "seals_in_advance": True, "holds_listeners": True,
                "listeners": 2, "objectives": ["findings==0"]})
            text = f"serve[{connections}]"
            report(text, found["totals"]["acknowledged_per_second"], "bundles/s")
            latency = bench.latency(found, "ack_uncorrected")
            report(f"{text}.p50", latency["p50"], "ms")
            report(f"{text}.p99", latency["p99"], "ms")


def measure_drain(bench_run):
    for size, bundles in ((1024, 200_000), (256 << 10, 2_000)):
        for threads in (1, 4):
            folder = bench_run.new_folder()
            found = bench_run.json_of(
                [bench_run.ours, "drain", "--directory", folder / "log", "--threads", threads,
                 "--bundles", bundles, "--bytes", size])
            shutil.rmtree(folder)
            text = f"drain[{size >> 10}KiB,{threads}]"
            rate = found["bundles"] / found["seconds"]
            report(text, rate, "bundles/s")
            report(f"{text}.bytes", rate * size / (1 << 20), "MiB/s")


def opened(bench_run, folder, key):
    """Seconds until a process has opened the queue, and its memory then."""
    began = time.perf_counter()
    with bench_run.running(
            [bench_run.ours, "open", "--directory", folder, "--key", key], False, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        found = json.loads(process.stdout.readline())
        ready, rss = time.perf_counter() - began, rss_mib(process.pid)
        process.stdin.close()
        process.wait(timeout=600)
    return ready, rss, int(found["bundles"])


def served(bench_run, folder):
    """Seconds until `waybill serve` is ready with what lies in its data directory, and its memory."""
    place = bench_run.new_folder()
    # The database runs as another user, who has to get there.
    for each in (bench_run.folder, place):
        each.chmod(0o755)
    # One for each: a database belongs to the root key of one data directory.
    database = bench.Database(place)
    try:
        began = time.perf_counter()
        server = bench.Server(bench_run.options.waybill, folder, database)
        try:
            return time.perf_counter() - began, server.rss_mib()
        finally:
            server.stop()
    finally:
        database.stop()


def compare_openings(what, empty, full):
    report(f"{what}.ready_empty", empty[0], "s")
    report(f"{what}.ready", full[0], "s", limit=5, peer="the issue")
    report(f"{what}.rss_empty", empty[1], "MiB")
    report(f"{what}.rss", full[1], "MiB", limit=empty[1] + 100, peer="empty and 100 MiB")


def measure_backlog(bench_run):
    options, folders = bench_run.options, {}
    for name, backlog in (("empty", 1024), ("full", options.backlog)):
        folder = folders[name] = bench_run.new_folder()
        for each in ("data", "data/keys"):
            (folder / each).mkdir(mode=0o700)
        found = bench_run.json_of(
            [bench_run.ours, "fill", "--directory", folder / "data/log", "--key",
             folder / "data/keys/master.key", "--backlog", backlog, "--devices", 10_000],
            timeout=3600)
        bench.note(f"filled with {found['bundles']:.0f} bundles in {found['seconds']:.0f} s")
    text = f"backlog[{options.backlog / (1 << 30):g}GiB]"
    key = "data/keys/master.key"
    empty, full = (opened(bench_run, folders[name] / "data/log", folders[name] / key)
                   for name in ("empty", "full"))
    if full[2] != options.backlog // 1024:
        raise SystemExit(f"the queue was opened with {full[2]} bundles")
    compare_openings(text, empty, full)
    empty, full = (served(bench_run, folders[name]) for name in ("empty", "full"))
    compare_openings(f"{text}.serve", empty, full)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("queuebench")
    parser.add_argument("waybill")
    parser.add_argument("nats", help="the nats-server")
    parser.add_argument("--only", help="names of figures, with commas between; all if left out")
    parser.add_argument("--parts", default="appends,serve,drain,backlog",
                        help="what is measured")
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--senders", type=int, nargs="+", default=[1, 32, 256])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 256 << 10])
    parser.add_argument("--backlog", type=int, default=10 << 30, help="bytes of 1 KiB records")
    parser.add_argument("--directory", help="on the disk that is to be measured")
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="waybill-bench-", dir=options.directory))
    try:
        bench_run = Bench(options, folder)
        parts = options.parts.split(",")
        if "appends" in parts:
            measure_appends(bench_run)
        if "serve" in parts:
            measure_serve(bench_run)
        if "drain" in parts:
            measure_drain(bench_run)
        if "backlog" in parts:
            measure_backlog(bench_run)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


main()

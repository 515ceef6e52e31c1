"""FAULTS.md on the real process: what the disk under the queue does wrong.

Faults come from libfiu, which stands between the server and the C library; a small or read-only disk is a real
one. Power cuts and damage at every call are the simulator's: here the page cache lives on.
"""

import concurrent.futures
import errno
import os
import pathlib
import secrets
import subprocess

import pytest

from ledger import Ledger, Load
from place import bound_by_permissions, needs, needs_root, settled, until
from server import BINARY, run
from stranger import transaction

FIU = "/usr/lib/fiu/fiu_run_preload.so /usr/lib/fiu/fiu_posix_preload.so"


class Faults:
    """Makes calls of a running server fail."""

    def __init__(self, folder):
        needs("fiu-ctrl")
        if not all(os.path.exists(library) for library in FIU.split()):
            pytest.skip("libfiu is not where Debian has it")
        self.fifo = f"{folder}/fiu"
        self.prefix = ["env", f"FIU_CTRL_FIFO={self.fifo}", f"LD_PRELOAD={FIU}"]

    def tell(self, server, command):
        subprocess.run(["fiu-ctrl", "-f", self.fifo, "-c", command, str(server.process.pid)],
                       check=True, capture_output=True, timeout=20)

    def fail(self, server, point, number=None, once=False):
        words = [f"name=posix/io/{point}"]
        if number:
            words.append(f"failinfo={number}")
        if once:
            words.append("onetime")
        self.tell(server, "enable " + ",".join(words))


@pytest.fixture
def faults(tmp_path):
    return Faults(tmp_path)


def upload_at_once(ledger, devices, count):
    """Several bundles at the same time; the statuses, None without an answer."""
    sealed = [
        (device, *ledger.seal(device, [transaction()]))
        for device in devices for _ in range(count)]
    with concurrent.futures.ThreadPoolExecutor(len(sealed)) as threads:
        return list(threads.map(lambda one: ledger.post(*one), sealed))


def settles_everything(place, ledger, **options):
    """Starts the server without faults: all that was acknowledged is there, and it goes on."""
    place.server.prefix = []
    place.set("listeners=2")
    place.server.start()
    ledger.upload(place.device)
    place.drained()
    ledger.check(place.database, **options)


# Where the server leaves, with what it has acknowledged safe: a sync, a write, and the sync of a directory.
FATAL = {
    "13 fdatasync": ("sync/fdatasync", errno.EIO, True),
    "13 fdatasync for want of space": ("sync/fdatasync", errno.ENOSPC, True),
    "15 pwrite": ("rw/pwrite", errno.EIO, True),
    "18 a disk that turns read-only": ("rw/pwrite", errno.EROFS, False),
}


@pytest.mark.parametrize("case", FATAL)
def test_case_13_14_15_18_after_a_failed_sync_or_write_nobody_is_told_and_a_restart_has_all(
        make_place, faults, case):
    point, number, once = FATAL[case]
    place = make_place("listeners=0", devices=4, prefix=faults.prefix)
    ledger = Ledger()
    with Load(ledger, place.devices):
        until(lambda: len(ledger.acknowledged) > 20)
    faults.fail(place.server, point, number, once)
    answers = upload_at_once(ledger, place.devices, 4)
    assert 202 not in answers, "somebody was told"
    assert place.exit_code() == 1, "it leaves: what is on disk is known only after a restart"
    assert any(line["level"] == "critical" and "log failed" in line["message"]
               for line in place.log_lines())
    settles_everything(place, ledger)


def test_case_13_control_a_server_that_does_not_sync_is_noticed(make_place, faults):
    """Under eatmydata, which swallows every sync, the same failures do not keep anybody from being told."""
    library = "/usr/lib/x86_64-linux-gnu/libeatmydata.so"
    if not os.path.exists(library):
        pytest.skip("eatmydata is not installed: deploy/prepare.sh does it")
    faults.prefix[-1] = f"LD_PRELOAD={library} {FIU}"
    place = make_place("listeners=0", devices=2, prefix=faults.prefix)
    ledger = Ledger()
    ledger.upload(place.device)
    faults.fail(place.server, "sync/fdatasync", errno.EIO)
    assert set(upload_at_once(ledger, place.devices, 4)) == {202}


def test_case_13_a_failed_sync_of_the_directory_of_a_new_segment(make_place, faults):
    place = make_place("listeners=0", "segment-bytes=1MiB", devices=2, prefix=faults.prefix)
    ledger = Ledger()
    ledger.upload(place.device)
    faults.fail(place.server, "sync/fsync", errno.EIO)
    statuses = []
    while 202 in statuses or not statuses:
        statuses = []
        for device in place.devices:
            statuses.append(ledger.post(device, *ledger.seal(device, [large()])))
        assert len(ledger.acknowledged) < 100, "no new segment is made"
    assert place.exit_code() == 1
    settles_everything(place, ledger)


def large():
    return transaction(secrets.token_hex(100_000))


def test_case_15_short_and_interrupted_writes_cost_nothing(make_place, faults):
    place = make_place("listeners=0", "segment-bytes=1MiB", devices=3, prefix=faults.prefix)
    ledger = Ledger()
    for command in ("enable_random name=posix/io/rw/pwrite/reduce,probability=0.5",
                    f"enable_random name=posix/io/rw/pwrite,probability=0.3,failinfo={errno.EINTR}"):
        faults.tell(place.server, command)
        for _ in range(3):
            for device in place.devices:
                ledger.upload(device, large())
                ledger.upload(device)
    place.server.kill()
    settles_everything(place, ledger, order=True)


def test_case_15_a_rename_that_fails_refuses_and_goes_on(make_place, faults):
    """A new segment cannot get its name: those who wait are told to come again, nobody else notices."""
    place = make_place("listeners=0", "segment-bytes=1MiB", prefix=faults.prefix)
    ledger = Ledger()
    ledger.upload(place.device)
    faults.fail(place.server, "dir/rename", errno.EIO)
    refused = 0
    while not refused:
        status = ledger.post(place.device, *ledger.seal(place.device, [large()]))
        assert status in (202, 500, 503, 507), status
        refused += status != 202
        assert len(ledger.acknowledged) < 100, "no new segment is made"
    faults.tell(place.server, "disable name=posix/io/dir/rename")
    ledger.upload(place.device, large())
    place.listeners(2)
    place.drained()
    ledger.check(place.database)
    assert place.server.stop() == 0


# -- real disks


class Disk:
    """A file system in memory or in a file, for one test."""

    def __init__(self, folder, size, kind):
        needs_root("mounts file systems")
        self.path = pathlib.Path(folder) / "disk"
        self.path.mkdir()
        self.image = pathlib.Path(folder) / "image"
        self.command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", self.path]
        if kind == "ext4":
            needs("mkfs.ext4", "findmnt")
            with open(self.image, "wb") as file:
                file.truncate(size)
            subprocess.run(["mkfs.ext4", "-q", "-F", self.image], check=True, capture_output=True)
            self.command = ["mount", "-o", "loop,errors=remount-ro", self.image, self.path]
        done = subprocess.run(self.command, capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        self.data = self.path / "data"

    def repair(self):
        """What an operator does after an error of the file system."""
        self.unmount()
        subprocess.run(["e2fsck", "-p", "-f", self.image], capture_output=True)
        subprocess.run(self.command, check=True)

    def remount(self, how):
        subprocess.run(["mount", "-o", f"remount,{how}", self.path], check=True,
                       capture_output=True)

    def break_it(self):
        """Has ext4 find an error in itself: it turns read-only under the feet of whoever writes."""
        source = subprocess.run(
            ["findmnt", "-n", "-o", "SOURCE", self.path], check=True, capture_output=True,
            text=True).stdout.strip()
        trigger = pathlib.Path("/sys/fs/ext4", os.path.basename(source), "trigger_fs_error")
        if not trigger.exists():
            pytest.skip("this kernel has no trigger_fs_error")
        trigger.write_text("1")

    def unmount(self):
        subprocess.run(["umount", self.path], check=True)


@pytest.fixture
def make_disk(tmp_path, make_place):
    """Disks that are unmounted once the servers on them have ended."""
    disks = []

    def make(size, kind="tmpfs"):
        disks.append(Disk(tmp_path, size, kind))
        return disks[-1]

    yield make
    make_place.close()
    for disk in disks:
        disk.unmount()


def test_case_18_a_read_only_disk_refuses_the_start_and_has_all_afterwards(make_place, make_disk):
    disk = make_disk("200m")
    place = make_place("listeners=0", data=disk.data)
    ledger = Ledger()
    for _ in range(5):
        ledger.upload(place.device)
    assert place.server.stop() == 0
    disk.remount("ro")
    result = run("serve", "--data-dir", disk.data, *place.server.options, check=False)
    assert result.returncode not in (0, None) and result.stdout == "", result
    assert "read-only" in result.stderr.lower() or "errno 30" in result.stderr, result.stderr
    disk.remount("rw")
    settles_everything(place, ledger)


def test_case_18_a_disk_that_turns_read_only_under_load(make_place, make_disk):
    """Again and again: what is told in the instant in which ext4 gives itself up is what was lost once."""
    disk = make_disk(600 << 20, "ext4")
    place = make_place("listeners=0", data=disk.data, devices=3)
    ledger = Ledger()
    for turn in range(int(os.environ.get("WAYBILL_TEST_BREAKS", 4))):
        if turn > 0:
            place.server.start()
        before = len(ledger.acknowledged)
        with Load(ledger, place.devices, seed=100 * turn):
            until(lambda: len(ledger.acknowledged) > before + 20)
            disk.break_it()
            assert place.exit_code() == 1
        disk.repair()
    settles_everything(place, ledger)


# -- the log's directory


def log_folder(place):
    return pathlib.Path(place.server.data, "log")


def fill_segments(place, ledger, count=4):
    for _ in range(count):
        for device in place.devices:
            ledger.upload(device, large())


def test_case_19_a_segment_that_may_not_be_read_delays_and_loses_nothing(make_place):
    place = make_place(
        "listeners=0", "segment-bytes=1MiB", devices=3, prefix=bound_by_permissions())
    ledger = Ledger()
    fill_segments(place, ledger)
    place.server.kill()
    place.server.start()
    closed = sorted(log_folder(place).glob("*.seg"))[:-1]
    assert len(closed) >= 2
    for path in closed:
        path.chmod(0o000)
    place.listeners(2)
    fresh = ledger.upload(place.device)
    place.status()
    for path in closed:
        path.chmod(0o600)
    until(lambda: settled(place.device, fresh))
    place.drained()
    ledger.check(place.database, order=True)


def test_case_19_a_segment_that_may_not_be_read_ends_the_start(make_place):
    place = make_place(
        "listeners=0", "segment-bytes=1MiB", devices=3, prefix=bound_by_permissions())
    ledger = Ledger()
    fill_segments(place, ledger)
    place.server.kill()
    first = min(log_folder(place).glob("*.seg"))
    first.chmod(0o000)
    result = subprocess.run(
        [*place.server.prefix, *serve(place)], capture_output=True, text=True, timeout=60)
    assert result.returncode not in (0, None), "it does not pass over what it may not read"
    assert "errno 13" in result.stderr, result.stderr
    first.chmod(0o600)
    settles_everything(place, ledger, order=True)


def serve(place):
    server = place.server
    return [BINARY, "serve", "--data-dir", server.data, "--device-address", server.device_address,
            "--admin-address", server.admin_address, *server.options]


def test_case_20_empty_header_only_and_unknown_files_in_the_logs_directory(make_place):
    place = make_place("listeners=0", "segment-bytes=1MiB", devices=3)
    ledger = Ledger()
    fill_segments(place, ledger)
    place.server.kill()
    folder = log_folder(place)
    newest = max(folder.glob("*.seg"))
    following = int(newest.stem, 16)
    (folder / f"{following + 1:016x}.seg").touch()
    (folder / f"{following + 2:016x}.seg").write_bytes(newest.read_bytes()[:8192])
    (folder / f"{following + 3:016x}.seg").write_bytes(newest.read_bytes()[:100])
    (folder / f"{following + 4:016x}.seg").write_bytes(bytes(20_000))
    (folder / f"{following + 5:016x}.seg.new").write_bytes(b"half made")
    (folder / "notes.txt").write_text("of somebody else")
    (folder / "ffff.seg").write_text("no segment's name")
    (folder / f"{1:016x}.idx").write_text("no index")
    settles_everything(place, ledger, order=True)
    assert (folder / "notes.txt").read_text() == "of somebody else"
    assert (folder / "ffff.seg").exists()
    # Not once only: nor does what is left there wear on the next start.
    place.server.kill()
    place.server.start()
    ledger.upload(place.device)
    place.drained()
    ledger.check(place.database)


def test_case_21_a_second_process_on_the_directory_is_refused_and_the_first_goes_on(make_place):
    place = make_place("listeners=0")
    ledger = Ledger()
    ledger.upload(place.device)
    for _ in range(2):
        result = run("serve", "--data-dir", place.server.data, "--device-address", "127.0.0.1:0",
                     "--admin-address", "127.0.0.1:0", *place.server.options, check=False)
        assert (result.returncode, result.stdout) == (78, "")
        assert "another server is running" in result.stderr
        ledger.upload(place.device)
    place.server.kill()
    settles_everything(place, ledger)

"""FAULTS.md, case 11: the queue's master key is wrong, missing, damaged, or replaced with bundles in the queue."""

import pathlib
import secrets
import subprocess

import pytest

from ledger import Ledger
from place import bound_by_permissions, until
from server import BINARY, run
from stranger import transaction


def large():
    """A bundle of some 250 KiB, so that a few fill a segment."""
    return transaction(secrets.token_hex(120_000))


def key_file(place, name="master.key"):
    return pathlib.Path(place.server.data, "keys", name)


def new_key(place, name):
    path = key_file(place, name)
    path.write_text(secrets.token_hex(32) + "\n")
    path.chmod(0o600)
    return path


def keys_in_use(place):
    return {
        key["key_id"]: (key["current"], key["segments"])
        for key in place.status()["master_keys"]}


def segment_keys(place):
    """The ids of the keys that segments on disk name, by file (OnDiskFormat: offset 56, eight bytes)."""
    found = {}
    for path in sorted(pathlib.Path(place.server.data, "log").glob("*.seg")):
        found[path.name] = path.read_bytes()[56:64].hex()
    return found


def refused(place):
    """What `serve` says where it must not start."""
    server = place.server
    result = run(
        "serve", "--data-dir", server.data, "--device-address", server.device_address,
        "--admin-address", server.admin_address, *server.options, check=False)
    assert (result.returncode, result.stdout) == (78, ""), result
    return result.stderr


@pytest.fixture
def backlog(make_place):
    """A stopped server with bundles in several segments under its first key; its ledger and that key's id."""
    place = make_place("listeners=0", "segment-bytes=1MiB", devices=3)
    ledger = Ledger()
    for _ in range(8):
        for device in place.devices:
            ledger.upload(device, large())
    (first, (current, segments)), = keys_in_use(place).items()
    assert current and segments > 2 and set(segment_keys(place).values()) == {first}
    assert place.server.stop() == 0
    return place, ledger, first


def test_case_11_the_master_key_is_replaced_with_bundles_in_the_queue(backlog):
    place, ledger, first = backlog
    second_file = new_key(place, "second.key")
    place.set(f"master-key-file={second_file}", f"previous-master-key-files={key_file(place)}")
    place.server.start()
    old = set(segment_keys(place))
    for device in place.devices:
        ledger.upload(device, large())
    use = keys_in_use(place)
    (second,) = set(use) - {first}
    assert use[first][0] is False and use[first][1] > 2 and use[second][0] is True
    assert {name: key for name, key in segment_keys(place).items() if key == second}
    assert all(key == first for name, key in segment_keys(place).items() if name in old
               and name != max(segment_keys(place)))
    told = [line for line in place.log_lines() if line.get("key.id") == first
            and "still" in line["message"]]
    assert told and told[-1]["key.file"] == str(key_file(place))
    text = place.server.command("queue", "status").stdout
    assert f"master key {first}" in text and "still under it" in text

    # Half way through, killed: both keys are still wanted.
    place.server.kill()
    place.server.start()
    place.listeners(2)
    place.drained()
    for device in place.devices:
        while device.collect():
            pass
    assert ledger.check(place.database, order=True)[0] == 27
    until(lambda: first not in segment_keys(place).values(), 30, "segments of the old key stay")
    assert keys_in_use(place)[first] == (False, 0)
    assert "can be dropped" in place.server.command("queue", "status").stdout
    assert place.server.stop() == 0

    # The old key is not wanted any more.
    place.set("previous-master-key-files=")
    key_file(place).unlink()
    place.server.start()
    assert set(keys_in_use(place)) == {second}
    ledger.upload(place.device)
    place.drained()
    ledger.check(place.database)


def test_case_11_without_the_old_key_78_names_it_and_where_to_put_it(backlog):
    place, ledger, first = backlog
    place.set(f"master-key-file={new_key(place, 'second.key')}")
    before = segment_keys(place)
    for _ in range(2):
        text = refused(place)
        assert first in text and "previous-master-key-files" in text and "second.key" in text
        assert key_file(place).read_text().strip() not in text
    assert segment_keys(place) == before, "nothing was touched"
    place.set(f"previous-master-key-files={key_file(place)}", "listeners=2")
    place.server.start()
    place.drained()
    ledger.check(place.database)


def damage_cut(path):
    path.write_text(path.read_text()[:63] + "\n")


def damage_letters(path):
    path.write_text("g" * 64 + "\n")


def damage_mode(path):
    path.chmod(0o644)


def damage_missing(path):
    path.unlink()


def damage_folder(path):
    path.unlink()
    path.mkdir(mode=0o700)


def damage_empty(path):
    path.write_text("")


DAMAGES = [damage_cut, damage_letters, damage_mode, damage_missing, damage_folder, damage_empty]


def test_case_11_a_missing_or_damaged_key_file_is_78_with_its_name_and_the_key_that_is_wanted(backlog):
    place, ledger, first = backlog
    second = new_key(place, "second.key")
    content = key_file(place).read_bytes()
    for setting, path, others in (
            ("master-key-file", key_file(place), {}),
            ("previous-master-key-files", key_file(place), {"master-key-file": second})):
        place.set("master-key-file=", "previous-master-key-files=",
                  *(f"{key}={value}" for key, value in others.items()),
                  f"{setting}={path}")
        for damage in DAMAGES:
            damage(path)
            text = refused(place)
            assert f"{setting}: key file {path}" in text and first in text, (damage, text)
            if path.is_dir():
                path.rmdir()
            path.write_bytes(content)
            path.chmod(0o600)
    # Every file at fault is named, not the first alone.
    key_file(place).chmod(0o640)
    second.write_text("nothing")
    text = refused(place)
    assert str(second) in text and str(key_file(place)) in text
    key_file(place).chmod(0o600)
    place.set("master-key-file=", "previous-master-key-files=", "listeners=2")
    place.server.start()
    place.drained()
    ledger.check(place.database)


def test_case_11_a_key_file_that_cannot_be_read_is_78_with_its_name(backlog):
    place, _, first = backlog
    key_file(place).chmod(0o000)
    server = place.server
    result = subprocess.run(
        [*bound_by_permissions(), BINARY, "serve", "--data-dir", server.data, *server.options],
        capture_output=True, text=True, timeout=60)
    assert result.returncode == 78, result
    assert str(key_file(place)) in result.stderr and first in result.stderr
    key_file(place).chmod(0o600)


def test_case_11_no_key_is_made_for_a_new_server_that_names_previous_ones(tmp_path):
    """It would be a server with two keys of which nobody has a copy."""
    data = tmp_path / "data"
    result = run("serve", "--data-dir", data, "--set", "previous-master-key-files=/nowhere/a.key",
                 check=False)
    assert result.returncode == 78 and "/nowhere/a.key" in result.stderr
    assert not (data / "keys" / "master.key").exists()

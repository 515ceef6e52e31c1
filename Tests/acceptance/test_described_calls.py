"""schemathesis against both sides: calls made up from openapi.yaml, answers held against it.

No 5xx but the documented 503 and 507; no status, media type, header or body that is not described.
WAYBILL_TEST_SEED=N repeats a run, WAYBILL_TEST_FUZZ_SECONDS=N sets how long each side takes.
"""

import json
import os
import pathlib
import random
import subprocess
import sys

import pytest
import requests

import contract
from server import Server
from stranger import Device, enroll, new_id, transaction

FOLDER = pathlib.Path(__file__).resolve().parent
SECONDS = int(os.environ.get("WAYBILL_TEST_FUZZ_SECONDS", "60"))


def bundle(device, **header):
    bundle_id = new_id()
    device.upload(bundle_id, device.seal(bundle_id, [transaction()], header=header))
    device.receipt_of(bundle_id)
    return bundle_id


def prepare(server):
    """Something of everything that a call can name."""
    tenant = server.create_tenant("fuzzed")
    enrollment = enroll(server.device_url, server.codes(tenant)[0])
    device = Device(enrollment)
    line = transaction()
    device.send([line])
    bundles = [bundle(device), bundle(device, transactions=7)]
    spare = [server.new_device(tenant).id for _ in range(3)]
    letters = server.admin("GET", "/admin/v1/dead-letters")
    found = letters.json() if letters.status_code == 200 else []
    found = found.get("dead_letters", []) if isinstance(found, dict) else found
    return enrollment["token"], {
        "tenant": tenant, "enrollment": enrollment, "bundles": bundles,
        "codes": server.codes(tenant, 40),
        "ids": {
            "devices": spare, "trace": [line["id"], *bundles, device.id],
            "dead-letters": [letter["id"] for letter in found if "id" in letter],
        },
    }


@pytest.mark.slow
@pytest.mark.parametrize("side", ["device", "operator"])
def test_schemathesis_finds_nothing_undescribed(tmp_path, capfd, side):
    seed = int(os.environ.get("WAYBILL_TEST_SEED", random.randrange(1 << 31)))
    server = Server(tmp_path / "data").start()
    try:
        token, world = prepare(server)
        url = server.device_url if side == "device" else server.admin_url
        of_devices = r"^/(v1/|\.well-known/)"
        which = "--include-path-regex" if side == "device" else "--exclude-path-regex"
        command = [
            str(pathlib.Path(sys.executable).parent / "schemathesis"), "--no-color",
            "--config-file", "schemathesis.toml", "run", str(contract.DOCUMENT), "--url", url,
            which, of_devices, "--seed", str(seed), "--max-time", str(SECONDS),
            "--max-examples", "60"]
        result = subprocess.run(
            command, cwd=FOLDER, capture_output=True, text=True, timeout=SECONDS + 600, env={
                **os.environ, "PYTHONDONTWRITEBYTECODE": "1",
                "WAYBILL_TEST_DEVICE_TOKEN": token,
                "WAYBILL_TEST_OPERATOR_TOKEN": server.address["token"],
                "WAYBILL_TEST_FUZZ": json.dumps(world)})
        summary = result.stdout[result.stdout.rfind("= SUMMARY"):]
        with capfd.disabled():
            print(f"\nschemathesis, {side} side, WAYBILL_TEST_SEED={seed}\n{summary}")
        assert result.returncode == 0, result.stdout[-60_000:] + result.stderr[-4000:]
        assert server.is_running, server.log_tail()
        assert requests.get(server.admin_url + "/livez", timeout=30).status_code == 200
    finally:
        if server.is_running:
            server.stop()

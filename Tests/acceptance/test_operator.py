import json
import os
import pathlib
import stat

import pytest
import requests

from server import BINARY, Server, free_port, run
from stranger import Device, enroll, new_id, transaction


def test_the_token_is_for_the_owner_alone(server):
    mode = os.stat(server.data + "/admin.json").st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_tenants_are_created_once_and_listed(server, tenant):
    assert tenant in [one["name"] for one in server.json("tenant", "list")]
    again = server.command("tenant", "create", tenant, check=False)
    assert again.returncode == 1 and again.stdout == ""


def test_a_tenants_name_is_a_slug_of_63_characters_at_most(server):
    for name, status in (
            ("0", 201), ("a-" + "9" * 61, 201), ("a" * 64, 400), ("", 400), ("-a", 400),
            ("Acme", 400), ("a_b", 400), ("ä", 400), ("a/b", 400), ("a.b", 400)):
        answer = server.admin("POST", "/admin/v1/tenants", json={"name": name})
        assert answer.status_code == status, name
        if status == 400:
            assert answer.json()["code"] == "invalid_request"


def test_invitations_are_json_with_codes_and_an_end(server, tenant):
    codes = server.json("device", "invite", "--tenant", tenant, "--count", 3)
    assert len({one["code"] for one in codes}) == 3
    assert all(one["expires_at"].endswith("Z") for one in codes)


def test_text_output_prints_a_code_a_line(server, tenant):
    lines = server.command("device", "invite", "--tenant", tenant, "--count", 2).stdout.split()
    for code in lines:
        enroll(server.device_url, code)


def test_a_devices_name_cannot_speak_to_the_terminal(server, tenant):
    enroll(server.device_url, server.codes(tenant)[0], "evil\x1b[2J\u009b31m\r\nname")
    text = server.command("device", "list", "--tenant", tenant).stdout
    assert len(text.splitlines()) == 2
    assert not any(ord(c) < 32 and c != "\n" or 0x7F <= ord(c) < 0xA0 for c in text)
    assert server.json("device", "list", "--tenant", tenant)[0]["name"].startswith("evil\x1b")


def test_listeners_can_be_counted_paused_and_resumed(server, device):
    before = server.json("listeners", "get")["target"]
    try:
        assert server.json("listeners", "set", 0)["target"] == 0
        bundle_id = new_id()
        device.upload(bundle_id, device.seal(bundle_id, [transaction()]))
        assert device.page(wait=2)["receipts"] == []
        assert device.status(bundle_id)["state"] == "queued"
        assert server.json("queue", "status")["depth"] >= 1
        assert server.json("listeners", "set", 5)["target"] == 5
        assert device.receipt_of(bundle_id)["state"] == "settled"
    finally:
        server.command("listeners", "set", before)
    assert server.json("queue", "status")["depth"] == 0


def test_the_number_of_listeners_has_limits(server):
    assert server.command("listeners", "set", 257, check=False).returncode == 64
    for target in (257, -1, 10**9):
        answer = server.admin("PUT", "/admin/v1/listeners", json={"target": target})
        assert answer.status_code == 400, target


def test_a_wrong_operator_token_is_denied(server):
    wrong = {"WAYBILL_ADMIN_TOKEN": "wrong"}
    result = run("queue", "status", "--admin-url", server.admin_url, environment=wrong, check=False)
    assert result.returncode == 77
    right = {"WAYBILL_ADMIN_TOKEN": server.address["token"]}
    run("queue", "status", "--admin-url", server.admin_url, environment=right)


def test_a_device_token_opens_nothing_on_the_operators_side(server, device):
    answer = requests.get(
        server.admin_url + "/admin/v1/status", timeout=30,
        headers={"Authorization": f"Bearer {device.token}"})
    assert answer.status_code == 401


def test_an_absent_server_is_unreachable(tmp_path):
    assert run("queue", "status", "--data-dir", tmp_path, check=False).returncode == 69
    result = run(
        "queue", "status", "--admin-url", f"http://127.0.0.1:{free_port()}", check=False,
        environment={"WAYBILL_ADMIN_TOKEN": "x"})
    assert result.returncode == 69


def test_wrong_usage_is_64():
    assert run("tenant", "create", "Not A Slug", check=False).returncode == 64
    assert run("no-such-command", check=False).returncode == 64


def test_probes_and_metrics_need_no_token(server):
    for path in ("/livez", "/readyz", "/startupz"):
        assert requests.get(server.admin_url + path, timeout=30).status_code == 200
    answer = requests.get(server.admin_url + "/metrics", timeout=30)
    assert answer.status_code == 200
    assert "# TYPE waybill_" in answer.text


def test_sealing_and_opening_by_hand(server, tenant, tmp_path):
    answer = enroll(server.device_url, server.codes(tenant)[0])
    device = Device(answer)
    secret = tmp_path / "secret"
    secret.write_text(answer["secret"] + "\n")
    lines = "".join(json.dumps(transaction({"n": n})) + "\n" for n in range(5))
    identity = ["--secret-file", secret, "--tenant", tenant, "--device", device.id]
    made = json.loads(run(
        "seal", *identity, "--out", tmp_path / "part.zip", "--device-seq", 1,
        "--output", "json", stdin=lines).stdout)
    data = (tmp_path / "part.zip").read_bytes()
    assert made["transactions"] == 5 and made["size"] == len(data)
    opened = run("open", *identity, "--bundle", made["bundle_id"], tmp_path / "part.zip")
    assert opened.stdout == lines
    device.upload(made["bundle_id"], data)
    assert device.receipt_of(made["bundle_id"])["counts"]["accepted"] == 5
    metrics = requests.get(server.admin_url + "/metrics", timeout=30).text
    for name in ("records_total", "written_bytes_total", "sync_seconds_count"):
        assert f"waybill_log_{name}" in metrics, "what is received went through the log"
    other = run("open", *identity, "--bundle", new_id(), tmp_path / "part.zip", check=False)
    assert other.returncode == 2 and other.stdout == ""


def test_receipts_are_verified_by_hand(device, tmp_path):
    device.send([transaction()])
    device.send([transaction()])
    page = device.http.get(device.base + "/v1/receipts", timeout=30).text
    file = tmp_path / "page.json"
    file.write_text(page)
    result = json.loads(
        run("receipt", "verify", file, "--url", device.base, "--output", "json").stdout)
    assert result == {"verified": 2, "from": 1, "to": 2}
    keys = tmp_path / "keys.json"
    keys.write_text(requests.get(device.base + "/.well-known/waybill-keys.json", timeout=30).text)
    run("receipt", "verify", file, "--keys", keys)
    file.write_text(page.replace('"accepted":1', '"accepted":2', 1))
    assert run("receipt", "verify", file, "--keys", keys, check=False).returncode == 2


def test_plain_http_to_the_world_is_refused(tmp_path):
    result = run("serve", "--data-dir", tmp_path / "d", "--device-address", "0.0.0.0:0",
                 check=False)
    assert result.returncode == 78


def test_a_second_server_on_the_same_data_is_refused(server):
    result = run(
        "serve", "--data-dir", server.data, "--device-address", "127.0.0.1:0",
        "--admin-address", "127.0.0.1:0", check=False)
    assert result.returncode != 0
    server.command("queue", "status")


@pytest.mark.slow
def test_sigterm_ends_with_0_and_nothing_received_is_lost(tmp_path):
    server = Server(tmp_path / "data", "--set", "listeners=0").start()
    try:
        device = server.new_device(server.create_tenant("acme"))
        bundle_id = new_id()
        device.upload(bundle_id, device.seal(bundle_id, [transaction()]))
        assert server.stop() == 0
        server.start()
        assert device.status(bundle_id)["state"] == "queued"
        server.command("listeners", "set", 1)
        assert device.receipt_of(bundle_id)["counts"]["accepted"] == 1
    finally:
        if server.is_running:
            server.stop()


def test_the_binary_says_what_it_can_do():
    text = run("--help").stdout
    for command in ("serve", "demo", "migrate", "tenant", "device", "listeners", "queue", "seal",
                    "open", "receipt", "config"):
        assert command in text, command
    assert pathlib.Path(BINARY).is_file()


def test_what_a_call_does_not_find_is_404_and_its_method_is_right(server):
    for method, path, body in (
        ("GET", "/admin/v1/devices?tenant=nobody", None),
        ("POST", "/admin/v1/invitations", {"tenant": "nobody", "count": 1}),
        ("GET", "/admin/v1/tenants/nobody/transactions/count", None),
        ("POST", f"/admin/v1/devices/{new_id()}/revoke", None),
    ):
        answer = server.admin(method, path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path

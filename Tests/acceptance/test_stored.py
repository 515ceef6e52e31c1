"""What lies in PostgreSQL afterwards: every value as it was sent, and nothing besides."""

import base64
import json

import pytest

from server import Postgres, Server
from stranger import new_id, transaction


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    postgres = Postgres()
    server = Server(
        tmp_path_factory.mktemp("stored") / "data", "--database-url", postgres.url).start()
    yield server, postgres
    if server.is_running:
        server.stop()
    postgres.stop("fast")
    postgres.remove()


@pytest.fixture
def own(world, request):
    server, postgres = world
    tenant = server.create_tenant(f"stored-{request.node.name[5:].replace('_', '-')}"[:60].lower())
    return server.new_device(tenant), postgres


def stored(postgres, line, *columns):
    rows = postgres.rows(
        f"SELECT {', '.join(columns)} FROM waybill.transactions WHERE id = '{line['id']}'")
    assert len(rows) == 1, rows
    return rows[0]


AT_UTC = "to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')"


def test_occurred_at_is_kept_at_microseconds_truncated_with_its_offset_beside_it(own):
    device, postgres = own
    for text, kept in {
        "2026-11-21T03:00:00.1234569+05:30": ["2026-11-20T21:30:00.123456", "330"],
        "2026-11-21T03:00:00-11:59": ["2026-11-21T14:59:00.000000", "-719"],
        "0001-01-01T00:00:00.9999999Z": ["0001-01-01T00:00:00.999999", "0"],
        "1969-12-31T23:59:59.9999999Z": ["1969-12-31T23:59:59.999999", "0"],
    }.items():
        line = transaction(occurred_at=text)
        device.send([line])
        assert stored(postgres, line, AT_UTC, "offset_minutes") == kept


def test_payloads_are_kept_as_json_values_and_other_members_are_not_stored(own):
    device, postgres = own
    payload = {"z": [1.50, None, True, {"é": "\U0001f600"}], "a": -0.0, "big": 9007199254740993}
    line = transaction(payload, actor="nurse 7", extra="not stored")
    device.send([line])
    assert json.loads(stored(postgres, line, "payload")[0]) == payload
    assert stored(postgres, line, "type", "actor", "content_type IS NULL", "body IS NULL") == [
        "visit.completed", "nurse 7", "t", "t"]
    everything = postgres.rows(
        f"SELECT to_jsonb(t) FROM waybill.transactions t WHERE id = '{line['id']}'")
    assert "not stored" not in everything[0][0]


def test_a_body_is_kept_byte_by_byte_with_its_content_type(own):
    device, postgres = own
    content = bytes(range(256)) * 3
    line = transaction(
        payload=..., content_type="image/png", body=base64.b64encode(content).decode())
    device.send([line])
    assert stored(postgres, line, "content_type", "encode(body, 'hex')", "payload IS NULL") == [
        "image/png", content.hex(), "t"]


def test_rows_say_their_device_bundle_and_index(own):
    device, postgres = own
    lines = [transaction({"n": n}) for n in range(5)]
    bad = list(map(json.dumps, lines))
    bad[1:1] = ["{"]
    receipt = device.send(bad)
    for n, line in enumerate(lines):
        index = n if n == 0 else n + 1
        assert stored(postgres, line, "device_id", "bundle_id", "bundle_index") == [
            device.id, receipt["bundle_id"], str(index)]


def test_a_conflict_overwrites_nothing_and_its_content_is_kept_sealed(own):
    """Rejected and conflicting content is kept, sealed, for operators."""
    device, postgres = own
    line = transaction({"v": "the first"})
    device.send([line])
    secret = "4a-plain-word-that-must-not-show"
    receipt = device.send([
        {**line, "payload": {"v": secret}}, json.dumps(transaction(id="7", payload=secret))])
    assert json.loads(stored(postgres, line, "payload")[0]) == {"v": "the first"}
    rows = postgres.rows(
        "SELECT bundle_index, outcome, coalesce(code, ''), coalesce(transaction_id::text, ''),"
        " encode(raw, 'hex') FROM waybill.exceptions"
        f" WHERE bundle_id = '{receipt['bundle_id']}' ORDER BY bundle_index")
    assert [row[:4] for row in rows] == [
        ["0", "conflict", "", line["id"]], ["1", "rejected", "invalid_id", ""]]
    for row in rows:
        assert len(row[4]) > 2 * len(secret) and secret.encode().hex() not in row[4]


def test_a_rejected_line_leaves_no_row_and_its_id_is_free(own):
    device, postgres = own
    line = transaction()
    device.send([{**line, "type": ""}])
    assert postgres.rows(f"SELECT 1 FROM waybill.transactions WHERE id = '{line['id']}'") == []
    device.send([line])
    stored(postgres, line, "id")


def test_a_quarantined_bundle_stores_nothing(own):
    device, postgres = own
    line = transaction()
    receipt = device.send([line], header={"transactions": 7})
    assert receipt["state"] == "quarantined"
    assert postgres.rows(f"SELECT 1 FROM waybill.transactions WHERE id = '{line['id']}'") == []
    assert postgres.rows(
        "SELECT code, byte_count > 0, resolved_at IS NULL FROM waybill.dead_letters"
        f" WHERE bundle_id = '{receipt['bundle_id']}'") == [["binding_mismatch", "t", "t"]]


def test_a_redelivered_bundle_keeps_the_receipt_that_it_has(own):
    device, postgres = own
    bundle_id = new_id()
    data = device.seal(bundle_id, [transaction()])
    device.upload(bundle_id, data)
    receipt = device.receipt_of(bundle_id)
    for _ in range(3):
        assert device.upload(bundle_id, data)["receipt"] == receipt
    assert postgres.rows(
        f"SELECT count(*) FROM waybill.receipts WHERE bundle_id = '{bundle_id}'") == [["1"]]


def test_one_audit_row_a_bundle(own):
    device, postgres = own
    receipt = device.send([transaction()])
    rows = postgres.rows(
        "SELECT kind FROM waybill.audit_events"
        f" WHERE details::text LIKE '%{receipt['bundle_id']}%'"
        f" OR subject LIKE '%{receipt['bundle_id']}%'")
    assert len(rows) == 1, rows


def test_secrets_and_tokens_are_not_in_the_database(own):
    device, postgres = own
    for column in ("SELECT encode(token_hash, 'hex') FROM waybill.devices",
                   "SELECT encode(secret, 'hex') FROM waybill.device_keys"):
        for row in postgres.rows(column):
            assert device.secret.hex() not in row[0]
            assert device.token.encode().hex() not in row[0]

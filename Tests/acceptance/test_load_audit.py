"""The audit of `waybill load` catches a database that loses, doubles or alters one row, and names it."""

import json

import pytest

from server import Postgres, Server, run

MEDDLING = """
CREATE TABLE public.meddled (id uuid, once integer PRIMARY KEY DEFAULT 1);
CREATE FUNCTION public.meddle() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF NEW.bundle_index <> 3 THEN RETURN NULL; END IF;
    INSERT INTO public.meddled VALUES (NEW.id) ON CONFLICT DO NOTHING;
    IF FOUND THEN {statement}; END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER meddle AFTER INSERT ON waybill.transactions
    FOR EACH ROW EXECUTE FUNCTION public.meddle();
"""
END_OF_MEDDLING = "DROP FUNCTION public.meddle() CASCADE; DROP TABLE public.meddled"
ROW = "tenant_id = NEW.tenant_id AND id = NEW.id"
FAULTS = {
    "lost": f"DELETE FROM waybill.transactions WHERE {ROW}",
    "duplicated": "INSERT INTO waybill.transactions SELECT (jsonb_populate_record(NEW, "
                  "jsonb_build_object('id', gen_random_uuid()))).*",
    "altered": f"UPDATE waybill.transactions SET payload = '{{\"amount\": 1}}' WHERE {ROW}",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    postgres = Postgres()
    server = Server(
        tmp_path_factory.mktemp("audited") / "data", "--database-url", postgres.url).start()
    yield server, postgres
    if server.is_running:
        server.stop()
    postgres.stop("fast")
    postgres.remove()


def load(server, postgres, tenant):
    return run("load", "run", "--running", "--data-dir", server.data, "--database-url",
               postgres.url, "--tenant", tenant, "--devices", 3, "--bundles", 12,
               "--transactions", 8, "--output", "json", check=False)


@pytest.mark.parametrize("kind", FAULTS)
def test_one_row_that_is_lost_doubled_or_altered_is_named_and_ends_with_2(world, kind):
    server, postgres = world
    postgres.query(MEDDLING.format(statement=FAULTS[kind]))
    try:
        done = load(server, postgres, f"meddled-{kind}")
        [[row]] = postgres.rows("SELECT id FROM public.meddled")
    finally:
        postgres.query(END_OF_MEDDLING)
    assert done.returncode == 2, done.stderr
    audit = json.loads(done.stdout)["audit"]
    assert {name: count for name, count in audit["counts"].items() if count} == {kind: 1}
    assert row in json.dumps(audit["findings"]), audit["findings"]


def test_without_meddling_the_same_run_ends_with_0(world):
    server, postgres = world
    done = load(server, postgres, "unmeddled")
    assert done.returncode == 0, done.stderr
    audit = json.loads(done.stdout)["audit"]
    assert audit["rows"] == audit["rows_expected"] == 96

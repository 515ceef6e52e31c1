-- The feed for the business behind, and what operators need to follow a trail: the article "Feed"
-- beside the module WaybillStore has the contract of the view.
--
-- Runs while the server of the version before works. Building the index holds settling back, not
-- uploads; on a large table it can be built beforehand, without holding anything back:
--     CREATE INDEX CONCURRENTLY transactions_by_feed ON waybill.transactions (feed);

SET LOCAL search_path = waybill, pg_temp;

-- Roles belong to the whole cluster: as in 0001.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'waybill_reader') THEN
        BEGIN
            CREATE ROLE waybill_reader NOLOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE EXCEPTION 'the role waybill_reader is missing and % may not create it', current_user
    USING HINT = 'An administrator runs: CREATE ROLE waybill_reader NOLOGIN;';
END
$$;

-- Rows of one transaction share their position: equal keys are stored once and take six bytes a row.
-- A reader sorts within one position only. (BRIN has no operators for xid8, and would make a reader
-- that is behind read everything before it.)
CREATE INDEX IF NOT EXISTS transactions_by_feed ON transactions (feed);

-- With the rights and under the policies of whoever asks. Columns are only ever added, at the end.
CREATE VIEW feed WITH (security_invoker = true) AS
SELECT t.feed AS position, t.tenant_id, t.id, n.slug AS tenant, t.device_id, t.bundle_id,
    t.bundle_index, t.type, t.occurred_at, t.offset_minutes, t.actor, t.payload, t.content_type,
    t.body, t.settled_at, t.emptied_at
FROM transactions AS t LEFT JOIN tenants AS n ON n.tenant_id = t.tenant_id;

COMMENT ON VIEW feed IS 'Every transaction, by (position, tenant_id, id). Read only below '
    'pg_snapshot_xmin(pg_current_snapshot()), in the same statement: no later commit falls behind.';
COMMENT ON COLUMN feed.position IS 'Number of the database transaction that stored the row.';
COMMENT ON COLUMN feed.offset_minutes IS 'Offset from UTC of occurred_at as the device wrote it.';
COMMENT ON COLUMN feed.emptied_at IS 'Retention has emptied payload and body; the id stays.';

-- The reader sees all tenants. One that may see some only gets a restrictive policy of its own.
CREATE POLICY of_reader ON transactions FOR SELECT TO waybill_reader USING (true);
CREATE POLICY of_reader ON tenants FOR SELECT TO waybill_reader USING (true);
GRANT USAGE ON SCHEMA waybill TO waybill_reader;
GRANT SELECT ON feed TO waybill_reader;
GRANT SELECT (tenant_id, slug) ON tenants TO waybill_reader;
GRANT SELECT (tenant_id, id, device_id, bundle_id, bundle_index, occurred_at, settled_at, feed,
        offset_minutes, type, actor, payload, content_type, body, emptied_at)
    ON transactions TO waybill_reader;

-- The audit in the order of its commits, to be followed without missing a row. Rows from before
-- this migration have no position. Not a part of what the chains' hashes cover.
ALTER TABLE audit_events ADD COLUMN feed xid8;
ALTER TABLE audit_events ALTER COLUMN feed SET DEFAULT pg_current_xact_id();
CREATE INDEX audit_events_by_feed ON audit_events (feed);
-- All that is rare about one thing. What every bundle has is found by the time on its receipt.
CREATE INDEX audit_events_by_subject ON audit_events (subject)
    WHERE kind NOT IN ('bundle.settled', 'bundle.quarantined');
CREATE INDEX invitations_by_device ON invitations (device_id) WHERE device_id IS NOT NULL;
CREATE INDEX invitations_by_rotation ON invitations (rotates_device_id)
    WHERE rotates_device_id IS NOT NULL;

-- Where an id was stored, rejected or in conflict: facts, never content. Looks into one tenant after
-- the other, each under that tenant's policy; the caller's scope must show the tenants.
CREATE FUNCTION trace_transaction(wanted uuid)
RETURNS TABLE (tenant_id integer, device_id uuid, bundle_id uuid, bundle_index integer,
    outcome text, code text, type text, occurred_at timestamptz, settled_at timestamptz,
    emptied_at timestamptz, feed text)
LANGUAGE plpgsql VOLATILE
SET search_path = waybill, pg_temp
AS $$
DECLARE
    tenant integer;
BEGIN
    FOR tenant IN SELECT n.tenant_id FROM tenants AS n ORDER BY n.tenant_id LOOP
        PERFORM set_config('waybill.tenant', tenant::text, true);
        RETURN QUERY
            SELECT t.tenant_id, t.device_id, t.bundle_id, t.bundle_index, 'accepted'::text,
                NULL::text, t.type, t.occurred_at, t.settled_at, t.emptied_at, t.feed::text
            FROM transactions AS t WHERE t.tenant_id = tenant AND t.id = wanted;
        RETURN QUERY
            SELECT x.tenant_id, x.device_id, x.bundle_id, x.bundle_index, x.outcome, x.code,
                NULL::text, NULL::timestamptz, x.settled_at, NULL::timestamptz, NULL::text
            FROM exceptions AS x WHERE x.tenant_id = tenant AND x.transaction_id = wanted
            ORDER BY x.settled_at;
    END LOOP;
    PERFORM set_config('waybill.tenant', '', true);
END
$$;
REVOKE ALL ON FUNCTION trace_transaction(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION trace_transaction(uuid) TO waybill_app;

-- The schema of Waybill. What each table is for, who may do what, and how rows of one tenant are
-- kept from another: the article "Schema" beside the module WaybillStore.
--
-- Runs in one transaction, in a schema "waybill" that the migrator has made.

SET LOCAL search_path = waybill, pg_temp;

-- Roles belong to the whole cluster. Two databases may be migrated at the same time, and the
-- migrating role may lack the privilege: then an administrator makes them once, beforehand.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'waybill_ingest') THEN
        BEGIN
            IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
                CREATE ROLE waybill_ingest NOLOGIN BYPASSRLS;
            ELSE
                CREATE ROLE waybill_ingest NOLOGIN;
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'waybill_app') THEN
        BEGIN
            CREATE ROLE waybill_app NOLOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE EXCEPTION 'the roles waybill_ingest and waybill_app are missing and % may not create them',
        current_user
    USING HINT = 'An administrator runs: CREATE ROLE waybill_ingest NOLOGIN BYPASSRLS; '
        || 'CREATE ROLE waybill_app NOLOGIN; GRANT waybill_ingest, waybill_app TO '
        || quote_ident(current_user) || ';';
END
$$;

DO $$
BEGIN
    -- Whoever migrates also serves, so it must be able to become both.
    IF NOT pg_has_role(current_user, 'waybill_ingest', 'MEMBER') THEN
        EXECUTE format('GRANT waybill_ingest TO %I', current_user);
    END IF;
    IF NOT pg_has_role(current_user, 'waybill_app', 'MEMBER') THEN
        EXECUTE format('GRANT waybill_app TO %I', current_user);
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE EXCEPTION '% is not a member of waybill_ingest and waybill_app', current_user
    USING HINT = 'An administrator runs: GRANT waybill_ingest, waybill_app TO '
        || quote_ident(current_user) || ';';
END
$$;

DO $$
BEGIN
    -- Large batches are staged in a temporary table. Where PUBLIC has lost this right and the
    -- migrating role does not own the database, an administrator grants it.
    IF NOT has_database_privilege('waybill_ingest', current_database(), 'TEMPORARY') THEN
        EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO waybill_ingest', current_database());
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE EXCEPTION 'waybill_ingest may not create temporary tables'
    USING HINT = format('The owner runs: GRANT TEMPORARY ON DATABASE %I TO waybill_ingest;',
        current_database());
END
$$;

-- Settings of a transaction that the policies look at. Unset and empty are the same: a session of a
-- pool keeps an empty text behind once a setting was made local to a transaction.
CREATE FUNCTION current_tenant() RETURNS integer LANGUAGE sql STABLE PARALLEL SAFE
    RETURN NULLIF(current_setting('waybill.tenant', true), '')::integer;
CREATE FUNCTION current_device() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
    RETURN NULLIF(current_setting('waybill.device', true), '')::uuid;
CREATE FUNCTION is_server() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
    RETURN COALESCE(current_setting('waybill.scope', true), '') = 'server';

CREATE TABLE tenants (
    tenant_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slug text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE devices (
    device_id uuid PRIMARY KEY,
    tenant_id integer NOT NULL REFERENCES tenants,
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    token_hash bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    epoch integer NOT NULL CHECK (epoch >= 1),
    enrolled_at timestamptz NOT NULL DEFAULT now(),
    -- First authenticated request: from then on the invitation's answer is not repeated.
    first_seen_at timestamptz,
    revoked_at timestamptz,
    changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX devices_by_tenant ON devices (tenant_id, enrolled_at);
CREATE INDEX devices_by_change ON devices (changed_at);

CREATE TABLE device_keys (
    device_id uuid NOT NULL REFERENCES devices,
    epoch integer NOT NULL CHECK (epoch >= 1),
    tenant_id integer NOT NULL REFERENCES tenants,
    -- Sealed under the root key of that id.
    secret bytea NOT NULL,
    root_key_id text NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT now(),
    -- Bundles sealed under a closed epoch are no longer opened.
    closed_at timestamptz,
    PRIMARY KEY (device_id, epoch)
);

CREATE TABLE invitations (
    code_hash bytea PRIMARY KEY CHECK (octet_length(code_hash) = 32),
    tenant_id integer NOT NULL REFERENCES tenants,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    -- Set for a rotation: the same device gets the next epoch.
    rotates_device_id uuid REFERENCES devices,
    used_at timestamptz,
    device_id uuid REFERENCES devices,
    request_id uuid,
    CHECK ((used_at IS NULL) = (device_id IS NULL))
);

-- One row a device: the lock that orders its settlements, and the ends of its chains.
CREATE TABLE device_progress (
    device_id uuid PRIMARY KEY REFERENCES devices,
    tenant_id integer NOT NULL REFERENCES tenants,
    receipt_seq bigint NOT NULL DEFAULT 0 CHECK (receipt_seq >= 0),
    receipt_hash bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex')
        CHECK (octet_length(receipt_hash) = 32),
    -- Highest receipt that the backup policy covers; null without a policy.
    safe_through bigint,
    device_seq bigint CHECK (device_seq >= 1),
    -- Missing numbers below device_seq, as [[from,to],…], newest kept.
    gaps jsonb NOT NULL DEFAULT '[]',
    audit_seq bigint NOT NULL DEFAULT 0,
    audit_hash bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex')
        CHECK (octet_length(audit_hash) = 32)
) WITH (fillfactor = 70);

-- Beside device_progress, so that a confirmation never waits for a settlement that holds that row.
CREATE TABLE confirmations (
    device_id uuid PRIMARY KEY REFERENCES devices,
    tenant_id integer NOT NULL REFERENCES tenants,
    confirmed bigint NOT NULL CHECK (confirmed >= 0),
    confirmed_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);

CREATE TABLE transactions (
    tenant_id integer NOT NULL,
    id uuid NOT NULL,
    device_id uuid NOT NULL,
    bundle_id uuid NOT NULL,
    bundle_index integer NOT NULL,
    occurred_at timestamptz NOT NULL,
    settled_at timestamptz NOT NULL DEFAULT now(),
    -- With id, a position that no later commit can fall behind: readers stop at the oldest
    -- transaction that is still running (pg_snapshot_xmin).
    feed xid8 NOT NULL DEFAULT pg_current_xact_id(),
    offset_minutes smallint NOT NULL,
    content_key smallint NOT NULL,
    content_hash bytea NOT NULL CHECK (octet_length(content_hash) = 32),
    type text NOT NULL CHECK (char_length(type) BETWEEN 1 AND 128),
    actor text CHECK (char_length(actor) <= 128),
    payload jsonb,
    content_type text CHECK (char_length(content_type) BETWEEN 1 AND 255),
    body bytea,
    -- Set by retention, which empties payload and body and keeps the id.
    emptied_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    CHECK (CASE WHEN emptied_at IS NOT NULL THEN payload IS NULL AND body IS NULL
        WHEN content_type IS NULL THEN payload IS NOT NULL AND body IS NULL
        ELSE payload IS NULL AND body IS NOT NULL END)
);

CREATE TABLE receipts (
    device_id uuid NOT NULL,
    seq bigint NOT NULL CHECK (seq >= 1),
    tenant_id integer NOT NULL,
    bundle_id uuid NOT NULL,
    bundle_digest bytea NOT NULL CHECK (octet_length(bundle_digest) = 32),
    part_byte_counts bigint[] NOT NULL,
    state text NOT NULL CHECK (state IN ('settled', 'quarantined')),
    code text,
    accepted integer NOT NULL,
    duplicate integer NOT NULL,
    rejected integer NOT NULL,
    conflict integer NOT NULL,
    settled_at timestamptz NOT NULL,
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    key_id text NOT NULL,
    -- The receipt as signed and served.
    document text NOT NULL,
    supersedes bigint,
    superseded_by bigint,
    PRIMARY KEY (device_id, seq),
    CHECK ((state = 'quarantined') = (code IS NOT NULL))
);
CREATE UNIQUE INDEX receipts_by_bundle ON receipts (device_id, bundle_id)
    WHERE superseded_by IS NULL;

CREATE TABLE exceptions (
    device_id uuid NOT NULL,
    bundle_id uuid NOT NULL,
    bundle_index integer NOT NULL,
    tenant_id integer NOT NULL,
    transaction_id uuid,
    outcome text NOT NULL CHECK (outcome IN ('rejected', 'conflict')),
    code text,
    detail text,
    -- The line, sealed under the root key of that id.
    raw bytea NOT NULL,
    root_key_id text NOT NULL,
    settled_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (device_id, bundle_id, bundle_index),
    CHECK ((outcome = 'rejected') = (code IS NOT NULL))
);
CREATE INDEX exceptions_by_transaction ON exceptions (tenant_id, transaction_id)
    WHERE transaction_id IS NOT NULL;

CREATE TABLE dead_letters (
    dead_letter_id uuid PRIMARY KEY,
    tenant_id integer NOT NULL,
    device_id uuid NOT NULL,
    bundle_id uuid NOT NULL,
    receipt_seq bigint NOT NULL,
    code text NOT NULL,
    detail text NOT NULL,
    -- On that node, within its directory of dead letters.
    node text NOT NULL,
    file_name text NOT NULL,
    byte_count bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    resolution text CHECK (resolution IN ('settled', 'discarded')),
    CHECK ((resolved_at IS NULL) = (resolution IS NULL))
);
CREATE INDEX dead_letters_open ON dead_letters (created_at) WHERE resolved_at IS NULL;
CREATE INDEX dead_letters_by_bundle ON dead_letters (device_id, bundle_id);

-- Chains: one a device, and one of the operators under the zero UUID.
CREATE TABLE audit_events (
    chain_id uuid NOT NULL,
    chain_seq bigint NOT NULL CHECK (chain_seq >= 1),
    tenant_id integer,
    recorded_at timestamptz NOT NULL,
    node text NOT NULL,
    kind text NOT NULL,
    actor text NOT NULL,
    subject text,
    -- "json" keeps the very text that the hash covers.
    details json NOT NULL,
    previous bytea NOT NULL CHECK (octet_length(previous) = 32),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (chain_id, chain_seq)
);
CREATE INDEX audit_events_by_time ON audit_events (recorded_at);

CREATE TABLE settings (
    name text PRIMARY KEY,
    value jsonb NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE receipt_keys (
    key_id text PRIMARY KEY,
    public_key bytea NOT NULL CHECK (octet_length(public_key) = 32),
    -- The seed, sealed under the root key of that id; null once the key is retired.
    private_key bytea,
    root_key_id text NOT NULL,
    not_before timestamptz NOT NULL DEFAULT now(),
    not_after timestamptz
);
-- One key signs at a time.
CREATE UNIQUE INDEX receipt_keys_signing ON receipt_keys ((true)) WHERE not_after IS NULL;

-- Row-level security, also for the owner.
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE devices ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE device_keys ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE invitations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE device_progress ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE confirmations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE transactions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE receipts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE exceptions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE dead_letters ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE audit_events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

-- The current tenant's rows.
CREATE POLICY of_tenant ON tenants TO waybill_app USING (tenant_id = current_tenant());
CREATE POLICY of_tenant ON devices TO waybill_app USING (tenant_id = current_tenant());
CREATE POLICY of_tenant ON device_keys TO waybill_app USING (tenant_id = current_tenant());
CREATE POLICY of_tenant ON invitations TO waybill_app USING (tenant_id = current_tenant());
CREATE POLICY of_tenant ON device_progress TO waybill_app USING (tenant_id = current_tenant());
CREATE POLICY of_tenant ON confirmations TO waybill_app USING (tenant_id = current_tenant());
CREATE POLICY of_tenant ON transactions TO waybill_app USING (tenant_id = current_tenant());
CREATE POLICY of_tenant ON receipts TO waybill_app USING (tenant_id = current_tenant());
CREATE POLICY of_tenant ON exceptions TO waybill_app USING (tenant_id = current_tenant());
CREATE POLICY of_tenant ON dead_letters TO waybill_app USING (tenant_id = current_tenant());
CREATE POLICY of_tenant ON audit_events TO waybill_app USING (tenant_id = current_tenant());

-- The current device's rows: what a device may ask about itself.
CREATE POLICY of_device ON devices TO waybill_app USING (device_id = current_device());
CREATE POLICY of_device ON device_progress TO waybill_app USING (device_id = current_device());
CREATE POLICY of_device ON confirmations TO waybill_app USING (device_id = current_device());
CREATE POLICY of_device ON receipts FOR SELECT TO waybill_app USING (device_id = current_device());

-- The server's own rounds over all tenants: tokens, enrolment, receipts by bundle, counts. Never
-- business data: transactions and exceptions have no such policy.
CREATE POLICY of_server ON tenants TO waybill_app USING (is_server());
CREATE POLICY of_server ON devices TO waybill_app USING (is_server());
CREATE POLICY of_server ON device_keys TO waybill_app USING (is_server());
CREATE POLICY of_server ON invitations TO waybill_app USING (is_server());
CREATE POLICY of_server ON device_progress TO waybill_app USING (is_server());
CREATE POLICY of_server ON confirmations FOR SELECT TO waybill_app USING (is_server());
CREATE POLICY of_server ON receipts FOR SELECT TO waybill_app USING (is_server());
CREATE POLICY of_server ON dead_letters FOR SELECT TO waybill_app USING (is_server());
CREATE POLICY of_server ON audit_events TO waybill_app USING (is_server());

-- Listeners settle bundles of all tenants at once. Where waybill_ingest could not get BYPASSRLS these
-- policies let it work all the same, without direct COPY.
CREATE POLICY of_listeners ON device_keys FOR SELECT TO waybill_ingest USING (true);
CREATE POLICY of_listeners ON device_progress TO waybill_ingest USING (true);
CREATE POLICY of_listeners ON transactions TO waybill_ingest USING (true);
CREATE POLICY of_listeners ON receipts TO waybill_ingest USING (true);
CREATE POLICY of_listeners ON exceptions TO waybill_ingest USING (true);
CREATE POLICY of_listeners ON dead_letters TO waybill_ingest USING (true);
CREATE POLICY of_listeners ON audit_events TO waybill_ingest USING (true);

-- Grants. Nobody but the owner deletes anything.
GRANT USAGE ON SCHEMA waybill TO waybill_ingest, waybill_app;

GRANT SELECT (device_id, epoch, secret, root_key_id, opened_at, closed_at)
    ON device_keys TO waybill_ingest;
GRANT SELECT ON device_progress TO waybill_ingest;
GRANT UPDATE (receipt_seq, receipt_hash, device_seq, gaps, audit_seq, audit_hash)
    ON device_progress TO waybill_ingest;
GRANT INSERT (tenant_id, id, device_id, bundle_id, bundle_index, occurred_at, offset_minutes,
        content_key, content_hash, type, actor, payload, content_type, body)
    ON transactions TO waybill_ingest;
GRANT SELECT (tenant_id, id, content_key, content_hash) ON transactions TO waybill_ingest;
GRANT SELECT (device_id, seq, tenant_id, bundle_id, bundle_digest, state, accepted, duplicate,
        rejected, conflict, superseded_by)
    ON receipts TO waybill_ingest;
GRANT INSERT ON receipts TO waybill_ingest;
GRANT UPDATE (superseded_by) ON receipts TO waybill_ingest;
GRANT INSERT ON exceptions, dead_letters, audit_events TO waybill_ingest;

GRANT SELECT ON tenants, devices, device_keys, invitations, device_progress, confirmations,
    transactions, receipts, exceptions, dead_letters, audit_events, settings, receipt_keys
    TO waybill_app;
GRANT INSERT (slug) ON tenants TO waybill_app;
GRANT INSERT ON devices, device_keys, invitations, audit_events, settings, receipt_keys
    TO waybill_app;
GRANT INSERT (device_id, tenant_id) ON device_progress TO waybill_app;
GRANT UPDATE (name, token_hash, epoch, first_seen_at, revoked_at, changed_at)
    ON devices TO waybill_app;
GRANT UPDATE (secret, root_key_id, closed_at) ON device_keys TO waybill_app;
GRANT UPDATE (used_at, device_id, request_id) ON invitations TO waybill_app;
GRANT UPDATE (safe_through) ON device_progress TO waybill_app;
GRANT INSERT ON confirmations TO waybill_app;
GRANT UPDATE (confirmed, confirmed_at) ON confirmations TO waybill_app;
GRANT UPDATE (resolved_at, resolution) ON dead_letters TO waybill_app;
GRANT UPDATE (value, changed_at) ON settings TO waybill_app;
GRANT UPDATE (private_key, not_after) ON receipt_keys TO waybill_app;

internal import WaybillPostgres

/// The statements of ``Store``.
enum StoreStatements {
    static let setScope: PostgresStatement =
        """
        SELECT set_config('waybill.scope', $1::text, true),
            set_config('waybill.tenant', $2::text, true),
            set_config('waybill.device', $3::text, true)
        """

    /// For a session that nothing but the server's own rounds use.
    static let setServerScope: PostgresStatement =
        """
        SELECT set_config('waybill.scope', 'server', false),
            set_config('waybill.tenant', '', false), set_config('waybill.device', '', false)
        """

    static let insertTenant: PostgresStatement =
        """
        INSERT INTO tenants (slug) VALUES ($1::text) ON CONFLICT (slug) DO NOTHING
        RETURNING created_at
        """

    static let listTenants: PostgresStatement =
        """
        SELECT t.slug, t.created_at,
            (SELECT count(*) FROM devices AS d WHERE d.tenant_id = t.tenant_id)
        FROM tenants AS t ORDER BY t.slug
        """

    static let countTransactions: PostgresStatement =
        "SELECT count(*) FROM transactions WHERE tenant_id = $1::integer"

    static let findTenant: PostgresStatement =
        "SELECT tenant_id FROM tenants WHERE slug = $1::text"

    static let insertInvitations: PostgresStatement =
        """
        INSERT INTO invitations (code_hash, tenant_id, expires_at)
        SELECT w.code_hash, $2::integer, $3::timestamptz FROM unnest($1::bytea[]) AS w (code_hash)
        """

    static let listInvitations: PostgresStatement =
        """
        SELECT created_at, expires_at, used_at, coalesce(device_id, rotates_device_id),
            rotates_device_id IS NOT NULL, expires_at <= now()
        FROM invitations WHERE tenant_id = $1::integer ORDER BY created_at DESC LIMIT 1000
        """

    static let listDevices: PostgresStatement =
        """
        SELECT d.device_id, d.name, d.epoch, d.enrolled_at, d.revoked_at, p.receipt_seq,
            coalesce(c.confirmed, 0)
        FROM devices AS d
        JOIN device_progress AS p USING (device_id)
        LEFT JOIN confirmations AS c USING (device_id)
        WHERE d.tenant_id = $1::integer ORDER BY d.enrolled_at, d.device_id
        """

    static let listReceiptedBundles: PostgresStatement =
        """
        SELECT device_id, bundle_id FROM receipts
        WHERE superseded_by IS NULL AND (device_id, bundle_id) > ($1::uuid, $2::uuid)
        ORDER BY device_id, bundle_id LIMIT $3::bigint
        """

    static let findReceipts: PostgresStatement =
        """
        SELECT r.device_id, r.bundle_id, r.document, r.seq, r.bundle_digest, r.state,
            r.part_byte_counts
        FROM unnest($1::uuid[], $2::uuid[]) AS w (device_id, bundle_id)
        JOIN receipts AS r USING (device_id, bundle_id)
        WHERE r.superseded_by IS NULL
        """

    /// No row if the number was never issued.
    static let confirm: PostgresStatement =
        """
        INSERT INTO confirmations (device_id, tenant_id, confirmed)
        SELECT device_id, tenant_id, $2::bigint FROM device_progress
        WHERE device_id = $1::uuid AND receipt_seq >= $2::bigint
        ON CONFLICT (device_id) DO UPDATE
        SET confirmed = greatest(confirmations.confirmed, excluded.confirmed),
            confirmed_at = excluded.confirmed_at
        RETURNING confirmed
        """

    static let listReceiptKeys: PostgresStatement =
        """
        SELECT key_id, public_key, not_before, not_after FROM receipt_keys
        ORDER BY not_before, key_id
        """

    static let findSigningKey: PostgresStatement =
        """
        SELECT key_id, private_key, root_key_id FROM receipt_keys
        WHERE not_after IS NULL AND private_key IS NOT NULL
        """

    static let insertSigningKey: PostgresStatement =
        """
        INSERT INTO receipt_keys (key_id, public_key, private_key, root_key_id)
        VALUES ($1::text, $2::bytea, $3::bytea, $4::text) ON CONFLICT DO NOTHING
        """

    /// Until the transaction ends; the number is random.
    static let lockOperatorsChain: PostgresStatement =
        "SELECT pg_advisory_xact_lock(8602189116285314050)"

    static let findChainEnd: PostgresStatement =
        """
        SELECT chain_seq, hash FROM audit_events WHERE chain_id = $1::uuid
        ORDER BY chain_seq DESC LIMIT 1
        """

    /// A tenant of 0 is none.
    static let insertOperatorEvents: PostgresStatement =
        """
        INSERT INTO audit_events (chain_id, recorded_at, node, chain_seq, tenant_id, kind, actor,
            subject, details, previous, hash)
        SELECT $1::uuid, $2::timestamptz, $3::text, w.chain_seq, NULLIF(w.tenant_id, 0), w.kind,
            w.actor, w.subject, w.details::json, w.previous, w.hash
        FROM unnest($4::bigint[], $5::integer[], $6::text[], $7::text[], $8::text[], $9::text[],
            $10::bytea[], $11::bytea[])
            AS w (chain_seq, tenant_id, kind, actor, subject, details, previous, hash)
        """

    static let countDeadLetters: PostgresStatement =
        "SELECT count(*) FROM dead_letters WHERE resolved_at IS NULL"
}

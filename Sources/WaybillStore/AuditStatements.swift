internal import WaybillPostgres

/// The statements that read the audit and check it.
enum AuditStatements {
    /// Newest first, before a place in the order of recording.
    static let listBefore: PostgresStatement =
        """
        SELECT a.chain_id, a.chain_seq, n.slug, a.recorded_at, a.node, a.kind, a.actor, a.subject,
            a.details::text, a.hash, a.feed::text
        FROM audit_events AS a LEFT JOIN tenants AS n USING (tenant_id)
        WHERE ($1::integer IS NULL OR a.tenant_id = $1::integer)
            AND ($2::text IS NULL OR a.kind = $2::text OR starts_with(a.kind, $2::text || '.'))
            AND ($3::text IS NULL OR a.subject = $3::text)
            AND ($4::timestamptz IS NULL
                OR (a.recorded_at, a.chain_id, a.chain_seq)
                    < ($4::timestamptz, $5::uuid, $6::bigint))
        ORDER BY a.recorded_at DESC, a.chain_id DESC, a.chain_seq DESC LIMIT $7::bigint
        """

    /// In the order of commits, after a place in it; only what no later commit can fall behind.
    static let listAfter: PostgresStatement =
        """
        SELECT a.chain_id, a.chain_seq, n.slug, a.recorded_at, a.node, a.kind, a.actor, a.subject,
            a.details::text, a.hash, a.feed::text
        FROM audit_events AS a LEFT JOIN tenants AS n USING (tenant_id)
        WHERE ($1::integer IS NULL OR a.tenant_id = $1::integer)
            AND ($2::text IS NULL OR a.kind = $2::text OR starts_with(a.kind, $2::text || '.'))
            AND ($3::text IS NULL OR a.subject = $3::text)
            AND (a.feed, a.chain_id, a.chain_seq) > ($4::text::xid8, $5::uuid, $6::bigint)
            AND a.feed < $8::text::xid8
        ORDER BY a.feed, a.chain_id, a.chain_seq LIMIT $7::bigint
        """

    /// Asked first: what is committed between this statement and the next has a higher number.
    static let findHorizon: PostgresStatement =
        "SELECT pg_snapshot_xmin(pg_current_snapshot())::text"

    /// The operators' chain has no row of a device to keep its end.
    static let keepOperatorsEnd: PostgresStatement =
        """
        INSERT INTO settings (name, value)
        VALUES ('audit.operators',
            jsonb_build_object('seq', $1::bigint, 'hash', encode($2::bytea, 'hex')))
        ON CONFLICT (name) DO UPDATE SET value = excluded.value, changed_at = now()
        """

    static let findOperatorsEnd: PostgresStatement =
        """
        SELECT (value ->> 'seq')::bigint, decode(value ->> 'hash', 'hex')
        FROM settings WHERE name = 'audit.operators'
        """

    static let listEnds: PostgresStatement =
        """
        SELECT device_id, audit_seq, audit_hash, receipt_seq, receipt_hash
        FROM device_progress WHERE device_id > $1::uuid ORDER BY device_id LIMIT $2::bigint
        """

    static let findEnds: PostgresStatement =
        """
        SELECT device_id, audit_seq, receipt_seq FROM device_progress
        WHERE device_id = ANY ($1::uuid[])
        """

    /// A page is read in the order of its index: sorting all that is left for each page would make a
    /// long chain cost its square.
    static let preferOrder: PostgresStatement =
        """
        SELECT set_config('enable_sort', 'off', true), set_config('enable_bitmapscan', 'off', true),
            set_config('enable_seqscan', 'off', true)
        """

    static let walkAudit: PostgresStatement =
        """
        SELECT chain_id, chain_seq, tenant_id, recorded_at, node, kind, actor, subject,
            details::text, previous, hash
        FROM audit_events
        WHERE (chain_id, chain_seq) > ($1::uuid, $2::bigint) AND chain_id <= $3::uuid
        ORDER BY chain_id, chain_seq LIMIT $4::bigint
        """

    /// At least one, then as many as fit; each row with how many there were to choose from.
    static let walkReceipts: PostgresStatement =
        """
        SELECT device_id, seq, bundle_id, state, hash, document, total FROM (
            SELECT f.*, row_number() OVER w AS position, count(*) OVER () AS total,
                sum(octet_length(f.document)) OVER w AS bytes
            FROM (
                SELECT device_id, seq, bundle_id, state, hash, document FROM receipts
                WHERE (device_id, seq) > ($1::uuid, $2::bigint) AND device_id <= $3::uuid
                ORDER BY device_id, seq LIMIT $4::bigint
            ) AS f
            WINDOW w AS (ORDER BY f.device_id, f.seq)
        ) AS counted
        WHERE position = 1 OR bytes <= $5::bigint ORDER BY device_id, seq
        """
}

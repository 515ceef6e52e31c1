internal import WaybillPostgres

/// The statements of a trace: facts, never content.
enum TraceStatements {
    /// Bundles are looked for device by device, through the index that receipts have anyway: one by
    /// bundle alone would cost every settlement.
    static let preferIndexes: PostgresStatement =
        "SELECT set_config('enable_seqscan', 'off', true)"

    static let findDevices: PostgresStatement =
        """
        SELECT d.device_id, d.tenant_id, n.slug, d.name, d.epoch, d.enrolled_at, d.first_seen_at,
            d.revoked_at, p.receipt_seq, c.confirmed, c.confirmed_at
        FROM devices AS d JOIN tenants AS n USING (tenant_id)
        JOIN device_progress AS p USING (device_id)
        LEFT JOIN confirmations AS c USING (device_id)
        WHERE d.device_id = ANY ($1::uuid[])
        """

    static let listInvitations: PostgresStatement =
        """
        SELECT created_at, expires_at, used_at, rotates_device_id IS NOT NULL
        FROM invitations WHERE device_id = $1::uuid OR rotates_device_id = $1::uuid
        ORDER BY created_at
        """

    static let listEpochs: PostgresStatement =
        "SELECT epoch, opened_at, closed_at FROM device_keys WHERE device_id = $1::uuid ORDER BY epoch"

    /// Newest first.
    static let listReceipts: PostgresStatement =
        """
        SELECT seq, bundle_id, state, code, accepted, duplicate, rejected, conflict, settled_at,
            supersedes
        FROM receipts WHERE device_id = $1::uuid ORDER BY seq DESC LIMIT $2::bigint
        """

    static let findBundles: PostgresStatement =
        """
        SELECT r.device_id, r.seq, r.state, r.supersedes
        FROM devices AS d
        JOIN receipts AS r ON r.device_id = d.device_id AND r.bundle_id = $1::uuid
            AND r.superseded_by IS NULL
        ORDER BY r.settled_at
        """

    static let findReceipt: PostgresStatement =
        """
        SELECT seq, bundle_id, state, code, accepted, duplicate, rejected, conflict, settled_at,
            supersedes
        FROM receipts WHERE device_id = $1::uuid AND seq = $2::bigint
        """

    /// The row that was written with a receipt: the same moment, the same device.
    static let findSettlement: PostgresStatement =
        """
        SELECT kind, recorded_at, node, actor, details::text FROM audit_events
        WHERE recorded_at = $1::timestamptz AND chain_id = $2::uuid AND subject = $3::text
        """

    /// All that is rare: repeats, retries, what operators did.
    static let listRareEvents: PostgresStatement =
        """
        SELECT kind, recorded_at, node, actor, details::text FROM audit_events
        WHERE subject = ANY ($1::text[])
            AND kind NOT IN ('bundle.settled', 'bundle.quarantined')
        ORDER BY recorded_at, chain_id, chain_seq LIMIT 200
        """

    static let listDeadLetters: PostgresStatement =
        """
        SELECT dead_letter_id, code, detail, node, created_at, resolved_at, resolution, attempts,
            last_error
        FROM dead_letters WHERE device_id = $1::uuid AND ($2::uuid IS NULL OR bundle_id = $2::uuid)
        ORDER BY created_at DESC LIMIT 50
        """

    static let findDeadLetter: PostgresStatement =
        "SELECT device_id, bundle_id FROM dead_letters WHERE dead_letter_id = $1::uuid"

    static let findTransaction: PostgresStatement =
        """
        SELECT tenant_id, device_id, bundle_id, bundle_index, outcome, code, type, occurred_at,
            settled_at, emptied_at, feed
        FROM trace_transaction($1::uuid)
        """
}

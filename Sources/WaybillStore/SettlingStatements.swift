internal import WaybillPostgres

/// The statements of a settlement, in the order in which they run.
enum SettlingStatements {
    static let canCopyDirectly: PostgresStatement =
        """
        SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user
        """

    /// The same columns as the insertions below.
    static let createStaging: PostgresStatement =
        """
        CREATE TEMPORARY TABLE IF NOT EXISTS waybill_staged (
            tenant_id integer, id uuid, device_id uuid, bundle_id uuid, bundle_index integer,
            occurred_at timestamptz, offset_minutes smallint, content_key smallint,
            content_hash bytea, type text, actor text, payload jsonb, content_type text, body bytea
        ) ON COMMIT DELETE ROWS
        """

    /// Locks in the order of ids: two batches with the same devices never wait for each other.
    static let lockProgress: PostgresStatement =
        """
        SELECT device_id, tenant_id, receipt_seq, receipt_hash, device_seq, gaps::text, audit_seq,
            audit_hash
        FROM device_progress WHERE device_id = ANY ($1::uuid[])
        ORDER BY device_id FOR UPDATE
        """

    static let findReceipts: PostgresStatement =
        """
        SELECT r.device_id, r.bundle_id, r.seq, r.bundle_digest, r.state, r.accepted, r.duplicate,
            r.rejected, r.conflict
        FROM unnest($1::uuid[], $2::uuid[]) AS w (device_id, bundle_id)
        JOIN receipts AS r USING (device_id, bundle_id)
        WHERE r.superseded_by IS NULL
        """

    static let insertTransactions: PostgresStatement =
        """
        INSERT INTO transactions (tenant_id, id, device_id, bundle_id, bundle_index, occurred_at,
            offset_minutes, content_key, content_hash, type, actor, payload, content_type, body)
        SELECT * FROM unnest($1::integer[], $2::uuid[], $3::uuid[], $4::uuid[], $5::integer[],
            $6::timestamptz[], $7::smallint[], $8::smallint[], $9::bytea[], $10::text[],
            $11::text[], $12::jsonb[], $13::text[], $14::bytea[])
        ON CONFLICT (tenant_id, id) DO NOTHING
        RETURNING tenant_id, id
        """

    static let copyTransactions: PostgresStatement =
        """
        COPY transactions (tenant_id, id, device_id, bundle_id, bundle_index, occurred_at,
            offset_minutes, content_key, content_hash, type, actor, payload, content_type, body)
        FROM STDIN (FORMAT binary)
        """

    static let copyStaged: PostgresStatement =
        """
        COPY waybill_staged (tenant_id, id, device_id, bundle_id, bundle_index, occurred_at,
            offset_minutes, content_key, content_hash, type, actor, payload, content_type, body)
        FROM STDIN (FORMAT binary)
        """

    static let insertStaged: PostgresStatement =
        """
        INSERT INTO transactions (tenant_id, id, device_id, bundle_id, bundle_index, occurred_at,
            offset_minutes, content_key, content_hash, type, actor, payload, content_type, body)
        SELECT tenant_id, id, device_id, bundle_id, bundle_index, occurred_at, offset_minutes,
            content_key, content_hash, type, actor, payload, content_type, body
        FROM waybill_staged ORDER BY tenant_id, id
        ON CONFLICT (tenant_id, id) DO NOTHING
        RETURNING tenant_id, id
        """

    static let emptyStaging: PostgresStatement = "TRUNCATE waybill_staged"

    /// A statement of its own: one that inserts cannot see what a concurrent one has stored meanwhile.
    static let findStored: PostgresStatement =
        """
        SELECT t.tenant_id, t.id, t.content_key, t.content_hash
        FROM unnest($1::integer[], $2::uuid[]) AS w (tenant_id, id)
        JOIN transactions AS t USING (tenant_id, id)
        """

    static let insertExceptions: PostgresStatement =
        """
        INSERT INTO exceptions (device_id, bundle_id, bundle_index, tenant_id, transaction_id,
            outcome, code, detail, raw, root_key_id)
        SELECT w.*, $10::text
        FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::integer[], $5::uuid[], $6::text[],
            $7::text[], $8::text[], $9::bytea[]) AS w
        """

    static let insertReceipts: PostgresStatement =
        """
        INSERT INTO receipts (device_id, seq, tenant_id, bundle_id, bundle_digest, part_byte_counts,
            state, code, accepted, duplicate, rejected, conflict, settled_at, hash, document, key_id,
            supersedes)
        SELECT w.device_id, w.seq, w.tenant_id, w.bundle_id, w.bundle_digest,
            w.part_byte_counts::bigint[], w.state, w.code, w.accepted, w.duplicate, w.rejected,
            w.conflict, w.settled_at, w.hash, w.document, $16::text, w.supersedes
        FROM unnest($1::uuid[], $2::bigint[], $3::integer[], $4::uuid[], $5::bytea[], $6::text[],
            $7::text[], $8::text[], $9::integer[], $10::integer[], $11::integer[], $12::integer[],
            $13::timestamptz[], $14::bytea[], $15::text[], $17::bigint[])
            AS w (device_id, seq, tenant_id, bundle_id, bundle_digest, part_byte_counts, state, code,
                accepted, duplicate, rejected, conflict, settled_at, hash, document, supersedes)
        """

    static let copyReceipts: PostgresStatement =
        """
        COPY receipts (device_id, seq, tenant_id, bundle_id, bundle_digest, part_byte_counts, state,
            code, accepted, duplicate, rejected, conflict, settled_at, hash, document, key_id,
            supersedes)
        FROM STDIN (FORMAT binary)
        """

    static let copyAudit: PostgresStatement =
        """
        COPY audit_events (chain_id, chain_seq, tenant_id, recorded_at, node, kind, actor, subject,
            details, previous, hash)
        FROM STDIN (FORMAT binary)
        """

    /// Locks the dead letters that are tried again: an operator may be discarding one.
    static let lockDeadLetters: PostgresStatement =
        """
        SELECT dead_letter_id, resolved_at IS NULL FROM dead_letters
        WHERE dead_letter_id = ANY ($1::uuid[])
        ORDER BY dead_letter_id FOR UPDATE
        """

    /// Before the new receipts come: a bundle has one receipt that is not superseded.
    static let supersedeReceipts: PostgresStatement =
        """
        UPDATE receipts AS r SET superseded_by = w.superseded_by
        FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS w (device_id, seq, superseded_by)
        WHERE r.device_id = w.device_id AND r.seq = w.seq
        """

    static let resolveDeadLetters: PostgresStatement =
        """
        UPDATE dead_letters SET resolved_at = now(), resolution = 'settled'
        WHERE dead_letter_id = ANY ($1::uuid[]) AND resolved_at IS NULL
        """

    static let noteFailedRetries: PostgresStatement =
        """
        UPDATE dead_letters AS d SET attempts = d.attempts + 1, last_error = w.last_error
        FROM unnest($1::uuid[], $2::text[]) AS w (dead_letter_id, last_error)
        WHERE d.dead_letter_id = w.dead_letter_id
        """

    static let insertDeadLetters: PostgresStatement =
        """
        INSERT INTO dead_letters (dead_letter_id, tenant_id, device_id, bundle_id, receipt_seq, code,
            detail, file_name, byte_count, epoch, node)
        SELECT w.dead_letter_id, w.tenant_id, w.device_id, w.bundle_id, w.receipt_seq, w.code,
            w.detail, w.file_name, w.byte_count, NULLIF(w.epoch, 0), $11::text
        FROM unnest($1::uuid[], $2::integer[], $3::uuid[], $4::uuid[], $5::bigint[], $6::text[],
            $7::text[], $8::text[], $9::bigint[], $10::integer[])
            AS w (dead_letter_id, tenant_id, device_id, bundle_id, receipt_seq, code, detail,
                file_name, byte_count, epoch)
        """

    static let insertAudit: PostgresStatement =
        """
        INSERT INTO audit_events (chain_id, chain_seq, tenant_id, recorded_at, kind, actor, subject,
            details, previous, hash, node)
        SELECT w.chain_id, w.chain_seq, w.tenant_id, w.recorded_at, w.kind, w.actor, w.subject,
            w.details::json, w.previous, w.hash, $11::text
        FROM unnest($1::uuid[], $2::bigint[], $3::integer[], $4::timestamptz[], $5::text[],
            $6::text[], $7::text[], $8::text[], $9::bytea[], $10::bytea[])
            AS w (chain_id, chain_seq, tenant_id, recorded_at, kind, actor, subject, details,
                previous, hash)
        """

    static let updateProgress: PostgresStatement =
        """
        UPDATE device_progress AS p
        SET receipt_seq = w.receipt_seq, receipt_hash = w.receipt_hash, device_seq = w.device_seq,
            gaps = w.gaps::jsonb, audit_seq = w.audit_seq, audit_hash = w.audit_hash
        FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::bigint[], $5::text[], $6::bigint[],
            $7::bytea[])
            AS w (device_id, receipt_seq, receipt_hash, device_seq, gaps, audit_seq, audit_hash)
        WHERE p.device_id = w.device_id
        """

    static let findSecrets: PostgresStatement =
        """
        SELECT k.device_id, k.epoch, k.secret, k.closed_at,
            d.epoch > k.epoch OR d.first_seen_at IS NOT NULL
        FROM unnest($1::uuid[], $2::integer[]) AS w (device_id, epoch)
        JOIN device_keys AS k USING (device_id, epoch)
        JOIN devices AS d USING (device_id)
        WHERE k.closed_at IS NULL OR k.closed_at > now()
        """

    static let findOpenEpochs: PostgresStatement =
        """
        SELECT device_id, epoch FROM device_keys
        WHERE device_id = ANY ($1::uuid[]) AND (closed_at IS NULL OR closed_at > now())
        ORDER BY device_id, epoch DESC
        """
}

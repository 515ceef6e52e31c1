internal import WaybillPostgres

/// The statements about dead letters.
///
/// A retry is under way while `retry_number` is over `attempts`, for ten minutes at most: a server
/// that stopped between asking and queueing must not lock a letter for ever, and a second message
/// for the same bundle does no harm.
enum DeadLetterStatements {
    static let list: PostgresStatement =
        """
        SELECT l.dead_letter_id, l.tenant_id, t.slug, l.device_id, l.bundle_id, r.bundle_digest,
            l.epoch::bigint, d.name, l.receipt_seq, l.code, l.detail, l.node, l.file_name,
            l.byte_count, r.part_byte_counts, l.attempts, l.last_error, l.created_at,
            l.resolved_at IS NULL AND l.retry_number > l.attempts
                AND l.retry_asked_at > now() - interval '10 minutes',
            l.resolved_at, l.resolution
        FROM dead_letters AS l
        JOIN tenants AS t USING (tenant_id)
        JOIN devices AS d ON d.device_id = l.device_id
        JOIN receipts AS r ON r.device_id = l.device_id AND r.seq = l.receipt_seq
        WHERE ($1::integer IS NULL OR l.tenant_id = $1::integer)
            AND ($2::uuid IS NULL OR l.device_id = $2::uuid)
            AND ($3::text IS NULL OR l.code = $3::text)
            AND ($4::timestamptz IS NULL OR l.created_at < $4::timestamptz)
            AND ($5::text = 'all' OR $5::text = 'open' AND l.resolved_at IS NULL
                OR $5::text = 'resolved' AND l.resolved_at IS NOT NULL)
            AND ($6::timestamptz IS NULL
                OR (l.created_at, l.dead_letter_id) > ($6::timestamptz, $7::uuid))
        ORDER BY l.created_at, l.dead_letter_id LIMIT $8::bigint
        """

    static let find: PostgresStatement =
        """
        SELECT l.dead_letter_id, l.tenant_id, t.slug, l.device_id, l.bundle_id, r.bundle_digest,
            l.epoch::bigint, d.name, l.receipt_seq, l.code, l.detail, l.node, l.file_name,
            l.byte_count, r.part_byte_counts, l.attempts, l.last_error, l.created_at,
            l.resolved_at IS NULL AND l.retry_number > l.attempts
                AND l.retry_asked_at > now() - interval '10 minutes',
            l.resolved_at, l.resolution
        FROM dead_letters AS l
        JOIN tenants AS t USING (tenant_id)
        JOIN devices AS d ON d.device_id = l.device_id
        JOIN receipts AS r ON r.device_id = l.device_id AND r.seq = l.receipt_seq
        WHERE l.dead_letter_id = $1::uuid
        """

    static let totals: PostgresStatement =
        """
        SELECT count(*), coalesce(sum(l.byte_count), 0)::bigint
        FROM dead_letters AS l
        WHERE ($1::integer IS NULL OR l.tenant_id = $1::integer)
            AND ($2::uuid IS NULL OR l.device_id = $2::uuid)
            AND ($3::text IS NULL OR l.code = $3::text)
            AND ($4::timestamptz IS NULL OR l.created_at < $4::timestamptz)
            AND ($5::text = 'all' OR $5::text = 'open' AND l.resolved_at IS NULL
                OR $5::text = 'resolved' AND l.resolved_at IS NOT NULL)
        """

    static let isDeviceKnown: PostgresStatement =
        "SELECT EXISTS (SELECT FROM devices WHERE device_id = $1::uuid)"

    /// Locked in the order of ids: two that act on the same letters never wait for each other in a
    /// circle, and whoever comes second finds them taken.
    static let claimRetries: PostgresStatement =
        """
        WITH free AS (
            SELECT dead_letter_id FROM dead_letters
            WHERE dead_letter_id = ANY ($1::uuid[]) AND resolved_at IS NULL
                AND (retry_number <= attempts OR retry_asked_at <= now() - interval '10 minutes')
            ORDER BY dead_letter_id FOR UPDATE
        )
        UPDATE dead_letters AS l SET retry_number = l.attempts + 1, retry_asked_at = now()
        FROM free WHERE l.dead_letter_id = free.dead_letter_id
        RETURNING l.dead_letter_id
        """

    static let releaseRetries: PostgresStatement =
        """
        UPDATE dead_letters SET retry_number = attempts
        WHERE dead_letter_id = ANY ($1::uuid[]) AND resolved_at IS NULL AND retry_number > attempts
        """

    static let discard: PostgresStatement =
        """
        WITH free AS (
            SELECT dead_letter_id FROM dead_letters
            WHERE dead_letter_id = ANY ($1::uuid[]) AND resolved_at IS NULL
                AND (retry_number <= attempts OR retry_asked_at <= now() - interval '10 minutes')
            ORDER BY dead_letter_id FOR UPDATE
        )
        UPDATE dead_letters AS l SET resolved_at = now(), resolution = 'discarded'
        FROM free WHERE l.dead_letter_id = free.dead_letter_id
        RETURNING l.dead_letter_id
        """

    /// Of files, those that belong to a known device and to no open letter. Where the device is
    /// unknown this may be the wrong database: its files stay.
    static let findOrphans: PostgresStatement =
        """
        SELECT w.file_name
        FROM unnest($1::text[], $2::uuid[]) AS w (file_name, device_id)
        JOIN devices AS d USING (device_id)
        WHERE NOT EXISTS (
            SELECT FROM dead_letters AS l
            WHERE l.file_name = w.file_name AND l.resolved_at IS NULL)
        """
}

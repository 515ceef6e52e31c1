internal import WaybillPostgres

/// The statements of ``Store`` about devices and what they may ask about themselves.
enum DeviceStatements {
    static let lockInvitation: PostgresStatement =
        """
        SELECT i.tenant_id, t.slug, i.expires_at > now(), i.used_at IS NOT NULL, i.device_id,
            i.request_id, i.rotates_device_id, coalesce(i.epoch, 1)
        FROM invitations AS i JOIN tenants AS t USING (tenant_id)
        WHERE i.code_hash = $1::bytea
        FOR UPDATE OF i
        """

    static let useInvitation: PostgresStatement =
        """
        UPDATE invitations
        SET used_at = now(), device_id = $2::uuid, request_id = $3::uuid, epoch = $4::integer
        WHERE code_hash = $1::bytea
        """

    static let insertDevice: PostgresStatement =
        """
        INSERT INTO devices (device_id, tenant_id, name, token_hash, epoch)
        VALUES ($1::uuid, $2::integer, $3::text, $4::bytea, 1)
        """

    static let insertDeviceKey: PostgresStatement =
        """
        INSERT INTO device_keys (device_id, epoch, tenant_id, secret, root_key_id)
        VALUES ($1::uuid, $2::integer, $3::integer, $4::bytea, $5::text)
        """

    static let insertProgress: PostgresStatement =
        "INSERT INTO device_progress (device_id, tenant_id) VALUES ($1::uuid, $2::integer)"

    /// Only while the device has not been seen under that epoch.
    static let renewDevice: PostgresStatement =
        """
        UPDATE devices SET token_hash = $2::bytea, name = $3::text, changed_at = now()
        WHERE device_id = $1::uuid AND epoch = $4::integer AND first_seen_at IS NULL
            AND revoked_at IS NULL
        RETURNING device_id
        """

    static let renewDeviceKey: PostgresStatement =
        """
        UPDATE device_keys SET secret = $3::bytea, root_key_id = $4::text
        WHERE device_id = $1::uuid AND epoch = $2::integer
        """

    /// Ends codes for the device that nobody has used.
    static let voidRotations: PostgresStatement =
        """
        UPDATE invitations SET expires_at = now()
        WHERE rotates_device_id = $1::uuid AND used_at IS NULL AND expires_at > now()
        """

    static let lockDevice: PostgresStatement =
        """
        SELECT tenant_id, epoch, revoked_at IS NOT NULL FROM devices WHERE device_id = $1::uuid
        FOR UPDATE
        """

    static let insertRotation: PostgresStatement =
        """
        INSERT INTO invitations (code_hash, tenant_id, expires_at, rotates_device_id, epoch)
        VALUES ($1::bytea, $2::integer, $3::timestamptz, $4::uuid, $5::integer)
        """

    /// Only from the epoch before, and unless the device was revoked meanwhile. Nobody has seen it
    /// under the new one.
    static let rotateDevice: PostgresStatement =
        """
        UPDATE devices
        SET token_hash = $2::bytea, name = $3::text, epoch = $4::integer, first_seen_at = NULL,
            changed_at = now()
        WHERE device_id = $1::uuid AND epoch = $4::integer - 1 AND revoked_at IS NULL
        RETURNING device_id
        """

    static let closeEpochs: PostgresStatement =
        """
        UPDATE device_keys SET closed_at = $2::timestamptz
        WHERE device_id = $1::uuid AND closed_at IS NULL
        """

    static let markSeen: PostgresStatement =
        """
        UPDATE devices SET first_seen_at = now(), changed_at = now()
        WHERE device_id = $1::uuid AND epoch = $2::integer AND first_seen_at IS NULL
        """

    static let revokeDevice: PostgresStatement =
        """
        UPDATE devices SET revoked_at = coalesce(revoked_at, now()), changed_at = now()
        WHERE device_id = $1::uuid
        """

    /// Heard by every server node when the transaction is committed.
    static let announceDevice: PostgresStatement =
        "SELECT pg_notify('waybill_devices', $1::text)"

    static let listRegistry: PostgresStatement =
        """
        SELECT d.token_hash, d.device_id, d.tenant_id, t.slug, d.name, d.epoch,
            d.revoked_at IS NOT NULL, d.first_seen_at IS NOT NULL
        FROM devices AS d JOIN tenants AS t USING (tenant_id)
        WHERE $1::timestamptz IS NULL OR d.changed_at >= $1::timestamptz
        """

    static let findDevice: PostgresStatement =
        """
        SELECT d.token_hash, d.device_id, d.tenant_id, t.slug, d.name, d.epoch,
            d.revoked_at IS NOT NULL, d.first_seen_at IS NOT NULL
        FROM devices AS d JOIN tenants AS t USING (tenant_id)
        WHERE d.token_hash = $1::bytea
        """

    /// With a backup policy, receipts count that the newest complete backup covers: committed
    /// before it began. Their time alone cannot say so, since a receipt is dated before its commit;
    /// the transaction's number alone cannot either, since a database that was restored from a dump
    /// counts its transactions anew.
    static let findProgress: PostgresStatement =
        """
        SELECT p.receipt_seq, coalesce(c.confirmed, 0),
            CASE WHEN $2::boolean THEN coalesce((
                SELECT r.seq FROM receipts AS r, (
                    SELECT began_at, seen FROM backups WHERE completed_at IS NOT NULL
                    ORDER BY began_at DESC LIMIT 1
                ) AS b
                WHERE r.device_id = p.device_id AND r.settled_at <= b.began_at
                    AND (r.settled_in IS NULL OR pg_visible_in_snapshot(r.settled_in, b.seen)
                        OR r.settled_at < b.began_at - interval '1 day')
                ORDER BY r.seq DESC LIMIT 1
            ), 0) ELSE p.receipt_seq END,
            p.device_seq, p.gaps::text
        FROM device_progress AS p LEFT JOIN confirmations AS c USING (device_id)
        WHERE p.device_id = $1::uuid
        """

    /// At least one, then as many as fit.
    static let listReceipts: PostgresStatement =
        """
        SELECT document, seq FROM (
            SELECT seq, document, row_number() OVER (ORDER BY seq) AS position,
                sum(octet_length(document)) OVER (ORDER BY seq) AS bytes
            FROM (
                SELECT seq, document FROM receipts
                WHERE device_id = $1::uuid AND seq > $2::bigint ORDER BY seq LIMIT $3::bigint
            ) AS following
        ) AS counted
        WHERE position = 1 OR bytes <= $4::bigint ORDER BY seq
        """

    static let findLastReceipts: PostgresStatement =
        """
        SELECT device_id, receipt_seq FROM device_progress WHERE device_id = ANY ($1::uuid[])
        """

    static let insertBackup: PostgresStatement =
        """
        INSERT INTO backups (seen) VALUES (pg_current_snapshot())
        RETURNING backup_id, began_at, completed_at
        """

    static let completeBackup: PostgresStatement =
        """
        UPDATE backups SET completed_at = coalesce(completed_at, now())
        WHERE backup_id = $1::bigint
        RETURNING backup_id, began_at, completed_at
        """

    static let listBackups: PostgresStatement =
        """
        SELECT backup_id, began_at, completed_at FROM backups
        ORDER BY backup_id DESC LIMIT 100
        """
}

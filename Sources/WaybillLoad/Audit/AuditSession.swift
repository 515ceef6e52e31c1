internal import WaybillModel
internal import WaybillPostgres

/// The audit's session with the database: one transaction that reads one snapshot and writes nothing.
final class AuditSession {
    private let connection: PostgresConnection

    init(connectionString: String) throws {
        connection = try PostgresConnection(
            ConnectionOptions(
                connectionString: connectionString, applicationName: "waybill load audit",
                statementTimeout: .zero, idleTimeout: .zero))
    }

    /// - Parameter body: gets the tenant's number.
    /// - Throws: ``LedgerFault`` where the login sees too little, ``PostgresError``, and what `body`
    ///   throws.
    func withSnapshot<Value>(
        of tenant: TenantSlug, _ body: (Int32) throws -> Value
    ) throws -> Value {
        try connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        do {
            let value = try body(try enter(tenant))
            try connection.execute("ROLLBACK")
            return value
        } catch let error as PostgresError where error.sqlState == "42501" {
            throw LedgerFault.notPermitted(
                "the login may not read waybill.transactions, waybill.receipts and waybill.tenants: "
                    + "it needs SELECT on them with BYPASSRLS, or the role waybill_app")
        }
    }

    /// Takes on the role that row-level security lets through, where the login itself is held back.
    private func enter(_ tenant: TenantSlug) throws -> Int32 {
        let sees = try connection.query(
            "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
        let seesAll = sees.count == 1 ? try sees[0].bool(0) : false
        if !seesAll {
            try connection.query(
                """
                SELECT set_config('role', 'waybill_app', true),
                    set_config('waybill.scope', 'server', true)
                """)
        }
        let found = try connection.query(
            "SELECT tenant_id FROM waybill.tenants WHERE slug = $1::text",
            [.text(tenant.description)])
        guard found.count == 1 else { throw LedgerFault.tenantMissing(tenant.description) }
        let tenantID = try found[0].int4(0)
        if !seesAll {
            try connection.query(
                "SELECT set_config('waybill.tenant', $1::text, true)", [.text(String(tenantID))])
        }
        return tenantID
    }

    /// Calls `body` with pages of the rows of these devices, in the order of the table's pages.
    func forEachRow(
        of devices: [DeviceID], _ body: ([PostgresRow]) throws -> Void
    ) throws {
        try connection.query(
            """
            DECLARE rows_of_run NO SCROLL CURSOR FOR
            SELECT tenant_id, id, device_id, bundle_id, bundle_index, type, occurred_at,
                offset_minutes, actor, payload::text, content_type, body, emptied_at IS NOT NULL
            FROM waybill.transactions WHERE device_id = ANY ($1::uuid[])
            """, [.uuids(devices.map(\.words))])
        while true {
            let page = try connection.query("FETCH FORWARD 10000 FROM rows_of_run")
            if page.count == 0 { break }
            try body(Array(page.rows))
        }
        try connection.execute("CLOSE rows_of_run")
    }

    /// Calls `body` with pages of the receipts of these devices: device, number, text.
    func forEachReceipt(
        of devices: [DeviceID], _ body: ([PostgresRow]) throws -> Void
    ) throws {
        try connection.query(
            """
            DECLARE receipts_of_run NO SCROLL CURSOR FOR
            SELECT device_id, seq, document FROM waybill.receipts
            WHERE device_id = ANY ($1::uuid[])
            """, [.uuids(devices.map(\.words))])
        while true {
            let page = try connection.query("FETCH FORWARD 1000 FROM receipts_of_run")
            if page.count == 0 { break }
            try body(Array(page.rows))
        }
        try connection.execute("CLOSE receipts_of_run")
    }

    /// The rows under these ids, whatever device and tenant they stand under.
    func rows(ids: some Sequence<TransactionID>) throws -> [PostgresRow] {
        Array(
            try connection.query(
                """
                SELECT tenant_id, id, device_id, bundle_id, bundle_index, type, occurred_at,
                    offset_minutes, actor, payload::text, content_type, body,
                    emptied_at IS NOT NULL
                FROM waybill.transactions WHERE id = ANY ($1::uuid[])
                """, [.uuids(ids.map(\.words))]
            ).rows)
    }

    /// Those of the bundles that have a receipt.
    func bundlesWithReceipts(_ bundles: Set<DeviceBundle>) throws -> Set<DeviceBundle> {
        let pairs = Array(bundles)
        let found = try connection.query(
            """
            SELECT receipts.device_id, receipts.bundle_id FROM waybill.receipts
            JOIN unnest($1::uuid[], $2::uuid[]) AS wanted (device_id, bundle_id)
                ON receipts.device_id = wanted.device_id AND receipts.bundle_id = wanted.bundle_id
            WHERE receipts.superseded_by IS NULL
            """,
            [.uuids(pairs.map(\.device.words)), .uuids(pairs.map(\.bundle.words))])
        return Set(
            try found.rows.map {
                DeviceBundle(
                    device: DeviceID(words: try $0.uuid(0)), bundle: BundleID(words: try $0.uuid(1))
                )
            })
    }
}

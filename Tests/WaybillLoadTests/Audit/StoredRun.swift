import PostgresTesting
import Testing
import WaybillModel
import WaybillPostgres

@testable import WaybillLoad

/// A run whose rows lie in a database of its own.
struct StoredRun: Sendable {
    let run: AuditFixture
    let address: String
    /// Of the bundles that were settled.
    let rowCount: Int

    /// - Parameters:
    ///   - unanswered: bundles that were sent, without an answer, a receipt or rows.
    ///   - isRead: false leaves all receipts unread.
    static func with(
        bundles: Int = 40, unanswered: Set<Int> = [], isRead: Bool = true,
        _ change: (inout LoadPlan) -> Void = { _ in }, _ body: (StoredRun) async throws -> Void
    ) async throws {
        try await TestServer.withDatabase { address in
            try await AuditFixture.with(bundles: bundles, change) { run in
                try TestServer.connect(address).execute(
                    script: "INSERT INTO waybill.tenants (slug) VALUES ('load'), ('other')")
                run.send(0..<bundles, unanswered: unanswered)
                let settled = (0..<bundles).filter { !unanswered.contains($0) }
                for device in run.devices.indices where isRead {
                    let contents = settled.filter { $0 % run.devices.count == device }
                        .compactMap { run.content($0) }
                    let documents = try run.sign(contents)
                    run.read(documents, device: device)
                    try Self.insert(documents, contents, device: device, address)
                }
                let stored = StoredRun(
                    run: run, address: address,
                    rowCount: settled.reduce(0) { $0 + run.book.rows($1).count })
                for number in settled { try stored.insert(number) }
                try await body(stored)
            }
        }
    }

    func device(_ number: Int) -> DeviceID { run.devices[number % run.devices.count] }

    /// - Parameter role: what the session becomes, as a login of that name would be.
    func audit(role: String? = nil) async throws -> AuditReport {
        var text = address
        if let role {
            text +=
                address.hasPrefix("postgres")
                ? (address.contains("?") ? "&" : "?") + "options=-c%20role%3D\(role)"
                : " options='-c role=\(role)'"
        }
        return try await RowAudit(connectionString: text, ledger: run.ledger, source: run.book)
            .run()
    }

    func change(_ script: String) throws {
        try TestServer.connect(address).execute(script: script)
    }

    /// A row in the middle of the run that `isWanted`, at an index with a neighbour behind it.
    func target(
        where isWanted: (ExpectedRow) -> Bool = { _ in true }
    ) throws -> (number: Int, row: ExpectedRow) {
        for number in 10..<30 {
            for row in run.book.rows(number) where row.index < 10 && isWanted(row) {
                return (number, row)
            }
        }
        throw NoExample()
    }

    /// A transaction with that outcome, whose own id no row has.
    func place(of outcome: Outcome) throws -> (number: Int, index: Int) {
        for number in 5..<40 {
            let exceptions = run.book.expectation(number, digest: .zero)?.exceptions ?? []
            if let found = exceptions.first(where: { $0.outcome == outcome }) {
                return (number, found.index)
            }
        }
        throw NoExample()
    }

    /// Writes the rows of one bundle, as a listener does.
    func insert(_ number: Int) throws {
        let rows = run.book.rows(number)
        try TestServer.connect(address).query(
            """
            INSERT INTO waybill.transactions (tenant_id, id, device_id, bundle_id, bundle_index,
                type, occurred_at, offset_minutes, actor, payload, content_type, body, content_key,
                content_hash)
            SELECT 1, id, $1::uuid, $2::uuid, index, type, occurred_at, minutes, actor, payload,
                content_type, body, 1, decode(repeat('00', 32), 'hex')
            FROM unnest($3::uuid[], $4::int4[], $5::text[], $6::timestamptz[], $7::int2[],
                $8::text[], $9::jsonb[], $10::text[], $11::bytea[])
                AS rows (id, index, type, occurred_at, minutes, actor, payload, content_type, body)
            """,
            [
                .uuid(device(number).words), .uuid(run.book.bundleID(number).words),
                .uuids(rows.map(\.id.words)), .int4s(rows.map { Int32($0.index) }),
                .texts(rows.map(\.type)), .timestamps(rows.map(\.occurredAt)),
                .int2s(rows.map { Int16($0.offsetMinutes) }), .optionalTexts(rows.map(\.actor)),
                .optionalJSONBs(rows.map { $0.content.payload.map { $0[...] } }),
                .optionalTexts(rows.map { $0.content.body?.type }),
                .optionalByteArrays(rows.map { $0.content.body?.bytes }),
            ])
    }

    /// Writes the receipts of one device, as a listener does.
    private static func insert(
        _ documents: [String], _ contents: [ReceiptContent], device: Int, _ address: String
    ) throws {
        let connection = try TestServer.connect(address)
        for (position, document) in documents.enumerated() {
            let content = contents[position]
            try connection.query(
                """
                INSERT INTO waybill.receipts (device_id, seq, tenant_id, bundle_id, bundle_digest,
                    part_byte_counts, state, code, accepted, duplicate, rejected, conflict,
                    settled_at, hash, key_id, document)
                VALUES ($1::uuid, $2::bigint, 1, $3::uuid, $4::bytea, '{1}', $5::text, $6::text,
                    0, 0, 0, 0, now(), decode(repeat('00', 32), 'hex'), 'k1', $7::text)
                """,
                [
                    .uuid(content.deviceID.words), .int8(Int64(position + 1)),
                    .uuid(content.bundleID.words), .bytes(content.bundleDigest.bytes),
                    .text(content.state.rawValue), .text(content.code?.rawValue),
                    .text(document),
                ])
        }
    }

    /// SQL that copies a row; `newID` is an expression over the row.
    static func copying(_ id: TransactionID, _ newID: String) -> String {
        """
        INSERT INTO waybill.transactions (tenant_id, id, device_id, bundle_id, bundle_index, type,
            occurred_at, offset_minutes, actor, payload, content_type, body, content_key,
            content_hash)
        SELECT tenant_id, \(newID), device_id, bundle_id, bundle_index, type, occurred_at,
            offset_minutes, actor, payload, content_type, body, content_key, content_hash
        FROM waybill.transactions WHERE id = '\(id)'
        """
    }

    /// SQL that writes a receipt with what the audit of rows looks at.
    func receipt(device: DeviceID, bundle: BundleID) -> String {
        """
        INSERT INTO waybill.receipts (device_id, seq, tenant_id, bundle_id, bundle_digest,
            part_byte_counts, state, accepted, duplicate, rejected, conflict, settled_at, hash,
            key_id, document)
        VALUES ('\(device)', 1000, 1, '\(bundle)', decode(repeat('00', 32), 'hex'), '{1}', 'settled',
            1, 0, 0, 0, now(), decode(repeat('00', 32), 'hex'), 'k1', '{}')
        """
    }
}

extension ExpectedRow.Content {
    var payload: [UInt8]? {
        guard case .payload(let text) = self else { return nil }
        return text
    }

    var body: (type: String, bytes: [UInt8])? {
        guard case .body(let type, let bytes) = self else { return nil }
        return (type, bytes)
    }
}

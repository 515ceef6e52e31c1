internal import Foundation
package import WaybillModel
internal import WaybillPostgres

extension Store {
    /// A page of the audit, oldest row first.
    ///
    /// Pages after a cursor miss no row, whatever commits at the same time: they end where the oldest
    /// database transaction that still runs began.
    ///
    /// - Throws: ``StoreError/notFound`` without the tenant that the query names.
    package func audit(_ query: AuditQuery) async throws(StoreError) -> AuditPage {
        try await perform(as: .server) { connection in
            let tenant = try query.tenant.map { try Self.tenantID(of: $0, over: connection) }
            let horizon = try connection.query(AuditStatements.findHorizon)[0].text(0)
            let filter: [PostgresParameter] = [
                tenant.map { .int4($0.number) } ?? .null, .text(query.kind), .text(query.subject),
            ]
            let limit = PostgresParameter.int8(Int64(query.limit))
            switch query.place {
            case .newest, .before:
                let cursor: AuditCursor? =
                    if case .before(let cursor) = query.place { cursor } else { nil }
                let rows = try connection.query(
                    AuditStatements.listBefore,
                    filter + [
                        .timestamp(cursor.map { Int64(clamping: $0.key) }),
                        .uuid(cursor?.chain.words), .int8(cursor?.sequence), limit,
                    ])
                let events = try rows.rows.reversed().map { try AuditEntry($0) }
                return AuditPage(
                    events: events,
                    older: rows.count == query.limit ? events.first?.older.description : nil,
                    newer: Self.cursor(horizon).description)
            case .after(let cursor):
                let rows = try connection.query(
                    AuditStatements.listAfter,
                    filter + [
                        .text(String(cursor.key)), .uuid(cursor.chain.words),
                        .int8(cursor.sequence), limit, .text(horizon),
                    ])
                let events = try rows.rows.map { try AuditEntry($0) }
                var newer = Self.cursor(horizon)
                if rows.count == query.limit, let last = events.last {
                    newer = AuditCursor(
                        key: UInt64(try rows[rows.count - 1].text(10)) ?? newer.key,
                        chain: last.chain, sequence: last.sequence)
                }
                // A page that ends where it began keeps its place: the horizon never falls back.
                if newer.key < cursor.key { newer = cursor }
                return AuditPage(events: events, older: nil, newer: newer.description)
            }
        }
    }

    private static func cursor(_ horizon: String) -> AuditCursor {
        AuditCursor(key: UInt64(horizon) ?? 0)
    }
}

extension AuditEntry {
    /// A row of `listBefore` or `listAfter`.
    fileprivate init(_ row: PostgresRow) throws {
        self.init(
            chain: DeviceID(try row.uuid(0)), sequence: try row.int8(1),
            tenant: row.isNull(2) ? nil : try row.slug(2), recordedAt: try row.time(3),
            node: try row.text(4), kind: try row.text(5), actor: try row.text(6),
            subject: row.textIfPresent(7),
            details: try JSONDecoder().decode(JSONValue.self, from: Data(try row.text(8).utf8)),
            hash: try row.digest(9))
    }

    fileprivate var older: AuditCursor {
        AuditCursor(
            key: UInt64(clamping: recordedAt.microseconds), chain: chain, sequence: sequence)
    }
}

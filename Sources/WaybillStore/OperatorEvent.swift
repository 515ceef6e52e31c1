internal import WaybillModel
internal import WaybillPostgres

/// Something that is added to the operators' chain within a transaction that does it.
struct OperatorEvent {
    let kind: String
    let actor: String
    let tenant: TenantID?
    let subject: String?
    let details: [String: String]

    /// Adds events in their order. Holds the chain's lock until the transaction ends: keep it short,
    /// and take no other lock afterwards.
    static func append(
        _ events: [OperatorEvent], node: String, key: KeyedHash, over connection: PostgresConnection
    ) throws {
        guard !events.isEmpty else { return }
        try connection.query(StoreStatements.lockOperatorsChain)
        var (sequence, previous) = try end(over: connection)
        let now = Timestamp.now
        var rows: [(row: AuditRow, hash: Digest256)] = []
        for event in events {
            sequence += 1
            let details = CanonicalJSON.encode(
                .object(event.details.mapValues { JSONValue.string($0) }))
            let row = AuditRow(
                chain: AuditRow.operators, sequence: sequence, tenant: event.tenant,
                recordedAt: now, node: node, kind: event.kind, actor: event.actor,
                subject: event.subject, details: String(decoding: details, as: UTF8.self),
                previous: previous)
            previous = row.hash(key)
            rows.append((row, previous))
        }
        try connection.query(
            StoreStatements.insertOperatorEvents,
            [
                .uuid(AuditRow.operators.words), .timestamp(now.microseconds), .text(node),
                .int8s(rows.map(\.row.sequence)), .int4s(rows.map { $0.row.tenant?.number ?? 0 }),
                .texts(rows.map(\.row.kind)), .texts(rows.map(\.row.actor)),
                .optionalTexts(rows.map(\.row.subject)), .texts(rows.map(\.row.details)),
                .byteArrays(rows.map(\.row.previous.bytes)), .byteArrays(rows.map(\.hash.bytes)),
            ])
        try connection.query(
            AuditStatements.keepOperatorsEnd, [.int8(sequence), .bytes(previous.bytes)])
    }

    /// Where the chain ends. The kept end counts more than the last row, which may have been taken
    /// off: what follows then leaves the gap to be seen. Only older versions kept none.
    private static func end(
        over connection: PostgresConnection
    ) throws -> (sequence: Int64, hash: Digest256) {
        let kept = try connection.query(AuditStatements.findOperatorsEnd)
        let last = try connection.query(
            StoreStatements.findChainEnd, [.uuid(AuditRow.operators.words)])
        let ends = try (Array(kept.rows) + Array(last.rows)).map {
            (try $0.int8(0), try $0.digest(1))
        }
        return ends.reduce((0, .zero)) { $1.0 > $0.0 ? $1 : $0 }
    }
}

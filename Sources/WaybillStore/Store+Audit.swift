internal import WaybillModel
internal import WaybillPostgres

extension Store {
    /// Adds what an operator did to the operators' chain.
    ///
    /// - Throws: ``StoreError/notFound`` without the tenant that the event names.
    package func record(_ event: AuditEvent, node: String = "") async throws(StoreError) {
        let auditKey = rootKey.auditKey
        let details = CanonicalJSON.encode(
            .object(event.details.mapValues { JSONValue.string($0) }))
        try await perform(as: .server) { connection in
            let tenant = try event.tenant.map { try Self.tenantID(of: $0, over: connection) }
            try connection.query(StoreStatements.lockOperatorsChain)
            let end = try connection.query(
                StoreStatements.findChainEnd, [.uuid(AuditRow.operators.words)])
            let row = AuditRow(
                chain: AuditRow.operators,
                sequence: end.count == 1 ? try end[0].int8(0) + 1 : 1, tenant: tenant,
                recordedAt: .now, node: node, kind: event.kind, actor: event.actor,
                subject: event.subject, details: String(decoding: details, as: UTF8.self),
                previous: end.count == 1 ? try end[0].digest(1) : .zero)
            try connection.query(
                StoreStatements.insertAudit,
                [
                    .uuid(row.chain.words), .int8(row.sequence),
                    row.tenant.map { .int4($0.number) } ?? .null,
                    .timestamp(row.recordedAt.microseconds), .text(row.node), .text(row.kind),
                    .text(row.actor), .text(row.subject), .text(row.details),
                    .bytes(row.previous.bytes), .bytes(row.hash(key: auditKey).bytes),
                ])
            return
        }
    }

    /// Bundles that are set aside and wait for an operator.
    package func deadLetterCount() async throws(StoreError) -> Int {
        try await perform(as: .server) { connection in
            Int(try connection.query(StoreStatements.countDeadLetters)[0].int8(0))
        }
    }
}

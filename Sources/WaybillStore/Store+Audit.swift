internal import WaybillModel
internal import WaybillPostgres

extension Store {
    /// Adds what an operator did to the operators' chain.
    ///
    /// - Throws: ``StoreError/notFound`` without the tenant that the event names.
    package func record(_ event: AuditEvent, node: String = "") async throws(StoreError) {
        let auditKey = rootKey.auditKey
        try await perform(as: .server) { connection in
            let operatorEvent = OperatorEvent(
                kind: event.kind, actor: event.actor,
                tenant: try event.tenant.map { try Self.tenantID(of: $0, over: connection) },
                subject: event.subject, details: event.details)
            try OperatorEvent.append([operatorEvent], node: node, key: auditKey, over: connection)
        }
    }

    /// Bundles that are set aside and wait for an operator.
    package func deadLetterCount() async throws(StoreError) -> Int {
        try await perform(as: .server) { connection in
            Int(try connection.query(StoreStatements.countDeadLetters)[0].int8(0))
        }
    }
}

package import WaybillModel
internal import WaybillPostgres

/// One page of a list of dead letters, oldest first.
package struct DeadLetterQuery: Sendable {
    /// Where the page before ended.
    package struct Position: Sendable {
        package let createdAt: Timestamp
        package let id: DeadLetterID

        package init(_ letter: StoredDeadLetter) {
            createdAt = letter.createdAt
            id = letter.id
        }
    }

    package var filter: DeadLetterFilter
    package var state: DeadLetterState
    package var after: Position?
    /// From 1.
    package var limit: Int

    package init(
        filter: DeadLetterFilter = DeadLetterFilter(), state: DeadLetterState = .open,
        after: Position? = nil, limit: Int
    ) {
        self.filter = filter
        self.state = state
        self.after = after
        self.limit = limit
    }
}

/// How much a filter comes to.
package struct DeadLetterTotals: Sendable, Equatable {
    package let count: Int
    /// Zipped bytes.
    package let bytes: Int

    package init(count: Int, bytes: Int) {
        self.count = count
        self.bytes = bytes
    }
}

/// Who does something to dead letters, as the audit will name it.
package struct DeadLetterActor: Sendable {
    package let name: String
    /// The server node that it was asked of.
    package let node: String
    /// Why, beyond what the kind says; the bulk job, for instance.
    package let reason: String?

    package init(name: String, node: String, reason: String? = nil) {
        self.name = name
        self.node = node
        self.reason = reason
    }
}

extension Store {
    /// A page of the letters that fit, oldest first.
    ///
    /// - Throws: ``StoreError/invalid(_:)`` for a tenant or device that there is not.
    package func deadLetters(
        _ query: DeadLetterQuery
    ) async throws(StoreError) -> [StoredDeadLetter] {
        try await perform(as: .server) { connection in
            let parameters = try Self.parameters(query.filter, query.state, over: connection)
            return try connection.query(
                DeadLetterStatements.list,
                parameters + [
                    .timestamp(query.after?.createdAt.microseconds), .uuid(query.after?.id.words),
                    .int8(Int64(max(1, query.limit))),
                ]
            ).rows.map { try StoredDeadLetter($0) }
        }
    }

    /// Nil if there is no such letter.
    package func deadLetter(_ id: DeadLetterID) async throws(StoreError) -> StoredDeadLetter? {
        try await perform(as: .server) { connection in
            let found = try connection.query(DeadLetterStatements.find, [.uuid(id.words)])
            return found.count == 1 ? try StoredDeadLetter(found[0]) : nil
        }
    }

    /// Counts what fits, in time proportional to it.
    ///
    /// - Throws: ``StoreError/invalid(_:)`` for a tenant or device that there is not.
    package func deadLetterTotals(
        _ filter: DeadLetterFilter, state: DeadLetterState = .open
    ) async throws(StoreError) -> DeadLetterTotals {
        try await perform(as: .server) { connection in
            let row = try connection.query(
                DeadLetterStatements.totals,
                try Self.parameters(filter, state, over: connection))[0]
            return DeadLetterTotals(count: Int(try row.int8(0)), bytes: Int(try row.int8(1)))
        }
    }

    /// Marks letters as being retried, with an audit row for each, in one transaction.
    ///
    /// - Returns: those that were free; the others are resolved, or somebody else retries them.
    package func claimRetries(
        _ letters: [StoredDeadLetter], by actor: DeadLetterActor
    ) async throws(StoreError) -> Set<DeadLetterID> {
        try await act(DeadLetterStatements.claimRetries, "dead_letter.retry", letters, actor)
    }

    /// Takes claims back whose messages could not be queued.
    package func releaseRetries(_ ids: [DeadLetterID]) async throws(StoreError) {
        try await perform(as: .server) { connection in
            try connection.query(
                DeadLetterStatements.releaseRetries, [.uuids(ids.map(\.words))])
            return
        }
    }

    /// Resolves letters as discarded, with an audit row for each, in one transaction. The files are
    /// the caller's to unlink afterwards.
    ///
    /// - Parameter kind: of the audit rows.
    /// - Returns: those that were open; the others are resolved already, or being retried.
    package func discard(
        _ letters: [StoredDeadLetter], kind: String = "dead_letter.discard",
        by actor: DeadLetterActor
    ) async throws(StoreError) -> Set<DeadLetterID> {
        try await act(DeadLetterStatements.discard, kind, letters, actor)
    }

    /// Of files of dead letters, those that nothing needs any more.
    ///
    /// - Parameter files: names without the part's number, and the devices they are of.
    package func orphans(
        among files: [(name: String, device: DeviceID)]
    ) async throws(StoreError) -> [String] {
        try await perform(as: .server) { connection in
            try connection.query(
                DeadLetterStatements.findOrphans,
                [.texts(files.map(\.name)), .uuids(files.map(\.device.words))]
            ).rows.map { try $0.text(0) }
        }
    }

    private func act(
        _ statement: PostgresStatement, _ kind: String, _ letters: [StoredDeadLetter],
        _ actor: DeadLetterActor
    ) async throws(StoreError) -> Set<DeadLetterID> {
        guard !letters.isEmpty else { return [] }
        let auditKey = rootKey.auditKey
        return try await perform(as: .server) { connection in
            let changed = Set(
                try connection.query(statement, [.uuids(letters.map(\.id.words))]).rows.map {
                    DeadLetterID(try $0.uuid(0))
                })
            let rows = letters.filter { changed.contains($0.id) }.map { letter in
                OperatorEvent(
                    kind: kind, actor: actor.name, tenant: letter.tenant,
                    subject: letter.bundleID.description,
                    details: letter.auditDetails(reason: actor.reason))
            }
            try OperatorEvent.append(rows, node: actor.node, key: auditKey, over: connection)
            return changed
        }
    }

    /// The first five parameters of `list` and `totals`.
    private static func parameters(
        _ filter: DeadLetterFilter, _ state: DeadLetterState, over connection: PostgresConnection
    ) throws -> [PostgresParameter] {
        var tenant: TenantID?
        if let slug = filter.tenant {
            let found = try connection.query(StoreStatements.findTenant, [.text(slug.text)])
            guard found.count == 1 else {
                throw StoreError.invalid("tenant: there is none of this name")
            }
            tenant = TenantID(try found[0].int4(0))
        }
        if let device = filter.device {
            let isKnown = try connection.query(
                DeadLetterStatements.isDeviceKnown, [.uuid(device.words)])[0].bool(0)
            guard isKnown else { throw StoreError.invalid("device: there is none of this id") }
        }
        return [
            tenant.map { .int4($0.number) } ?? .null, .uuid(filter.device?.words),
            .text(filter.code?.rawValue), .timestamp(filter.before?.microseconds),
            .text(state.rawValue),
        ]
    }
}

extension StoredDeadLetter {
    /// A row of `list` or `find`.
    fileprivate init(_ row: PostgresRow) throws {
        self.init(
            id: DeadLetterID(try row.uuid(0)), tenant: TenantID(try row.int4(1)),
            tenantSlug: try row.slug(2), deviceID: DeviceID(try row.uuid(3)),
            bundleID: BundleID(try row.uuid(4)), bundleDigest: try row.digest(5),
            epoch: try row.int8IfPresent(6).map { Int($0) }, deviceName: try row.text(7),
            receiptSeq: try row.int8(8), code: try row.text(9), detail: try row.text(10),
            node: try row.text(11), fileName: try row.text(12), byteCount: Int(try row.int8(13)),
            partByteCounts: try row.int8s(14).map { Int($0) }, attempts: Int(try row.int4(15)),
            lastError: row.textIfPresent(16), createdAt: try row.time(17),
            isRetrying: try row.bool(18), resolvedAt: try row.timeIfPresent(19),
            resolution: row.textIfPresent(20))
    }

    fileprivate func auditDetails(reason: String?) -> [String: String] {
        var details = [
            "dead_letter": id.description, "device_id": deviceID.description,
            "receipt_seq": String(receiptSeq), "code": code,
        ]
        if let reason { details["reason"] = reason }
        return details
    }

    /// As operators see it.
    package var summary: DeadLetterSummary {
        DeadLetterSummary(
            id: id, tenant: tenantSlug, deviceID: deviceID, deviceName: deviceName,
            bundleID: bundleID, bundleDigest: bundleDigest, receiptSeq: receiptSeq, code: code,
            detail: detail, epoch: epoch, parts: partByteCounts, bytes: byteCount, node: node,
            createdAt: createdAt, attempts: attempts, lastError: lastError, retrying: isRetrying,
            resolvedAt: resolvedAt, resolution: resolution)
    }
}

internal import WaybillModel
internal import WaybillPostgres

/// Compares all rows of a run with what was sent, and its receipts with those that devices hold, in one
/// snapshot of the database.
///
/// The table is read once, from its first page to its last: it has no index by device or bundle. Each
/// row is compared with one that is made again from its id; what is kept of the rows is which of
/// them were seen (see ``ExpectedRows``).
///
/// The login needs `SELECT` on `waybill.transactions`, `waybill.receipts` and `waybill.tenants`, and
/// must be a superuser, have `BYPASSRLS`, or be a member of `waybill_app`. In the last case, which is
/// that of the role that migrates, it sees the run's tenant alone: a row that was moved to another
/// tenant is then told as lost.
package struct RowAudit: Sendable {
    private let connectionString: String
    private let ledger: BundleLedger
    private let source: any ExpectationSource

    package init(
        connectionString: String, ledger: BundleLedger, source: any ExpectationSource
    ) {
        self.connectionString = connectionString
        self.ledger = ledger
        self.source = source
    }

    /// - Parameter onProgress: called on the audit's thread with the rows that were read so far.
    /// - Throws: ``LedgerFault``, ``PostgresError``, and what the source throws.
    package func run(
        onProgress: @escaping @Sendable (Int) -> Void = { _ in }
    ) async throws -> AuditReport {
        try await AuditThreads.run { [self] in try compare(onProgress) }
    }

    private func compare(_ onProgress: @Sendable (Int) -> Void) throws -> AuditReport {
        let session = try AuditSession(connectionString: connectionString)
        return try session.withSnapshot(of: ledger.run.tenant) { tenantID in
            var judge = RowJudge(
                state: ledger.snapshot, devices: ledger.run.devices, source: source,
                tenantID: tenantID)
            var count = 0
            try session.forEachRow(of: ledger.run.devices) { rows in
                for row in rows { try judge.judge(StoredRow(row)) }
                count += rows.count
                onProgress(count)
                if judge.foreign.count >= 10_000 { try check(&judge, session) }
            }
            try check(&judge, session)
            try judge.judgeCopies()
            try findMissing(&judge, session)
            var receipts = try StoredReceipts(ledger: ledger)
            try session.forEachReceipt(of: ledger.run.devices) { page in
                for row in page {
                    try receipts.judge(
                        device: DeviceID(words: row.uuid(0)), sequence: row.int8(1),
                        document: row.bytes(2))
                }
            }
            try receipts.finish()
            var report = judge.report
            report.add(receipts.report)
            return report
        }
    }

    /// Rows of bundles that are not of this run must have come from other runs.
    private func check(_ judge: inout RowJudge, _ session: AuditSession) throws {
        let foreign = judge.foreign
        judge.foreign = []
        guard !foreign.isEmpty else { return }
        let settled = try session.bundlesWithReceipts(
            Set(foreign.map { DeviceBundle(device: $0.deviceID, bundle: $0.bundleID) }))
        for row in foreign
        where !settled.contains(DeviceBundle(device: row.deviceID, bundle: row.bundleID)) {
            judge.reportForeign(row)
        }
    }

    /// Rows that none of the run's devices has may stand under another device.
    private func findMissing(_ judge: inout RowJudge, _ session: AuditSession) throws {
        var missing: [(number: Int, id: TransactionID, index: Int)] = []
        try judge.missingRows { number, row in missing.append((number, row.id, row.index)) }
        var found: Set<TransactionID> = []
        // Each look-up may read the whole table: beyond these, what is missing is lost all the same.
        let lookedUp = missing.prefix(Self.lookedUpMax).map(\.id)
        for start in stride(from: 0, to: lookedUp.count, by: 10_000) {
            let ids = lookedUp[start..<min(lookedUp.count, start + 10_000)]
            for row in try session.rows(ids: ids) {
                let stored = try StoredRow(row)
                found.insert(stored.id)
                try judge.judge(stored)
            }
        }
        for row in missing where !found.contains(row.id) {
            judge.reportLost(row.number, row.id, index: row.index)
        }
    }

    private static let lookedUpMax = 100_000
}

/// A bundle as the database knows it: ids of bundles are unique per device only.
struct DeviceBundle: Hashable {
    var device: DeviceID
    var bundle: BundleID
}

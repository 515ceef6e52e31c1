/// The whole audit of one run: its receipts, and its rows where a database is given.
package enum LedgerAudit {
    /// - Parameters:
    ///   - connectionString: nil leaves the database alone.
    ///   - onProgress: called with the rows that were read so far.
    package static func run(
        _ ledger: BundleLedger, source: any ExpectationSource, connectionString: String?,
        onProgress: @escaping @Sendable (Int) -> Void = { _ in }
    ) async throws -> AuditReport {
        var report = try await ReceiptAudit(ledger: ledger, source: source).run()
        if let connectionString {
            report.add(
                try await RowAudit(
                    connectionString: connectionString, ledger: ledger, source: source
                ).run(onProgress: onProgress))
        }
        return report
    }

    /// Of a run whose ledger was saved: again, on a later day, or after the database was restored.
    package static func run(
        directory: String, connectionString: String?,
        onProgress: @escaping @Sendable (Int) -> Void = { _ in }
    ) async throws -> AuditReport {
        let run = try BundleLedger.run(in: directory)
        let book = RecipeBook(plan: run.plan, runID: run.runID)
        let ledger = try BundleLedger.load(directory) { book.number(of: $0) }
        return try await Self.run(
            ledger, source: book, connectionString: connectionString, onProgress: onProgress)
    }
}

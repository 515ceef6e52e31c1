package import WaybillModel
internal import WaybillPostgres
internal import WaybillThreads

/// Looks for the receipts of bundles over one session of its own; blocks, and belongs to one thread.
///
/// Every upload is looked for, many at once: one round trip without a transaction around it, and
/// nobody else's work before it.
package final class ReceiptFinder {
    private let options: ConnectionOptions
    private var connection: PostgresConnection?
    private var backoff = Backoff(base: .milliseconds(50), ceiling: .seconds(2))
    private var retryAt = Deadline.now
    private var lastError = PostgresError.unavailable("no session yet")

    package init(connectionString: String) {
        options = ConnectionOptions(
            connectionString: connectionString, applicationName: "waybill history",
            statementTimeout: .seconds(15), lockTimeout: .seconds(5), idleTimeout: .seconds(30),
            role: "waybill_app")
    }

    /// The valid receipts of bundles; those that have none are missing in the answer.
    ///
    /// - Throws: ``StoreError/unavailable(_:)`` while the database is away, at once between two tries
    ///   to reach it.
    package func receipts(
        of bundles: [BundleKey]
    ) throws(StoreError) -> [BundleKey: StoredReceipt] {
        do {
            return try Store.receipts(of: bundles, over: try session())
        } catch {
            throw StoreError(error)
        }
    }

    private func session() throws(PostgresError) -> PostgresConnection {
        if let connection, connection.isAlive { return connection }
        connection = nil
        guard retryAt.hasPassed else { throw lastError }
        do throws(PostgresError) {
            let opened = try PostgresConnection(options)
            try opened.query(StoreStatements.setServerScope)
            backoff.reset()
            connection = opened
            return opened
        } catch {
            lastError = error
            retryAt = .after(backoff.next())
            throw error
        }
    }
}

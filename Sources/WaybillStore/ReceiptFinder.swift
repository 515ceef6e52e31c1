package import WaybillModel
internal import WaybillPostgres
internal import WaybillThreads

/// Looks for the receipts of bundles over one session of its own; blocks, and belongs to one thread.
///
/// Every upload is looked for, many at once: one round trip without a transaction around it, and
/// nobody else's work before it.
package final class ReceiptFinder {
    private let options: ConnectionOptions
    private let filter: ReceiptFilter
    /// The last bundle that ``learn()`` has read; nil once it has read all.
    private var learnt: BundleKey? = BundleKey(
        deviceID: DeviceID(high: 0, low: 0), bundleID: BundleID(high: 0, low: 0))
    private var connection: PostgresConnection?
    private var backoff = Backoff(base: .milliseconds(50), ceiling: .seconds(2))
    private var retryAt = Deadline.now
    private var lastError = PostgresError.unavailable("no session yet")

    /// Bundles in one piece of what is learnt: a question waits some milliseconds for it at most.
    package static let pieceCount = 5000

    package init(connectionString: String, filter: ReceiptFilter) {
        self.filter = filter
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

    /// Reads a piece of the receipts there are into the filter; false once it has read them all.
    ///
    /// - Throws: as ``receipts(of:)``; the next call goes on where this one did.
    package func learn(piece: Int = pieceCount) throws(StoreError) -> Bool {
        guard let last = learnt else { return false }
        do {
            let connection = try session()
            let rows = try connection.transaction {
                // Whose policy asks for nothing that is not in the index.
                try connection.execute("SET LOCAL ROLE waybill_ingest")
                return try connection.query(
                    StoreStatements.listReceiptedBundles,
                    [.uuid(last.deviceID.words), .uuid(last.bundleID.words), .int8(Int64(piece))]
                ).rows.map {
                    BundleKey(
                        deviceID: DeviceID(try $0.uuid(0)), bundleID: BundleID(try $0.uuid(1)))
                }
            }
            filter.insert(rows)
            learnt = rows.count < piece ? nil : rows.last
        } catch {
            throw StoreError(error)
        }
        if learnt == nil { filter.noteComplete() }
        return learnt != nil
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

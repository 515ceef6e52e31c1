internal import Logging
internal import ServiceLifecycle
internal import WaybillModel
internal import WaybillStore
internal import WaybillThreads

/// Waits for the database, brings its schema up to date, and learns the signing key.
///
/// The server receives bundles before that; what needs the database waits at this gate.
final class DatabaseGate: Service {
    private let connectionString: String
    private let store: Store
    private let migrates: Bool
    private let logger = Logger(label: "waybill.database")
    private let signer = Monitor<ReceiptSigner?>(nil)

    init(connectionString: String, store: Store, migrates: Bool) {
        self.connectionString = connectionString
        self.store = store
        self.migrates = migrates
    }

    /// The key to sign receipts with; nil while the database has not been reached.
    var signerIfOpen: ReceiptSigner? {
        signer.withLock { $0 }
    }

    /// One try.
    ///
    /// - Throws: ``StoreError``; a fatal one (a newer schema, another root key) needs a person.
    func open() async throws(StoreError) {
        guard signerIfOpen == nil else { return }
        if migrates {
            try await Store.migrate(connectionString: connectionString)
        } else {
            try await Store.checkSchema(connectionString: connectionString)
        }
        let found = try await store.signer()
        signer.update { $0 = found }
        logger.info("database ready", metadata: ["receipt.key_id": "\(found.keyID)"])
    }

    func run() async throws {
        var backoff = Backoff(base: .milliseconds(500), ceiling: .seconds(15))
        while signerIfOpen == nil {
            do {
                try await open()
            } catch {
                if error.isFatal { throw error }
                logger.warning(
                    "the database is away; bundles are received all the same",
                    metadata: ["error": "\(error)"])
                let wait = backoff.next()
                try await cancelWhenGracefulShutdown { try await Task.sleep(for: wait) }
            }
        }
        try await gracefulShutdown()
    }
}

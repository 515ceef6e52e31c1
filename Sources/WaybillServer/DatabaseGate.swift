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

    /// One try, before anything listens: it ends soon, whoever holds a lock, and leaves a step of the
    /// schema that takes long to ``run()``.
    ///
    /// - Throws: ``StoreError``; see ``needsPerson(_:)``.
    func openSoon() async throws(StoreError) {
        try await open(
            MigrationPatience(lock: .seconds(3), statement: .seconds(10), answer: .seconds(20)))
    }

    /// Whether no waiting mends it: a newer schema, another root key, a missing right.
    static func needsPerson(_ error: StoreError) -> Bool {
        error.isFatal || !error.isRetryable
    }

    private func open(_ patience: MigrationPatience) async throws(StoreError) {
        guard signerIfOpen == nil else { return }
        if migrates {
            try await Store.migrate(connectionString: connectionString, patience: patience)
        } else {
            try await Store.checkSchema(connectionString: connectionString, patience: patience)
        }
        let found = try await store.signer()
        signer.update { $0 = found }
        logger.info("database ready", metadata: ["receipt.key_id": "\(found.keyID)"])
    }

    /// Goes on trying; a step of the schema may take as long as it wants. What a person mends in the
    /// database, while bundles are received, ends nothing.
    ///
    /// - Throws: ``StoreError`` that is fatal.
    func run() async throws {
        let patience = MigrationPatience(lock: .seconds(5), statement: .zero, answer: nil)
        var backoff = Backoff(base: .milliseconds(500), ceiling: .seconds(15))
        while signerIfOpen == nil {
            do {
                try await open(patience)
            } catch {
                if error.isFatal { throw error }
                logger.log(
                    level: Self.needsPerson(error) ? .error : .warning,
                    "the database is away; bundles are received all the same",
                    metadata: ["error": "\(error)"])
                let wait = backoff.next()
                try await cancelWhenGracefulShutdown { try await Task.sleep(for: wait) }
            }
        }
        try await gracefulShutdown()
    }
}

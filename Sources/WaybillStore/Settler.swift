package import WaybillModel
internal import WaybillPostgres
internal import WaybillThreads

/// Settles batches of bundles over one session of its own; blocks, and belongs to one thread.
package final class Settler {
    private let options: ConnectionOptions
    private let rootKey: RootKey
    private let auditKey: KeyedHash
    private let signer: ReceiptSigner
    private let bell: ReceiptBell
    private let filter: ReceiptFilter
    private let node: String

    private var session: Session?
    private var secretCache: [DeviceEpoch: CachedSecret] = [:]
    private var epochCache: [DeviceID: (epochs: [Int], freshUntil: Deadline)] = [:]
    /// The bell's count of changes when the cache of epochs was begun.
    private var seenEpochChanges = 0
    private var insertionHistory = InsertionHistory()

    private struct Session {
        let connection: PostgresConnection
        let canCopyDirectly: Bool
    }

    /// A secret that does not change any more; its epoch may be closed.
    private struct CachedSecret {
        let secret: DeviceSecret
        let closesAt: Timestamp?
        let freshUntil: Deadline

        var isUsable: Bool {
            !freshUntil.hasPassed && closesAt.map { Timestamp.now < $0 } != false
        }
    }

    private static let cachedDevicesMax = 10_000
    private static let secretsFreshFor = Duration.seconds(600)
    private static let epochsFreshFor = Duration.seconds(5)

    /// - Parameter node: this server's name in dead letters and audit rows.
    package init(
        connectionString: String, rootKey: RootKey, signer: ReceiptSigner, bell: ReceiptBell,
        filter: ReceiptFilter, node: String
    ) {
        options = ConnectionOptions(
            connectionString: connectionString, applicationName: "waybill listener",
            statementTimeout: .seconds(300), lockTimeout: .seconds(30), idleTimeout: .seconds(600),
            role: "waybill_ingest")
        self.rootKey = rootKey
        auditKey = rootKey.auditKey
        self.signer = signer
        self.bell = bell
        self.filter = filter
        self.node = node
    }

    /// Opens the session if there is none; the other calls do so, too.
    package func connect() throws(StoreError) {
        if let session, session.connection.isAlive { return }
        session = nil
        do {
            let connection = try PostgresConnection(options)
            let canCopy = try connection.query(SettlingStatements.canCopyDirectly)[0].bool(0)
            try connection.execute(SettlingStatements.createStaging)
            session = Session(connection: connection, canCopyDirectly: canCopy)
        } catch {
            throw StoreError(error)
        }
    }

    /// The secrets of open epochs, from memory where they were asked for before.
    ///
    /// A device or epoch that there is not, or that is closed, is missing in the answer. One secret
    /// that cannot be opened does not keep the others back.
    package func secrets(
        _ wanted: [DeviceEpoch]
    ) throws(StoreError) -> [DeviceEpoch: DeviceSecret] {
        var secrets: [DeviceEpoch: DeviceSecret] = [:]
        var missing: Set<DeviceEpoch> = []
        for key in wanted {
            if let cached = secretCache[key], cached.isUsable {
                secrets[key] = cached.secret
            } else {
                missing.insert(key)
            }
        }
        if !missing.isEmpty {
            secrets.merge(try findSecrets(Array(missing))) { _, found in found }
        }
        return secrets
    }

    private func findSecrets(
        _ wanted: [DeviceEpoch]
    ) throws(StoreError) -> [DeviceEpoch: DeviceSecret] {
        let rows = try withSession { session in
            try session.connection.query(
                SettlingStatements.findSecrets,
                [
                    .uuids(wanted.map(\.deviceID.words)),
                    .int4s(wanted.map { Int32(clamping: $0.epoch) }),
                ]
            ).rows.map { row in
                let key = DeviceEpoch(
                    deviceID: DeviceID(try row.uuid(0)), epoch: Int(try row.int4(1)))
                return (
                    key: key, sealed: try row.bytes(2), closesAt: try row.timeIfPresent(3),
                    isFinal: try row.bool(4)
                )
            }
        }
        if secretCache.count + rows.count > Self.cachedDevicesMax { secretCache = [:] }
        var secrets: [DeviceEpoch: DeviceSecret] = [:]
        for row in rows {
            let secret = openSecret(row.sealed, row.key)
            secrets[row.key] = secret
            // An operator may mend a damaged one: it is looked for again next time.
            secretCache[row.key] =
                row.isFinal && secret != .damaged
                ? CachedSecret(
                    secret: secret, closesAt: row.closesAt,
                    freshUntil: .after(Self.secretsFreshFor)) : nil
        }
        return secrets
    }

    private func openSecret(_ sealed: [UInt8], _ key: DeviceEpoch) -> DeviceSecret {
        do {
            return .secret(try rootKey.open(sealed, context: Self.secretContext(key)))
        } catch {
            // Whatever failed, this secret does not open; the others may.
            return .damaged
        }
    }

    /// The epochs under which each device may seal, newest first; a few seconds old at most, and never
    /// older than the device's last rotation, as far as this node has heard of it.
    package func openEpochs(
        _ devices: Set<DeviceID>
    ) throws(StoreError) -> [DeviceID: [Int]] {
        let changes = bell.epochChanges
        if changes != seenEpochChanges {
            seenEpochChanges = changes
            epochCache = [:]
        }
        let now = Deadline.now
        var epochs: [DeviceID: [Int]] = [:]
        var missing: [DeviceID] = []
        for device in devices {
            if let cached = epochCache[device], cached.freshUntil > now {
                epochs[device] = cached.epochs
            } else {
                missing.append(device)
            }
        }
        guard !missing.isEmpty else { return epochs }
        let found = try findOpenEpochs(missing)
        if epochCache.count + missing.count > Self.cachedDevicesMax { epochCache = [:] }
        let freshUntil = Deadline.after(Self.epochsFreshFor)
        for device in missing {
            epochs[device] = found[device] ?? []
            epochCache[device] = (found[device] ?? [], freshUntil)
        }
        return epochs
    }

    private func findOpenEpochs(
        _ devices: [DeviceID]
    ) throws(StoreError) -> [DeviceID: [Int]] {
        try withSession { session in
            let result = try session.connection.query(
                SettlingStatements.findOpenEpochs, [.uuids(devices.map(\.words))])
            var epochs: [DeviceID: [Int]] = [:]
            for row in result.rows {
                epochs[DeviceID(try row.uuid(0)), default: []].append(Int(try row.int4(1)))
            }
            return epochs
        }
    }

    /// Which of the bundles have a receipt that is not superseded, whatever it says.
    package func receipted(_ bundles: [BundleKey]) throws(StoreError) -> Set<BundleKey> {
        try withSession { session in
            Set(try EarlierReceipt.find(bundles, over: session.connection).keys)
        }
    }

    /// Settles a batch in one database transaction; when this returns, it is committed.
    ///
    /// A bundle that has a receipt already is left as it is, so that repeating a batch after any
    /// error is harmless, also after one that leaves open whether the commit took place.
    ///
    /// - Parameters:
    ///   - bundles: a device's bundles in their order.
    ///   - rows: hands over the lines of the bundles that are not in
    ///     ``SettlementTransaction/alreadySettled``, in bundle order; may call
    ///     ``SettlementTransaction/insert(_:)`` and ``SettlementTransaction/reject(_:)`` many times.
    /// - Returns: one element for each bundle, in the same order.
    /// - Throws: what `rows` throws, else ``StoreError``; nothing was written then, save an error in
    ///   the commit itself. Where ``StoreError/isRetryable``, the same batch may be settled again.
    package func settle(
        _ bundles: [BundleToSettle], rows: (inout SettlementTransaction) throws -> Void
    ) throws -> [SettledBundle] {
        let session = try openSession()
        let context = SettlementContext(
            connection: session.connection, canCopyDirectly: session.canCopyDirectly,
            rootKey: rootKey, auditKey: auditKey, signer: signer, node: node)
        var history = insertionHistory
        // Before the commit: also one whose success is not heard of gives receipts.
        filter.insert(
            bundles.map { BundleKey(deviceID: $0.deviceID, bundleID: $0.bundleID) })
        do {
            let settled = try session.connection.transaction {
                var transaction = try SettlementTransaction(
                    bundles, context: context, history: history)
                try rows(&transaction)
                let settled = try transaction.finish()
                history = transaction.history
                return settled
            }
            insertionHistory = history
            bell.ring(Set(settled.filter { !$0.isRepeat }.map { bundles[$0.ordinal].deviceID }))
            return settled
        } catch let error as PostgresError {
            if error.isConnectionLost { self.session = nil }
            throw StoreError(error)
        }
    }

    /// What a device's secret is sealed for.
    static func secretContext(_ key: DeviceEpoch) -> String {
        "device-secret/\(key.deviceID)/\(key.epoch)"
    }

    private func openSession() throws(StoreError) -> Session {
        try connect()
        guard let session else { throw .unavailable(.unavailable("no session")) }
        return session
    }

    private func withSession<Value>(_ body: (Session) throws -> Value) throws(StoreError) -> Value {
        let session = try openSession()
        do {
            return try body(session)
        } catch {
            if !session.connection.isAlive { self.session = nil }
            throw StoreError(error)
        }
    }
}

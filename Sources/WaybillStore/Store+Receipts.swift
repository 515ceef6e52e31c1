internal import Crypto
package import WaybillModel
internal import WaybillPostgres

extension Store {
    /// How far a device has got.
    ///
    /// - Throws: ``StoreError/notFound``.
    package func progress(_ device: DeviceID) async throws(StoreError) -> DeviceProgress {
        let hasBackupPolicy = options.hasBackupPolicy
        return try await perform(as: .device(device)) { connection in
            try Self.progress(device, hasBackupPolicy, over: connection)
        }
    }

    /// Receipts with a number over `after`, oldest first.
    ///
    /// - Parameter bytesMax: of all documents together; the first one is returned whatever its size.
    /// - Throws: ``StoreError/notFound``.
    package func receipts(
        _ device: DeviceID, after: Int64, limit: Int, bytesMax: Int
    ) async throws(StoreError) -> ReceiptBatch {
        let hasBackupPolicy = options.hasBackupPolicy
        return try await perform(as: .device(device)) { connection in
            // First the receipts: whatever is committed meanwhile only raises `last`.
            let receipts = try connection.query(
                DeviceStatements.listReceipts,
                [
                    .uuid(device.words), .int8(after), .int8(Int64(limit)), .int8(Int64(bytesMax)),
                ]
            ).rows.map { (document: try $0.text(0), sequence: try $0.int8(1)) }
            let progress = try Self.progress(device, hasBackupPolicy, over: connection)
            return ReceiptBatch(
                documents: receipts.map(\.document), sequences: receipts.map(\.sequence),
                last: progress.last, safeThrough: progress.safeThrough)
        }
    }

    /// The highest receipt numbers of devices; unknown ones are missing in the answer.
    package func lastReceipts(
        of devices: [DeviceID]
    ) async throws(StoreError) -> [DeviceID: Int64] {
        try await perform(as: .server) { connection in
            var last: [DeviceID: Int64] = [:]
            for row in try connection.query(
                DeviceStatements.findLastReceipts, [.uuids(devices.map(\.words))]
            ).rows {
                last[DeviceID(try row.uuid(0))] = try row.int8(1)
            }
            return last
        }
    }

    /// The valid receipts of bundles; those that have none are missing in the answer.
    package func receipts(
        of bundles: [BundleKey]
    ) async throws(StoreError) -> [BundleKey: StoredReceipt] {
        try await perform(as: .server) { connection in
            try Self.receipts(of: bundles, over: connection)
        }
    }

    /// As above, within the server's scope.
    static func receipts(
        of bundles: [BundleKey], over connection: PostgresConnection
    ) throws -> [BundleKey: StoredReceipt] {
        let result = try connection.query(
            StoreStatements.findReceipts,
            [.uuids(bundles.map(\.deviceID.words)), .uuids(bundles.map(\.bundleID.words))])
        var found: [BundleKey: StoredReceipt] = [:]
        for row in result.rows {
            let key = BundleKey(
                deviceID: DeviceID(try row.uuid(0)), bundleID: BundleID(try row.uuid(1)))
            found[key] = StoredReceipt(
                document: try row.text(2), sequence: try row.int8(3),
                bundleDigest: try row.digest(4), state: try row.state(5),
                partByteCounts: try row.int8s(6).map { Int($0) })
        }
        return found
    }

    /// Takes note that the device holds all receipts up to a number; a lower one changes nothing.
    ///
    /// - Throws: ``StoreError/notIssued(last:)`` beyond the device's last receipt,
    ///   ``StoreError/notFound``.
    package func confirm(_ device: DeviceID, through: Int64) async throws(StoreError) {
        try await perform(as: .device(device)) { connection in
            let confirmed = try connection.query(
                StoreStatements.confirm, [.uuid(device.words), .int8(max(0, through))])
            if confirmed.count == 1 { return }
            throw StoreError.notIssued(
                last: try Self.progress(device, false, over: connection).last)
        }
    }

    /// All public keys, also of the past, oldest first.
    package func receiptKeys() async throws(StoreError) -> [ReceiptKey] {
        try await perform(as: .server) { connection in
            try connection.query(StoreStatements.listReceiptKeys).rows.map { row in
                ReceiptKey(
                    keyID: try row.text(0), publicKey: Base64URL.encode(try row.bytes(1)),
                    notBefore: try row.time(2), notAfter: try row.timeIfPresent(3))
            }
        }
    }

    /// The key that signs; made on first use, the same for all server nodes.
    ///
    /// - Throws: ``StoreError/cannotOpenSealed(keyID:)`` with another root key than made it.
    package func signer() async throws(StoreError) -> ReceiptSigner {
        let rootKey = rootKey
        return try await perform(as: .server) { connection in
            if let signer = try Self.signer(under: rootKey, over: connection) { return signer }
            let key = Curve25519.Signing.PrivateKey()
            let publicKey = Array(key.publicKey.rawRepresentation)
            let keyID = "k" + Hexadecimal.encode(Digest256.of(publicKey).bytes.prefix(8))
            let sealed = try rootKey.seal(
                Array(key.rawRepresentation), context: Self.signingContext(keyID))
            try connection.query(
                StoreStatements.insertSigningKey,
                [.text(keyID), .bytes(publicKey), .bytes(sealed), .text(rootKey.keyID)])
            // Another node may have been first: what counts is what is stored.
            guard let signer = try Self.signer(under: rootKey, over: connection) else {
                throw StoreError.notFound
            }
            return signer
        }
    }

    private static func signer(
        under rootKey: RootKey, over connection: PostgresConnection
    ) throws -> ReceiptSigner? {
        let found = try connection.query(StoreStatements.findSigningKey)
        guard found.count == 1 else { return nil }
        let keyID = try found[0].text(0)
        let seed = try rootKey.open(try found[0].bytes(1), context: signingContext(keyID))
        return ReceiptSigner(
            keyID: keyID, key: try Curve25519.Signing.PrivateKey(rawRepresentation: seed))
    }

    private static func signingContext(_ keyID: String) -> String {
        "receipt-key/\(keyID)"
    }

    private static func progress(
        _ device: DeviceID, _ hasBackupPolicy: Bool, over connection: PostgresConnection
    ) throws -> DeviceProgress {
        let found = try connection.query(
            DeviceStatements.findProgress, [.uuid(device.words), .bool(hasBackupPolicy)])
        guard found.count == 1 else { throw StoreError.notFound }
        let row = found[0]
        let sequence = DeviceSequence(
            highest: try row.int8IfPresent(3), encodedGaps: try row.text(4))
        return DeviceProgress(
            last: try row.int8(0), confirmed: try row.int8(1), safeThrough: try row.int8(2),
            deviceSequence: sequence.highest, gaps: sequence.gaps)
    }
}

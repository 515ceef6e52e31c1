internal import Synchronization
package import WaybillModel
internal import WaybillQueue
package import WaybillStore
package import WaybillUpload

/// The devices, as the ingress needs them from the database.
package protocol DeviceDirectory: Sendable {
    /// - Parameter mayReplace: asked, when a code is used again, whether the token and secret of the
    ///   device that it has made may be replaced.
    func enroll(
        _ request: EnrollmentRequest, mayReplace: @escaping @Sendable (DeviceID) -> Bool
    ) async throws(StoreError) -> Enrollment
    func markSeen(_ device: DeviceID, epoch: Int) async throws(StoreError)
    /// Devices that changed since then; all of them for nil.
    func registry(changedSince: Timestamp?) async throws(StoreError) -> [RegisteredDevice]
    func device(tokenHash: Digest256) async throws(StoreError) -> RegisteredDevice?
}

/// Receipts and how far devices have got, as the ingress needs them from the database.
package protocol ReceiptStore: Sendable {
    func progress(_ device: DeviceID) async throws(StoreError) -> DeviceProgress
    func receipts(
        _ device: DeviceID, after: Int64, limit: Int, bytesMax: Int
    ) async throws(StoreError) -> ReceiptBatch
    func receipts(
        of bundles: [BundleKey]
    ) async throws(StoreError) -> [BundleKey: StoredReceipt]
    func confirm(_ device: DeviceID, through: Int64) async throws(StoreError)
    func receiptKeys() async throws(StoreError) -> [ReceiptKey]
}

extension Store: DeviceDirectory, ReceiptStore {}

/// Settled bundles for the upload, from the receipts.
package final class ReceiptHistory: SettledBundles {
    private let finder: Mutex<ReceiptFinder>
    private let filter: ReceiptFilter

    package init(connectionString: String, filter: ReceiptFilter) {
        self.filter = filter
        finder = Mutex(ReceiptFinder(connectionString: connectionString, filter: filter))
    }

    package func mayHold(_ key: BundleKey) -> Bool { filter.mayHold(key) }

    package func learn() throws -> Bool { try finder.withLock { try $0.learn() } }

    package func find(_ keys: [BundleKey]) throws -> [BundleKey: BundleStanding] {
        try finder.withLock { try $0.receipts(of: keys) }.mapValues { BundleStanding($0) }
    }
}

extension BundleStanding {
    init(_ receipt: StoredReceipt) {
        self.init(
            state: receipt.state, bundleDigest: receipt.bundleDigest,
            partByteCounts: receipt.partByteCounts, receipt: receipt.document)
    }
}

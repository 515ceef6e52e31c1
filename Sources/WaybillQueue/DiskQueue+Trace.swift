package import WaybillModel
internal import WaybillThreads

/// An unsettled bundle, as the queue knows it without reading its record.
package struct QueueTrace: Sendable, Equatable {
    package let key: BundleKey
    package let tenant: TenantID
    /// ``BundleState/queued`` or ``BundleState/processing``.
    package let state: BundleState
    /// Attempts charged so far.
    package let attempts: Int
    package let receivedAt: Timestamp
    package let partCount: Int
    package let byteCount: Int
    /// It is a dead letter that an operator has asked to try again.
    package let isRetry: Bool

    package init(
        key: BundleKey, tenant: TenantID, state: BundleState, attempts: Int, receivedAt: Timestamp,
        partCount: Int, byteCount: Int, isRetry: Bool = false
    ) {
        self.key = key
        self.tenant = tenant
        self.state = state
        self.attempts = attempts
        self.receivedAt = receivedAt
        self.partCount = partCount
        self.byteCount = byteCount
        self.isRetry = isRetry
    }
}

extension DiskQueue {
    /// Unsettled bundles with this id, or of the device with this id, oldest first.
    ///
    /// Looks at every bundle in the queue while the queue stands still: some ten milliseconds for a
    /// million. Never reads the disk.
    ///
    /// - Returns: how many there are, and the first of them.
    package func traces(of id: TracedID, limit: Int) -> (count: Int, first: [QueueTrace]) {
        let found = shared.withLock { shared in
            shared.state.bundles.filter { _, bundle in
                (bundle.key.bundleID.high == id.high && bundle.key.bundleID.low == id.low)
                    || (bundle.key.deviceID.high == id.high && bundle.key.deviceID.low == id.low)
            }.sorted { $0.key < $1.key }.map(\.value)
        }
        let first = found.prefix(limit).map { bundle in
            QueueTrace(
                key: bundle.key, tenant: bundle.tenant,
                state: bundle.holder == 0 ? .queued : .processing, attempts: bundle.attempts,
                receivedAt: bundle.receivedAt, partCount: bundle.sizes.all.count,
                byteCount: bundle.sizes.total, isRetry: bundle.isRetry)
        }
        return (found.count, Array(first))
    }
}

internal import SegmentedLog
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
    /// Looks at every bundle in memory while the queue stands still, and reads the indexes of segments
    /// that may hold some.
    ///
    /// - Returns: how many there are, and the first of them.
    /// - Throws: ``QueueError/io(errno:operation:)`` (retry).
    package func traces(
        of id: TracedID, limit: Int
    ) throws(QueueError) -> (count: Int, first: [QueueTrace]) {
        let bundleID = BundleID(high: id.high, low: id.low)
        let deviceID = DeviceID(high: id.high, low: id.low)
        let (resident, candidates, runs) = shared.withLock { shared in
            let state = shared.state
            return (
                state.bundles.filter { id.names($0.value.key) }, state.shelf.candidates(bundleID),
                state.runs(of: deviceID)
            )
        }
        var found = resident
        do throws(LogError) {
            for index in candidates {
                let rows = try indexing.reading(index) { index throws(LogError) in
                    try index.readRows(of: bundleID)
                }
                for row in rows { found[row.sequence] = row.bundle }
            }
            for order in runs {
                for row in try order.read().rows { found[row.sequence] = row.bundle }
            }
        } catch {
            if case .damaged(let segment, _) = error { indexing.rebuildSoon(segment) }
            throw QueueError(error, ofIndex: true)
        }
        let all = found
        return shared.withLock { shared in
            let live = all.filter { shared.state.shelf.isLive($0.key) }.sorted { $0.key < $1.key }
            let first = live.prefix(limit).map { sequence, bundle in
                QueueTrace(
                    key: bundle.key, tenant: bundle.tenant,
                    state: shared.state.bundles[sequence]?.holder ?? 0 == 0 ? .queued : .processing,
                    attempts: shared.state.charges[sequence]?.attempts ?? 0,
                    receivedAt: bundle.receivedAt, partCount: bundle.sizes.all.count,
                    byteCount: bundle.sizes.total, isRetry: bundle.isRetry)
            }
            return (live.count, Array(first))
        }
    }
}

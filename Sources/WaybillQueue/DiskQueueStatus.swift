package import WaybillModel

/// A queue at one moment.
package struct DiskQueueStatus: Sendable, Equatable {
    /// Bundles that are not settled, leased ones included.
    package let depth: Int
    package let leased: Int
    /// When the oldest unsettled bundle was received; nil with an empty queue.
    package let oldestReceivedAt: Timestamp?
    /// Bytes of the unsettled bundles' parts, wherever they lie; 0 with an empty queue.
    package let bytes: Int
    /// Bytes of the log's files, allocated and not yet used ones included.
    package let logBytes: Int
    package let segments: Int
    /// False after a failed sync or write.
    package let isHealthy: Bool
    /// True while nothing is handed out to listeners.
    package let isPaused: Bool

    package init(
        depth: Int, leased: Int, oldestReceivedAt: Timestamp?, bytes: Int, logBytes: Int,
        segments: Int, isHealthy: Bool, isPaused: Bool = false
    ) {
        self.depth = depth
        self.leased = leased
        self.oldestReceivedAt = oldestReceivedAt
        self.bytes = bytes
        self.logBytes = logBytes
        self.segments = segments
        self.isHealthy = isHealthy
        self.isPaused = isPaused
    }
}

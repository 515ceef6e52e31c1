internal import Synchronization
internal import WaybillQueue
internal import WaybillSealing
internal import WaybillThreads

/// Keeps a lease alive for as long as its holder shows signs of life.
final class LeaseKeeper: Sendable {
    private let queue: any ListenerQueue
    private let lease: Lease
    private let duration: Duration
    private let nextExtension: Mutex<Deadline>

    init(_ lease: Lease, queue: any ListenerQueue, duration: Duration) {
        self.lease = lease
        self.queue = queue
        self.duration = duration
        nextExtension = Mutex(.after(duration / 4))
    }

    /// A sign of life; cheap unless a quarter of the lease's duration has passed since the last
    /// extension.
    ///
    /// - Throws: ``QueueError/staleLease``: the work is somebody else's now.
    func beat() throws(QueueError) {
        guard nextExtension.withLock({ $0.hasPassed }) else { return }
        _ = try queue.extend(lease, by: duration)
        nextExtension.withLock { $0 = .after(duration / 4) }
    }
}

/// A part's bytes, read under a lease that lives on while they are read.
struct LeasedSource: ArchiveSource, Sendable {
    let source: PartSource
    let keeper: LeaseKeeper

    var byteCount: Int { source.byteCount }

    func read(at offset: Int, count: Int) throws -> [UInt8] {
        try keeper.beat()
        return try source.read(at: offset, count: count)
    }
}

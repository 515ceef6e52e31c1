package import WaybillModel
package import WaybillThreads

/// Delivery of bundles: at least once, in order per device, to one holder at a time.
package protocol BundleQueue: Sendable {
    /// Adds a bundle; returns once its record is synced to disk.
    ///
    /// Whether the key is new is decided atomically. When its first record is still on the way to
    /// the disk, a second caller waits for that sync too, so `existing` is as durable as `enqueued`.
    /// A retry of a dead letter is new although its key is remembered as quarantined.
    ///
    /// - Throws: ``QueueError/diskFull`` (retry later), ``QueueError/unhealthy`` (fatal),
    ///   ``QueueError/closed``, ``QueueError/tooLarge(byteCount:)`` (never retry).
    func enqueue(_ message: BundleMessage) async throws(QueueError) -> EnqueueResult

    /// What is known of a bundle: unsettled ones always, settled ones for at least ten minutes of this
    /// process's life, lost ones until they are enqueued again.
    ///
    /// The cache of settled ones is bounded at 100,000, that of lost ones at 1,000,000. May read an
    /// index, and make one anew that is damaged; nil, too, where a disk that fails cannot tell.
    func find(_ key: BundleKey) -> BundleEntry?

    /// Forgets that the bundle is settled, so that it can be enqueued again; unsettled ones stay.
    func forget(_ key: BundleKey)

    /// Hands out the next ready bundles; blocks the calling thread up to `request.wait`.
    ///
    /// - Returns: nil on timeout, when the request is cancelled, or once the queue is closed.
    /// - Throws: ``QueueError/unhealthy``, or ``QueueError/io(errno:operation:)`` when a record
    ///   cannot be read now (retry; the bundles were given back uncharged).
    func lease(_ request: LeaseRequest) throws(QueueError) -> Lease?

    /// Says what became of each delivery of a lease; does not wait for the disk.
    ///
    /// - Parameters:
    ///   - results: one for each delivery, in the lease's order.
    ///   - whenDurable: runs once a sync covers the records, on the log's completion thread: keep
    ///     it short and never block in it. It does not run if the log fails.
    /// - Throws: ``QueueError/staleLease`` when any delivery was fenced off: then nothing changed.
    func settle(
        _ lease: Lease, _ results: [Settlement], whenDurable: @escaping @Sendable () -> Void
    ) throws(QueueError)

    /// Moves a lease's end to `duration` from now.
    ///
    /// - Throws: ``QueueError/staleLease`` when any delivery was fenced off.
    func extend(_ lease: Lease, by duration: Duration) throws(QueueError) -> Lease
}

/// One bundle in the hands of one holder.
package struct Delivery: Sendable {
    /// The bundle's number in the log; it never changes.
    package let sequence: UInt64
    /// Fencing token: a later delivery of any bundle has a higher one.
    package let number: UInt64
    /// 1 for the first delivery; counts charged attempts only, across restarts.
    package let attempt: Int
    /// Time since the first charged attempt, across restarts; nil while there was none.
    package let failingFor: Duration?
    /// Somebody may have had it before, and may have committed its receipt: it was handed out by
    /// this process, or was in the log when the process started.
    package let isRedelivered: Bool
    /// With the bytes of inline parts.
    package let message: BundleMessage

    package init(
        sequence: UInt64, number: UInt64, attempt: Int, failingFor: Duration? = nil,
        isRedelivered: Bool = false, message: BundleMessage
    ) {
        self.sequence = sequence
        self.number = number
        self.attempt = attempt
        self.failingFor = failingFor
        self.isRedelivered = isRedelivered
        self.message = message
    }
}

/// Deliveries that are held together until a common end.
package struct Lease: Sendable {
    /// Bundles of one device stand in the order in which they were received.
    package let deliveries: [Delivery]
    /// On the monotonic clock.
    package let expires: Deadline

    package init(deliveries: [Delivery], expires: Deadline) {
        self.deliveries = deliveries
        self.expires = expires
    }
}

/// What a holder says of a delivery.
package enum Settlement: Sendable, Equatable {
    /// Its receipt is committed.
    case settled
    /// Its receipt is committed and says why it could not be processed.
    case quarantined
    /// Its bytes are not those that were acknowledged, and there is no receipt: the device is to send
    /// it again. A dead letter's bundle stays quarantined.
    case lost
    /// To be delivered again, not before `after` has passed; its device's later bundles wait too.
    /// `charged` counts the attempt against the bundle.
    case retry(after: Duration, charged: Bool)
}

/// What a listener asks for.
package struct LeaseRequest: Sendable {
    package var bundlesMax: Int
    /// Bytes of parts; the first bundle is handed out whatever its size.
    package var bytesMax: Int
    package var duration: Duration
    /// How long to block when nothing is ready.
    package var wait: Duration
    /// Asked while waiting, after each ``DiskQueue/wake()``: true ends the wait.
    package var isCancelled: @Sendable () -> Bool

    package init(
        bundlesMax: Int, bytesMax: Int, duration: Duration, wait: Duration,
        isCancelled: @escaping @Sendable () -> Bool = { false }
    ) {
        self.bundlesMax = bundlesMax
        self.bytesMax = bytesMax
        self.duration = duration
        self.wait = wait
        self.isCancelled = isCancelled
    }
}

package import Logging
package import SegmentedLog
package import WaybillModel
package import WaybillThreads

/// The queue on this machine's disk: decisions in memory, truth in a segmented log.
package final class DiskQueue: BundleQueue {
    typealias Answer = Result<EnqueueResult, QueueError>

    struct Shared: Sendable {
        var state: QueueState
        /// Callers that wait for the first record of a key to be synced; the writer of it first.
        var waiters: [BundleKey: [@Sendable (Answer) -> Void]] = [:]
        /// Threads that wait for work.
        var idleListeners = 0
        var isClosed = false
    }

    let shared: Monitor<Shared>
    let log: SegmentedLog
    let logger: Logger
    let pauseFile: QueuePause
    /// Which bundles are being opened; nil until the log is open. A lock of its own: it is held for
    /// small writes.
    let marks: Monitor<OpeningMarks?>
    /// The time that leases, delays and retention go by.
    let clock: @Sendable () -> Deadline
    /// The time of day that records carry.
    let wallClock: @Sendable () -> Timestamp
    /// False when nothing happens but by ``work()``.
    let hasThreads: Bool

    /// Damage that the opening found in the log, in words; empty after any ordinary crash.
    package let recoveryFaults: [String]
    /// Bytes of an unfinished write that the opening cut off.
    package let recoveryTornBytes: Int

    private init(
        shared: Monitor<Shared>, log: SegmentedLog, report: RecoveryReport, logger: Logger,
        pauseFile: QueuePause, marks: Monitor<OpeningMarks?>, hasThreads: Bool,
        clock: @escaping @Sendable () -> Deadline, wallClock: @escaping @Sendable () -> Timestamp
    ) {
        self.shared = shared
        self.log = log
        self.logger = logger
        self.pauseFile = pauseFile
        self.marks = marks
        self.hasThreads = hasThreads
        self.clock = clock
        self.wallClock = wallClock
        recoveryFaults = report.faults.map(\.description)
        recoveryTornBytes = report.tornBytes
    }

    /// Opens or makes the queue; reads the whole log.
    ///
    /// - Parameter onFatal: called once, on the log's thread, when a write or sync failed: nothing
    ///   more is acknowledged, and the process should end.
    /// - Throws: ``QueueError/wrongKey(keyID:)``, ``QueueError/locked``,
    ///   ``QueueError/corrupt(_:)`` or ``QueueError/io(errno:operation:)``.
    package static func open(
        options: DiskQueueOptions, logger: Logger = Logger(label: "waybill.queue"),
        onFatal: @escaping @Sendable (QueueError) -> Void
    ) throws(QueueError) -> DiskQueue {
        try open(
            options: options, fileSystem: PosixFileSystem(), logger: logger, onFatal: onFatal)
    }

    /// As above, on another file system and by other clocks; for tests.
    ///
    /// - Parameter hasThreads: false for a simulation, which has time stand still: then nothing is
    ///   written but by ``work()``, on the caller's thread, and a lease must not wait.
    package static func open(
        options: DiskQueueOptions, fileSystem: any FileSystem, logger: Logger,
        hasThreads: Bool = true, clock: @escaping @Sendable () -> Deadline = { .now },
        wallClock: @escaping @Sendable () -> Timestamp = { .now },
        onFatal: @escaping @Sendable (QueueError) -> Void
    ) throws(QueueError) -> DiskQueue {
        var state = QueueState(options: options.stateOptions)
        let shared = Monitor(Shared(state: state))
        let marks = Monitor<OpeningMarks?>(nil)
        let now = clock()
        let today = wallClock()
        do {
            let opened = try SegmentedLog.open(
                options: try options.logOptions(), fileSystem: fileSystem, logger: logger,
                hasThread: hasThreads,
                onFatal: { error in
                    // The process ends for the log's sake, not for that of a bundle.
                    marks.withLock { $0?.clear() }
                    shared.update { _ in }
                    onFatal(QueueError(error))
                },
                replay: { record in
                    try replay(record, into: &state, now: now, wallClock: today)
                })
            state.endReplay()
            let pauseFile = QueuePause(directory: options.directory, fileSystem: fileSystem)
            state.isPaused = try pauseFile.isThere()
            let recovered = state
            shared.withLock { $0.state = recovered }
            let queue = DiskQueue(
                shared: shared, log: opened.log, report: opened.report, logger: logger,
                pauseFile: pauseFile, marks: marks, hasThreads: hasThreads, clock: clock,
                wallClock: wallClock)
            try queue.chargeInterrupted(in: options.directory, fileSystem, now: now)
            queue.deleteSegments()
            return queue
        } catch let error as LogError {
            throw QueueError(error)
        } catch let error as QueueError {
            throw error
        } catch {
            throw .corrupt("\(error)")
        }
    }

    private static func replay(
        _ record: LogRecord, into state: inout QueueState, now: Deadline, wallClock: Timestamp
    ) throws(QueueError) {
        switch record.type {
        case QueueRecord.bundleType:
            guard let message = QueueRecord.decodeBundle(record.payload, withBytes: false) else {
                throw .corrupt("record \(record.sequence) is a bundle of another version")
            }
            _ = state.insert(
                QueuedBundle(message, position: record.position, isRecovered: true),
                sequence: record.sequence)
        case QueueRecord.settlementType:
            guard let settlement = SettlementRecord(record.payload) else {
                throw .corrupt("record \(record.sequence) is a settlement of another version")
            }
            state.replay(
                settlement, segment: record.position.segment, now: now, wallClock: wallClock)
        default:
            throw .corrupt("record \(record.sequence) has the unknown type \(record.type)")
        }
    }

    // MARK: Enqueuing and finding

    package func enqueue(_ message: BundleMessage) async throws(QueueError) -> EnqueueResult {
        let answer = await withCheckedContinuation {
            (continuation: CheckedContinuation<Answer, Never>) in
            enqueue(message) { continuation.resume(returning: $0) }
        }
        return try answer.get()
    }

    /// As the other, for callers that do not wait: `complete` runs on the caller's thread, or on the
    /// log's once a sync covers the record. Keep it short.
    package func enqueue(
        _ message: BundleMessage,
        completion complete: @escaping @Sendable (Result<EnqueueResult, QueueError>) -> Void
    ) {
        let key = message.key
        let isRetry = message.retryOf != nil
        let admission = shared.withLock { shared -> Result<QueueState.Admission, QueueError> in
            if shared.isClosed { return .failure(.closed) }
            let admission = shared.state.admit(key, isRetry: isRetry)
            switch admission {
            case .existing: break
            case .pending: shared.waiters[key, default: []].append(complete)
            case .new: shared.waiters[key] = [complete]
            }
            return .success(admission)
        }
        switch admission {
        case .failure(let error): complete(.failure(error))
        case .success(.existing(let entry)): complete(.success(.existing(entry)))
        case .success(.pending): break
        case .success(.new): write(message)
        }
    }

    private func write(_ message: BundleMessage) {
        let key = message.key
        let draft = QueuedBundle(
            message, position: RecordPosition(segment: 0, offset: 0, byteCount: 0))
        let payload = QueueRecord.encode(message)
        log.append(type: QueueRecord.bundleType, payload: payload) { [shared] result in
            switch result {
            case .success(let record):
                Self.insert(draft.placed(at: record.position), record.sequence, in: shared)
            case .failure(let error):
                Self.refuse(key, QueueError(error), in: shared)
            }
        }
    }

    /// On the log's thread: the record is synced.
    private static func insert(
        _ bundle: QueuedBundle, _ sequence: UInt64, in shared: Monitor<Shared>
    ) {
        let (waiters, wakes) = shared.withLock { shared in
            let wakes = shared.state.insert(bundle, sequence: sequence)
            return (
                shared.waiters.removeValue(forKey: bundle.key) ?? [],
                wakes && shared.idleListeners > 0
            )
        }
        if wakes { shared.update { _ in } }
        waiters.first?(.success(.enqueued))
        for waiter in waiters.dropFirst() { waiter(.success(.existing(bundle.entry(.queued)))) }
    }

    /// On the log's thread, or the caller's: nothing was kept of the record.
    private static func refuse(
        _ key: BundleKey, _ error: QueueError, in shared: Monitor<Shared>
    ) {
        let waiters = shared.withLock { shared in
            shared.state.cancel(key)
            return shared.waiters.removeValue(forKey: key) ?? []
        }
        for waiter in waiters { waiter(.failure(error)) }
    }

    package func find(_ key: BundleKey) -> BundleEntry? {
        shared.withLock { $0.state.find(key) }
    }

    package func forget(_ key: BundleKey) {
        shared.withLock { $0.state.forget(key) }
    }

    // MARK: State

    package var status: DiskQueueStatus {
        let usage = log.usage
        let isHealthy = log.isHealthy
        return shared.withLock { shared in
            DiskQueueStatus(
                depth: shared.state.depth, leased: shared.state.leasedCount,
                oldestReceivedAt: shared.state.oldestReceivedAt(), bytes: shared.state.bytes,
                logBytes: usage.bytes, segments: usage.segments, isHealthy: isHealthy,
                isPaused: shared.state.isPaused)
        }
    }

    /// What is not settled yet: bundles, and the bytes of their parts. Costs one lock.
    package var backlog: (bundles: Int, bytes: Int) {
        shared.withLock { ($0.state.depth, $0.state.bytes) }
    }

    /// Part files that unsettled bundles name.
    package var liveFileNames: Set<String> {
        shared.withLock { $0.state.fileNames }
    }

    /// Makes all threads that wait in ``lease(_:)`` ask whether their request is cancelled.
    package func wake() {
        shared.update { _ in }
    }

    /// Writes what is pending, one batch; false when the log's life is over. Does nothing where the
    /// log has a thread of its own.
    @discardableResult
    package func work() -> Bool { log.work() }

    /// Writes what is pending and gives the directory free; later calls are refused. Blocks.
    package func close() {
        shared.update { $0.isClosed = true }
        // An orderly end is no bundle's fault.
        marks.withLock { $0?.clear() }
        log.close()
    }

    /// Deletes segments that are needed no more.
    func deleteSegments() {
        let deletable = shared.withLock { shared in
            shared.state.ledger.takeDeletable { log.closedSegments }
        }
        guard !deletable.isEmpty else { return }
        logger.debug("log segments deleted", metadata: ["queue.segments": "\(deletable.count)"])
        log.delete(deletable)
    }
}

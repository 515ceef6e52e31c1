package import Logging
package import SegmentedLog
package import WaybillModel
package import WaybillThreads

/// The queue on this machine's disk: decisions in memory, truth in a segmented log.
package final class DiskQueue: BundleQueue {
    typealias Answer = Result<EnqueueResult, QueueError>

    struct Shared: Sendable {
        var state: QueueState
        /// Callers that wait for somebody else's record of a key to be synced.
        var waiters: [BundleKey: [@Sendable (Answer) -> Void]] = [:]
        /// Threads that wait for work.
        var idleListeners = 0
        /// The oldest unsettled bundle, when it was read last.
        var oldest: (sequence: UInt64, receivedAt: Timestamp)?
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
    let indexing: Indexing
    /// Bundles of the batch that the log completes, until it ends.
    private let arrivals = Monitor<[Arrival]>([])

    /// A bundle whose record is synced.
    private struct Arrival: Sendable {
        let bundle: QueuedBundle
        let sequence: UInt64
        let complete: @Sendable (Answer) -> Void
    }

    /// Arrivals that are taken in at a time: the first ones' senders go on beside the next ones.
    private static let sliceMax = 64
    /// Beyond it their room is given back.
    private static let arrivalsMax = 1024

    /// Damage that the opening found in the log, in words; empty after any ordinary crash.
    package let recoveryFaults: [String]
    /// Damage in the log, in words: what the opening found, and what was found since where an index
    /// was damaged, too, and had to be made again.
    package var faults: [String] { recoveryFaults + indexing.faults }
    /// Bytes of an unfinished write that the opening cut off.
    package let recoveryTornBytes: Int

    private init(
        shared: Monitor<Shared>, log: SegmentedLog, report: RecoveryReport, logger: Logger,
        pauseFile: QueuePause, marks: Monitor<OpeningMarks?>, hasThreads: Bool,
        clock: @escaping @Sendable () -> Deadline, wallClock: @escaping @Sendable () -> Timestamp
    ) throws(ThreadError) {
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
        indexing = try Indexing(
            shared: shared, log: log, logger: logger, hasThread: hasThreads)
    }

    /// Opens or makes the queue; reads the indexes of the log's segments, and the records of those
    /// that have none.
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
        let shared = Monitor(Shared(state: QueueState(options: options.stateOptions)))
        let marks = Monitor<OpeningMarks?>(nil)
        var initial = QueueState(options: options.stateOptions)
        if hasThreads { initial.reserveRoom() }
        let recovery = QueueRecovery(
            state: initial, now: clock(), wallClock: wallClock(),
            logger: logger)
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
                begin: recovery.begin, end: recovery.end, replay: recovery.replay)
            var state = recovery.finish(
                LossFile(log: opened.log), naming: opened.report.lost)
            // All that was there before is closed now.
            if let last = opened.log.closedSegments.last { state.shelf.notice(last + 1) }
            let pauseFile = QueuePause(directory: options.directory, fileSystem: fileSystem)
            state.isPaused = try pauseFile.isThere()
            // A holder that outlived the process that handed out its bundle is fenced off too.
            state.nextNumber = opened.log.currentSegment << 32 | 1
            let recovered = state
            shared.withLock { $0.state = recovered }
            let queue = try DiskQueue(
                shared: shared, log: opened.log, report: opened.report, logger: logger,
                pauseFile: pauseFile, marks: marks, hasThreads: hasThreads, clock: clock,
                wallClock: wallClock)
            try queue.suspectInterrupted(in: options.directory, fileSystem)
            queue.indexing.deleteSegments()
            queue.indexing.wake()
            return queue
        } catch let error as LogError {
            throw QueueError(error)
        } catch let error as QueueError {
            throw error
        } catch {
            throw .corrupt("\(error)")
        }
    }

    // MARK: Enqueuing and finding

    package func enqueue(_ message: BundleMessage) async throws(QueueError) -> EnqueueResult {
        // Unchecked: it runs for every bundle, and each of them is completed once.
        let answer = await withUnsafeContinuation {
            (continuation: UnsafeContinuation<Answer, Never>) in
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
            case .new: break
            }
            return .success(admission)
        }
        switch admission {
        case .failure(let error): complete(.failure(error))
        case .success(.existing(let entry)): complete(.success(.existing(entry)))
        case .success(.pending): break
        case .success(.new(let candidates)):
            if let known = lookUp(key, in: candidates, isRetry: isRetry) {
                answer(key, known.map { .existing($0) }, complete)
            } else {
                write(message, complete)
            }
        }
    }

    /// Looks for a bundle in indexes; nil if none holds it as not done. Blocks for some reads.
    private func lookUp(
        _ key: BundleKey, in candidates: [SegmentIndex], isRetry: Bool = false
    ) -> Result<BundleEntry, QueueError>? {
        for candidate in candidates {
            do throws(LogError) {
                for row in try indexing.reading(
                    candidate,
                    { index throws(LogError) in
                        try index.readRows(of: key.bundleID)
                    }) where row.bundle.key == key
                {
                    let found = shared.withLock { shared -> BundleEntry? in
                        // It may have come into memory, or have been settled, meanwhile.
                        if let known = shared.state.find(key), known.state != .lost,
                            !(isRetry && known.state == .quarantined)
                        {
                            return known
                        }
                        let isLive = shared.state.shelf.isLive(row.sequence)
                        return isLive ? row.bundle.entry(.queued) : nil
                    }
                    if let found { return .success(found) }
                }
            } catch {
                return .failure(QueueError(error, ofIndex: true))
            }
        }
        return nil
    }

    /// Ends the waiting for a key without a record of its own.
    private func answer(
        _ key: BundleKey, _ answer: Answer, _ complete: @Sendable (Answer) -> Void
    ) {
        let waiters = shared.withLock { shared in
            shared.state.cancel(key)
            return shared.waiters.removeValue(forKey: key) ?? []
        }
        complete(answer)
        for waiter in waiters { waiter(answer) }
    }

    private func write(
        _ message: BundleMessage, _ complete: @escaping @Sendable (Answer) -> Void
    ) {
        let draft = QueuedBundle(
            message, position: RecordPosition(segment: 0, offset: 0, byteCount: 0))
        let payload = QueueRecord.encode(message)
        let name = BundleName(draft).encode()
        log.append(type: QueueRecord.bundleType, payload: payload, name: name) { result in
            switch result {
            case .success(let record):
                let arrival = Arrival(
                    bundle: draft.placed(at: record.position), sequence: record.sequence,
                    complete: complete)
                self.arrivals.withLock { $0.append(arrival) }
                if record.endsBatch { self.takeIn() }
            case .failure(let error):
                // On the log's thread, or the caller's: nothing was kept of the record.
                self.answer(draft.key, .failure(QueueError(error)), complete)
            }
        }
    }

    /// On the log's thread: takes in the bundles that a sync covers, all together, so that the log's
    /// thread and those that it wakes do not wait for each other in turn.
    func takeIn() {
        let arrived = arrivals.withLock { arrivals in
            let arrived = arrivals
            arrivals.removeAll(keepingCapacity: arrived.count <= Self.arrivalsMax)
            return arrived
        }
        for start in stride(from: 0, to: arrived.count, by: Self.sliceMax) {
            insert(arrived[start..<min(start + Self.sliceMax, arrived.count)])
        }
    }

    private func insert(_ arrived: ArraySlice<Arrival>) {
        var others: [(waiters: [@Sendable (Answer) -> Void], entry: BundleEntry)] = []
        let (wakes, hasIndexWork) = shared.withLock { shared in
            let losses = shared.state.lost.version
            let newest = shared.state.shelf.newest
            var wakes = false
            for arrival in arrived {
                let bundle = arrival.bundle
                if shared.state.insert(bundle, sequence: arrival.sequence) { wakes = true }
                if let waiters = shared.waiters.removeValue(forKey: bundle.key) {
                    others.append((waiters, bundle.entry(.queued)))
                }
            }
            return (
                wakes && shared.idleListeners > 0,
                shared.state.shelf.newest > newest || shared.state.lost.version != losses
            )
        }
        if wakes { shared.update { _ in } }
        if hasIndexWork { indexing.wake() }
        for arrival in arrived { arrival.complete(.success(.enqueued)) }
        for (waiters, entry) in others {
            for waiter in waiters { waiter(.success(.existing(entry))) }
        }
    }

    package func find(_ key: BundleKey) -> BundleEntry? {
        let (known, candidates) = shared.withLock { shared in
            let known = shared.state.find(key)
            let isKnown = known.map { $0.state != .lost } ?? false
            return (known, isKnown ? [] : shared.state.shelf.candidates(key.bundleID))
        }
        guard !candidates.isEmpty else { return known }
        if case .success(let found) = lookUp(key, in: candidates) { return found }
        // An index that was made again meanwhile may have shown that it is lost.
        return shared.withLock { $0.state.find(key) }
    }

    package func forget(_ key: BundleKey) {
        shared.withLock { $0.state.forget(key) }
    }

    // MARK: State

    package var status: DiskQueueStatus {
        let usage = log.usage
        let isHealthy = log.isHealthy
        let oldest = oldestReceivedAt()
        return shared.withLock { shared in
            DiskQueueStatus(
                depth: shared.state.depth, leased: shared.state.leasedCount,
                oldestReceivedAt: shared.state.depth > 0 ? oldest : nil, bytes: shared.state.bytes,
                logBytes: usage.bytes, segments: usage.segments, isHealthy: isHealthy,
                isPaused: shared.state.isPaused)
        }
    }

    /// When the oldest unsettled bundle was received; may read an index.
    private func oldestReceivedAt() -> Timestamp? {
        let (known, place) = shared.withLock { shared -> (Timestamp?, (SegmentIndex, UInt64)?) in
            guard let first = shared.state.shelf.firstLive else { return (nil, nil) }
            if let bundle = shared.state.bundles[first.sequence] {
                return (bundle.receivedAt, nil)
            }
            if let oldest = shared.oldest, oldest.sequence == first.sequence {
                return (oldest.receivedAt, nil)
            }
            return (nil, shared.state.shelf[first.segment]?.index.map { ($0, first.sequence) })
        }
        // A figure is not worth an error: the next one who asks tries again.
        guard let (index, sequence) = place, let row = try? index.readRow(of: sequence) else {
            return known
        }
        shared.withLock { $0.oldest = (sequence, row.bundle.receivedAt) }
        return row.bundle.receivedAt
    }

    /// Bundles that were acknowledged, are damaged and were not sent again yet, oldest first: at most
    /// 1,000,000. Those that lay under damage that nobody has read yet are not among them; see
    /// ``verify()``.
    package var lostBundles: [LostBundle] {
        // Sorted while nobody waits for the queue.
        shared.withLock { $0.state.lost }.all
    }

    /// What is not settled yet: bundles, and the bytes of their parts. Costs one lock.
    package var backlog: (bundles: Int, bytes: Int) {
        shared.withLock { ($0.state.depth, $0.state.bytes) }
    }

    /// Part files that unsettled bundles name. Reads the indexes.
    ///
    /// - Throws: ``QueueError/io(errno:operation:)`` (retry).
    package func liveFileNames() throws(QueueError) -> Set<String> {
        var (names, indexes) = shared.withLock { ($0.state.fileNames, $0.state.shelf.liveIndexes) }
        for index in indexes {
            do throws(LogError) {
                let live = shared.withLock { $0.state.shelf[index.segment]?.live }
                names.formUnion(
                    try index.readFileNames { live?.contains($0) ?? false })
            } catch {
                throw QueueError(error, ofIndex: true)
            }
        }
        return names
    }

    /// Makes all threads that wait in ``lease(_:)`` ask whether their request is cancelled.
    package func wake() {
        shared.update { _ in }
    }

    /// Writes what is pending, one batch; false when the log's life is over. Does nothing where the
    /// log has a thread of its own.
    @discardableResult
    package func work() -> Bool {
        let isOpen = log.work()
        if isOpen { _ = indexing.run() }
        return isOpen
    }

    /// Writes what is pending and gives the directory free; later calls are refused. Blocks.
    package func close() {
        shared.update { $0.isClosed = true }
        indexing.close()
        // An orderly end is no bundle's fault.
        marks.withLock { $0?.clear() }
        log.close()
    }

    /// Writes segments anew of which little is still needed. Blocks for that.
    ///
    /// - Parameter isAtRest: false: also those that changed since the last time.
    /// - Returns: how many.
    @discardableResult
    package func compact(isAtRest: Bool = true) -> Int {
        indexing.compact(isAtRest: isAtRest)
    }
}

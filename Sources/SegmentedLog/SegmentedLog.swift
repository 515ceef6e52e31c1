package import Logging
internal import WaybillThreads

/// A durable, append-only log of sealed records.
///
/// One named thread writes. Appends come from any thread or task and never block; reads run on the
/// caller's thread and block for one `pread(2)`.
package final class SegmentedLog: Sendable {
    let options: LogOptions
    let fileSystem: any FileSystem
    let state: Monitor<LogState>
    private let preparation: SegmentPreparation
    let logID: [UInt8]
    private let worker: Worker
    private let joined = Monitor(false)
    private let lock: Monitor<(any OpenFile)?>

    /// Who writes.
    private enum Worker {
        case threads([NamedThread])
        /// Nobody but ``work()``; nil at the end of the log's life.
        case caller(Monitor<LogWriter?>)
    }

    /// Segments whose open files are kept for reading.
    private static let openFilesMax = 32

    /// Opens or makes a log and hands its records to `replay`, oldest first, but for those of closed
    /// segments whose index is enough for the caller.
    ///
    /// Blocks while it reads. Damage does not stop it: the report names what was lost. Segments that
    /// are not read are not examined, but for their headers and sizes.
    ///
    /// - Parameters:
    ///   - hasThread: false for a simulation, which has time stand still: then nothing is written but
    ///     by ``work()``, on the caller's thread.
    ///   - onFatal: called once, on the writer's thread, after a failed write or sync.
    ///   - begin: asked before a closed segment is read, in order: true if there is no need to. Also
    ///     told of segments that are gone, whatever it says.
    ///   - end: told after a closed segment was read.
    ///   - replay: control records may come twice, under two sequences.
    /// - Throws: ``LogError/locked``, ``LogError/wrongKey(keyID:)``, ``LogError/unreadable(_:)``,
    ///   ``LogError/diskFull``, ``LogError/io(errno:operation:)``, or what
    ///   the closures throw.
    package static func open(
        options: LogOptions, fileSystem: any FileSystem = PosixFileSystem(), logger: Logger,
        hasThread: Bool = true, onFatal: @escaping @Sendable (LogError) -> Void,
        begin: (StoredSegment) throws -> Bool = { _ in false },
        end: (StoredSegment) throws -> Void = { _ in }, replay: (LogRecord) throws -> Void
    ) throws -> (log: SegmentedLog, report: RecoveryReport) {
        precondition(
            options.segmentBytes + options.reserveBytes + options.recordBytesMax
                + options.batchBytesMax <= Int(UInt32.max), "offsets have 32 bits")
        try fileSystem.makeDirectory(options.directory)
        try fileSystem.syncDirectory(parent(of: options.directory), at: .logDirectory)
        let lock = try fileSystem.lock(options.directory + "/lock")
        let recovered = try withoutActuallyEscaping(begin) { begin in
            try withoutActuallyEscaping(end) { end in
                try withoutActuallyEscaping(replay) { replay in
                    try LogRecovery.run(
                        options: options, fileSystem: fileSystem,
                        visitor: LogVisitor(begin: begin, end: end, replay: replay))
                }
            }
        }
        report(recovered.report, to: logger)
        let factory = SegmentFactory(
            options: options, fileSystem: fileSystem, logID: recovered.logID)
        var made = try factory.make(
            number: recovered.nextSegment, sequence: recovered.nextSequence,
            manifest: recovered.manifest, keeping: recovered.kept,
            bulkBytes: min(options.segmentBytes, options.firstSegmentBytes), mayBeSmall: true)
        for record in made.kept { try replay(record) }
        let nextSequence = recovered.nextSequence + 1 + UInt64(made.kept.count)
        made.kept = []
        let segment = made
        var state = LogState(segments: recovered.segments, current: segment.number)
        state.segments[segment.number] = SegmentInfo(
            cipher: segment.cipher, end: segment.end, fileBytes: segment.preparedBytes,
            salt: segment.salt)
        state.files[segment.number] = segment.file
        let preparation = SegmentPreparation(factory)
        let log = try SegmentedLog(
            options: options, fileSystem: fileSystem, logID: recovered.logID, lock: lock,
            state: state, preparation: preparation, hasThread: hasThread
        ) { state in
            LogWriter(
                factory: factory, preparation: preparation, state: state, segment: segment,
                manifest: recovered.manifest,
                nextSequence: nextSequence, logger: logger, onFatal: onFatal)
        }
        return (log, recovered.report)
    }

    private init(
        options: LogOptions, fileSystem: any FileSystem, logID: [UInt8], lock: any OpenFile,
        state: LogState, preparation: SegmentPreparation, hasThread: Bool,
        makeWriter: @escaping @Sendable (Monitor<LogState>) -> LogWriter
    ) throws(ThreadError) {
        self.options = options
        self.fileSystem = fileSystem
        self.logID = logID
        self.lock = Monitor(lock)
        let monitor = Monitor(state)
        self.state = monitor
        self.preparation = preparation
        guard hasThread else {
            worker = .caller(Monitor(makeWriter(monitor)))
            return
        }
        // The threads hold the lock on the directory too, in case the log is let go unclosed.
        let preparing = try NamedThread(name: "waybill-segment") {
            defer { withExtendedLifetime(lock) {} }
            preparation.run()
        }
        do throws(ThreadError) {
            let writing = try NamedThread(name: "waybill-log") {
                defer { withExtendedLifetime(lock) {} }
                var writer = makeWriter(monitor)
                writer.run()
            }
            worker = .threads([writing, preparing])
        } catch {
            preparation.end()
            throw error
        }
    }

    /// Writes what is pending, one batch; false when the log's life is over. Only without a thread.
    @discardableResult
    package func work() -> Bool {
        guard case .caller(let writer) = worker else { return true }
        preparation.work()
        return writer.withLock { writer in
            if writer?.step() != true { writer = nil }
            return writer != nil
        }
    }

    /// Waits for what the writer has to say; without a thread, does its work.
    func wait<Value: Sendable>(for answer: Monitor<Value?>) -> Value {
        while true {
            if let value = answer.withLock({ $0 }) { return value }
            switch worker {
            case .threads: _ = answer.wait { $0 == nil ? nil : true }
            case .caller: work()
            }
        }
    }

    deinit {
        state.update { $0.isClosing = true }
    }

    /// Adds a record under a name of at most 65,535 bytes, which the log tells if the record is damaged
    /// before its segment has an index; `completion` hears of it once a sync covers it, or why it failed.
    ///
    /// Completions run on the writer's thread, in the order of sequences: they must be short and
    /// must not block. A refusal is told at once, on the caller's thread: ``LogError/diskFull``,
    /// ``LogError/overloaded``, ``LogError/io(errno:operation:)`` (retry),
    /// ``LogError/tooLarge(byteCount:)``, ``LogError/closed``, ``LogError/failed(errno:operation:)``.
    package func append(
        type: UInt16, payload: [UInt8], name: [UInt8] = [], recordClass: RecordClass = .bulk,
        completion: @escaping @Sendable (Result<AppendedRecord, LogError>) -> Void
    ) {
        precondition(type < InternalType.first, "types from 0xff00 on are the log's own")
        guard payload.count <= options.recordBytesMax else {
            return completion(.failure(.tooLarge(byteCount: payload.count)))
        }
        let (refusal, wakes) = state.withLock { state -> (LogError?, Bool) in
            if let failure = state.failure { return (failure, false) }
            if state.isClosing { return (.closed, false) }
            guard
                recordClass == .control
                    || state.pendingBytes + payload.count <= options.pendingBytesMax
            else { return (.overloaded, false) }
            state.pending.append(
                PendingAppend(
                    type: type, payload: payload, name: name, recordClass: recordClass,
                    completion: completion))
            state.pendingBytes += payload.count
            return (nil, state.pending.count == state.wakeCount)
        }
        if wakes { state.update { _ in } }
        if let refusal { completion(.failure(refusal)) }
    }

    /// Reads one record again; blocks for one read.
    ///
    /// - Throws: ``LogError/damaged(segment:offset:)``, ``LogError/noSuchSegment(_:)``,
    ///   ``LogError/io(errno:operation:)`` (retry).
    package func read(_ position: RecordPosition) throws(LogError) -> LogRecord {
        let (info, file) = try handle(of: position.segment)
        let offset = Int(position.offset)
        let count = FrameHeader.byteCount + Int(position.byteCount) + FrameHeader.tagByteCount
        let frame = try file.read(at: offset, count: count)
        guard let header = FrameHeader(frame[...]), header.frameByteCount == count,
            let payload = info.cipher.open(frame[...], header, at: .read)
        else { throw .damaged(segment: position.segment, offset: position.offset) }
        return LogRecord(
            sequence: header.sequence, type: header.type, payload: payload, position: position)
    }

    /// A segment's key and its file, as they belong together.
    func handle(of segment: UInt64) throws(LogError) -> (info: SegmentInfo, file: any OpenFile) {
        while true {
            let (found, cached) = state.withLock { state in
                (state.segments[segment], state.files[segment])
            }
            guard let info = found else { throw .noSuchSegment(segment) }
            if let cached { return (info, cached) }
            let path = SegmentName.path(in: options.directory, segment)
            let file = try fileSystem.open(path, .existing)
            let isStill = state.withLock { state in
                // It may have been rewritten meanwhile.
                guard state.segments[segment]?.salt == info.salt else { return false }
                if state.files.count >= Self.openFilesMax,
                    let other = state.files.keys.first(where: { $0 != state.current })
                {
                    state.files[other] = nil
                }
                state.files[segment] = file
                return true
            }
            if isStill { return (info, file) }
        }
    }

    /// Deletes closed segments, soon: the deletion is recorded and synced before the files go.
    ///
    /// The current segment and unknown ones are left out.
    package func delete(_ segments: [UInt64]) {
        state.update { state in
            guard state.failure == nil, !state.isClosing else { return }
            let wanted = segments.filter {
                $0 != state.current && state.segments[$0] != nil && !state.deleting.contains($0)
            }
            state.deletions += wanted
            state.deleting.formUnion(wanted)
        }
    }

    /// Numbers of the segments that are no longer written and are to stay, ascending.
    package var closedSegments: [UInt64] {
        state.withLock { state in
            state.segments.keys.filter { $0 != state.current && !state.deleting.contains($0) }
                .sorted()
        }
    }

    /// Number of the segment that is written: higher after every opening than in any life before.
    package var currentSegment: UInt64 { state.withLock { $0.current } }

    /// False after a failed write or sync.
    package var isHealthy: Bool { state.withLock { !($0.failure?.isFatal ?? false) } }

    /// Segments on disk, and their files' bytes, allocated ones included.
    package var usage: (segments: Int, bytes: Int) {
        state.withLock { state in
            (state.segments.count, state.segments.values.reduce(0) { $0 + $1.fileBytes })
        }
    }

    /// Writes what is pending, marks the end, and gives the directory free. Blocks; idempotent.
    package func close() {
        state.update { $0.isClosing = true }
        joined.update { isJoined in
            if !isJoined { finishWork() }
            isJoined = true
        }
        lock.withLock { $0 = nil }
        state.withLock { $0.files = [:] }
    }

    private func finishWork() {
        switch worker {
        case .threads(let threads): for thread in threads { thread.join() }
        case .caller: while work() {}
        }
    }

    private static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    private static func report(_ report: RecoveryReport, to logger: Logger) {
        for fault in report.faults {
            logger.error("log recovery fault", metadata: ["log.fault": "\(fault)"])
        }
        logger.info(
            "log recovered",
            metadata: [
                "log.records": "\(report.records)", "log.segments": "\(report.segments)",
                "log.torn_bytes": "\(report.tornBytes)", "log.faults": "\(report.faults.count)",
                "log.unknown_files": "\(report.unknownFiles.count)",
            ])
    }
}

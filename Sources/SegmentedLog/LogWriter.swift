internal import Logging
internal import Metrics
internal import WaybillThreads

/// The writer's thread: one write and one sync for all that has arrived.
struct LogWriter {
    private let factory: SegmentFactory
    private let preparation: SegmentPreparation
    private let state: Monitor<LogState>
    private let logger: Logger
    private let onFatal: @Sendable (LogError) -> Void
    private var segment: OpenSegment
    /// Segments on disk besides the current one.
    private var manifest: Manifest
    private var nextSequence: UInt64
    /// Taken over and not yet completed.
    private var inFlight: [PendingAppend] = []
    /// Control records that wait for room, oldest first.
    private var deferred: [PendingAppend] = []
    private var deferredDeletions: [UInt64] = []
    /// Names of the last batch's records, until a later one has them.
    private var names: [LostRecord] = []
    private var takenReplacements: [SegmentReplacement] = []
    private var buffer: [UInt8] = []
    private var gathering: Gathering
    // Made with the first batch: the log is opened before the metrics are.
    private lazy var syncTimer = Timer(label: "waybill_log_sync_seconds")
    private lazy var recordCounter = Counter(label: "waybill_log_records_total")
    private lazy var byteCounter = Counter(label: "waybill_log_written_bytes_total")

    /// How soon waiting control records are tried again on a full disk.
    private static let retryInterval = Duration.milliseconds(250)

    init(
        factory: SegmentFactory, preparation: SegmentPreparation, state: Monitor<LogState>,
        segment: OpenSegment, manifest: Manifest, nextSequence: UInt64, logger: Logger,
        onFatal: @escaping @Sendable (LogError) -> Void
    ) {
        self.factory = factory
        self.preparation = preparation
        self.state = state
        self.segment = segment
        self.manifest = manifest
        self.nextSequence = nextSequence
        self.logger = logger
        self.onFatal = onFatal
        gathering = Gathering(interval: factory.options.gatheringInterval)
    }

    /// Works until the log is closed or fails.
    mutating func run() {
        while true {
            let isBlocked = !deferred.isEmpty || !deferredDeletions.isEmpty
            let hasWork = state.wait(timeout: isBlocked ? Self.retryInterval : nil) { state in
                state.wakeCount = 1
                return state.hasWork ? true : nil
            }
            if hasWork == true { gather() }
            guard step() else { return }
        }
    }

    /// Waits for those who are expected to send with the next batch.
    private func gather() {
        let (expected, end) = (gathering.expected, gathering.end)
        let bytesMax = factory.options.batchBytesMax
        guard expected > 1, !end.hasPassed else { return }
        _ = state.wait(timeout: end.remaining) { state in
            state.wakeCount = expected
            let isFull = state.pending.count >= expected || state.pendingBytes >= bytesMax
            return isFull || state.isClosing ? true : nil
        }
    }

    /// Does what there is to do by now; false when the log's life is over.
    mutating func step() -> Bool {
        let bytesMax = factory.options.batchBytesMax
        let work = state.withLock { $0.takeWork(bytesMax: bytesMax) }
        do {
            switch work ?? .batch([], deletions: [], replacements: []) {
            case .batch(let appends, let deletions, let replacements):
                takenReplacements = replacements
                gathering.begin(at: .now)
                try write(appends, deletions: deletions)
                while let replacement = takenReplacements.popLast() { try replace(replacement) }
                return true
            case .close:
                try finish()
                preparation.end()
                return false
            }
        } catch {
            fail(error)
            preparation.end()
            return false
        }
    }

    // MARK: A batch

    private mutating func write(
        _ appends: [PendingAppend], deletions: [UInt64]
    ) throws(LogError) {
        inFlight = deferred + appends
        deferred = []
        deferredDeletions += deletions
        if let refusal = try rollIfFull(for: bulkBytes) ?? refusalForWantOfRoom() {
            refuseBulk(refusal)
        }
        do {
            try commit()
        } catch .diskFull {
            refuseBulk(.diskFull)
            try commitOrDefer()
        }
    }

    /// At most what the batch takes, with all that is written with it; 0 if there is no bulk in it.
    private var bulkBytes: Int {
        guard inFlight.contains(where: { $0.recordClass == .bulk }) else { return 0 }
        let overhead = FrameHeader.byteCount + FrameHeader.tagByteCount
        let records = inFlight.reduce(0) { $0 + $1.payload.count + overhead }
        let names = names.reduce(overhead) { $0 + $1.name.count + RecordNames.overhead }
        return records + names + overhead + DeletionList.byteCount(of: deferredDeletions)
    }

    /// Tells bulk that there is no room and keeps the rest in flight.
    private mutating func refuseBulk(_ refusal: LogError) {
        let bulk = inFlight.filter { $0.recordClass == .bulk }
        inFlight.removeAll { $0.recordClass == .bulk }
        for append in bulk { append.completion(.failure(refusal)) }
    }

    private mutating func commitOrDefer() throws(LogError) {
        do {
            try commit(withNames: false)
        } catch .diskFull {
            deferred = inFlight
            inFlight = []
        }
    }

    /// Seals, writes, syncs, completes. Throws `diskFull` with nothing completed.
    ///
    /// - Parameter withNames: false on a full disk: names can wait, control records cannot.
    private mutating func commit(withNames: Bool = true) throws(LogError) {
        let batch = inFlight
        guard !batch.isEmpty || !deferredDeletions.isEmpty else { return }
        buffer.removeAll(keepingCapacity: true)
        var records: [AppendedRecord] = []
        records.reserveCapacity(batch.count)
        for append in batch {
            records.append(try seal(append.type, append.payload))
        }
        // Behind the batch, so that what hits the last record of the one before does not hit its name.
        if withNames { try sealNames() }
        if let last = records.indices.last { records[last].endsBatch = true }
        let deletions = deferredDeletions
        if !deletions.isEmpty {
            _ = try seal(InternalType.deletion, DeletionList.encode(deletions))
        }
        try writeBuffer()
        if withNames { names = [] }
        names += zip(batch, records).compactMap { append, record in
            append.name.isEmpty
                ? nil : LostRecord(sequence: record.sequence, name: append.name)
        }
        inFlight = []
        deferredDeletions = []
        recordCounter.increment(by: batch.count)
        let (fileSystem, directory) = (factory.fileSystem, factory.options.directory)
        for (append, record) in zip(batch, records) {
            fileSystem.willAnswer(record, type: append.type, in: directory)
            append.completion(.success(record))
        }
        gathering.answer(at: .now)
        if !deletions.isEmpty { try unlink(deletions) }
    }

    private mutating func sealNames() throws(LogError) {
        guard !names.isEmpty else { return }
        _ = try seal(InternalType.names, RecordNames.encode(names))
    }

    private mutating func seal(_ type: UInt16, _ payload: [UInt8]) throws(LogError)
        -> AppendedRecord
    {
        let offset = UInt32(segment.end) + UInt32(buffer.count)
        let header = FrameHeader(
            payloadByteCount: UInt32(payload.count), sequence: nextSequence,
            ordinal: segment.nextOrdinal, synced: UInt32(segment.end), type: type)
        precondition(segment.nextOrdinal < .max, "a segment ran out of nonces")
        // Counted before anything can fail: an ordinal is used once, whatever becomes of the frame.
        segment.nextOrdinal += 1
        nextSequence += 1
        do {
            try segment.cipher.seal(payload, header, into: &buffer)
        } catch {
            throw .failed(errno: 0, operation: "seal")
        }
        return AppendedRecord(
            sequence: header.sequence,
            position: RecordPosition(
                segment: segment.number, offset: offset, byteCount: header.payloadByteCount))
    }

    private mutating func writeBuffer() throws(LogError) {
        let (file, offset, bytes) = (segment.file, Int(segment.end), buffer[...])
        do throws(LogError) {
            try LogError.fatal { () throws(LogError) in try file.writeAll(bytes, at: offset) }
        } catch {
            if error == .diskFull { try takeBack(offset..<offset + bytes.count) }
            throw error
        }
        let start = Deadline.now
        let isPrepared = offset + bytes.count <= segment.preparedBytes
        try LogError.fatal { () throws(LogError) in
            try file.synchronize(at: .batch, overwriting: isPrepared)
        }
        let synced = Deadline.now
        syncTimer.recordNanoseconds(Int64(clamping: synced.nanoseconds - start.nanoseconds))
        byteCounter.increment(by: buffer.count)
        segment.end += UInt64(buffer.count)
        let (number, end) = (segment.number, segment.end)
        let waiting = state.withLock { state in
            state.segments[number]?.end = end
            let grown = max(state.segments[number]?.fileBytes ?? 0, Int(end))
            state.segments[number]?.fileBytes = grown
            return state.pending.count
        }
        gathering.sync(from: start, to: synced, count: inFlight.count, waiting: waiting)
        preparation.follow(number + 1, written: end, of: segment.fullAt)
        if buffer.capacity > 4 * factory.options.batchBytesMax { buffer = [] }
    }

    /// Overwrites what a refused write may have left behind the end: whole frames in it would be
    /// records again after a crash, although their callers heard that nothing was kept.
    ///
    /// - Throws: `failed` if that cannot be made durable.
    private mutating func takeBack(_ range: Range<Int>) throws(LogError) {
        let file = segment.file
        let size = segment.preparedBytes
        do throws(LogError) {
            // The part that is allocated stays so: control records will need it.
            if range.upperBound > size { try file.truncate(max(size, range.lowerBound)) }
            let count = max(0, min(size, range.upperBound) - range.lowerBound)
            let zeros = [UInt8](repeating: 0, count: count)
            try file.writeAll(zeros[...], at: range.lowerBound)
            try file.synchronize(at: .refusedWrite)
        } catch {
            segment.preparedBytes = min(size, range.lowerBound)
            try LogError.unrecoverable { () throws(LogError) in
                try file.truncate(range.lowerBound)
                try file.synchronize(at: .refusedWriteCut)
            }
        }
    }

    // MARK: Segments

    /// Begins a new segment once this one has no room for so much bulk; returns why bulk must be refused
    /// if it cannot.
    private mutating func rollIfFull(for bytes: Int) throws(LogError) -> LogError? {
        guard segment.end >= segment.fullAt || segment.end + UInt64(bytes) > segment.fullAt else {
            return nil
        }
        var manifest = manifest
        manifest.entries.append(Manifest.Entry(segment: segment.number, end: segment.end))
        let next: OpenSegment
        do {
            next = try factory.make(
                number: segment.number + 1, sequence: nextSequence, manifest: manifest,
                from: preparation.take(segment.number + 1),
                bulkBytes: factory.options.segmentBytes, roomBytes: bytes)
        } catch {
            if error.isFatal { throw error }
            logger.warning(
                "no new log segment", metadata: ["log.error": "\(error.shortDescription)"])
            return error
        }
        let (closed, closedBytes) = (segment, cutOff(segment))
        self.manifest = manifest
        segment = next
        nextSequence += 1
        state.update { state in
            state.segments[closed.number]?.fileBytes = closedBytes
            state.segments[next.number] = SegmentInfo(
                cipher: next.cipher, end: next.end, fileBytes: next.preparedBytes,
                salt: next.salt)
            state.current = next.number
            state.files[next.number] = next.file
        }
        return nil
    }

    /// Gives back what was allocated and not used; returns the file's size.
    private func cutOff(_ segment: OpenSegment) -> Int {
        do {
            try segment.file.truncate(Int(segment.end))
            return Int(segment.end)
        } catch {
            // It costs room until the segment is deleted, nothing else.
            logger.warning(
                "log segment not cut off", metadata: ["log.error": "\(error.shortDescription)"])
            return segment.preparedBytes
        }
    }

    private func refusalForWantOfRoom() -> LogError? {
        let floor = factory.options.freeBytesFloor
        guard floor > 0 else { return nil }
        do {
            return try factory.fileSystem.freeBytes(factory.options.directory) < floor
                ? .diskFull : nil
        } catch {
            return error
        }
    }

    /// Removes files whose deletion is on record.
    private mutating func unlink(_ segments: [UInt64]) throws(LogError) {
        for number in segments {
            do {
                try factory.fileSystem.unlink(
                    SegmentName.path(in: factory.options.directory, number))
            } catch {
                // The next opening finishes it: the deletion is on record.
                logger.warning(
                    "log segment not unlinked",
                    metadata: [
                        "log.segment": "\(number)", "log.error": "\(error.shortDescription)",
                    ])
            }
        }
        for number in segments {
            // The next opening removes one that stays.
            try? factory.fileSystem.unlink(IndexFile.path(in: factory.options.directory, number))
        }
        let gone = Set(segments)
        manifest.entries.removeAll { gone.contains($0.segment) }
        state.withLock { state in
            for number in segments {
                state.segments[number] = nil
                state.files[number] = nil
            }
            state.deleting.subtract(segments)
        }
        let (fileSystem, directory) = (factory.fileSystem, factory.options.directory)
        try LogError.fatal { () throws(LogError) in
            try fileSystem.syncDirectory(directory, at: .deletedSegments)
        }
    }

    /// Gives a rewritten segment the place of the old one.
    private mutating func replace(_ replacement: SegmentReplacement) throws(LogError) {
        let segment = replacement.segment
        let (fileSystem, directory) = (factory.fileSystem, factory.options.directory)
        guard let index = manifest.entries.firstIndex(where: { $0.segment == segment.number })
        else {
            // It was deleted meanwhile. A draft that stays behind is unlinked at the next opening.
            try? fileSystem.unlink(segment.draft)
            return replacement.completion(.failure(.noSuchSegment(segment.number)))
        }
        do throws(LogError) {
            try fileSystem.rename(
                segment.draft, to: SegmentName.path(in: directory, segment.number))
        } catch {
            try? fileSystem.unlink(segment.draft)
            return replacement.completion(.failure(error))
        }
        do throws(LogError) {
            try LogError.fatal { () throws(LogError) in
                try fileSystem.syncDirectory(directory, at: .rewrittenSegment)
            }
        } catch {
            replacement.completion(.failure(error))
            throw error
        }
        manifest.entries[index] = Manifest.Entry(
            segment: segment.number, end: segment.info.end, isRewritten: true)
        let state = state
        replacement.completion(
            .success({
                state.withLock { state in
                    state.segments[segment.number] = segment.info
                    state.files[segment.number] = segment.file
                    state.rewritten.insert(segment.number)
                }
            }))
    }

    // MARK: Ends

    private mutating func finish() throws(LogError) {
        for append in deferred { append.completion(.failure(.diskFull)) }
        deferred = []
        do {
            if !names.isEmpty {
                buffer.removeAll(keepingCapacity: true)
                try sealNames()
                try writeBuffer()
            }
            // Alone in its write: it says that all before it is synced.
            buffer.removeAll(keepingCapacity: true)
            _ = try seal(InternalType.closing, [])
            try writeBuffer()
        } catch .diskFull {
            // Without the mark the next opening treats the end as a crash's: safe, only slower.
            return
        }
        _ = cutOff(segment)
        state.withLock { $0.failure = .closed }
    }

    /// Fails everybody, now and from now on.
    private mutating func fail(_ error: LogError) {
        logger.critical("log failed", metadata: ["log.error": "\(error)"])
        let (waiting, replacements) = state.update { state in
            state.failure = error
            defer {
                state.pending = []
                state.replacements = []
            }
            return (state.pending, state.replacements)
        }
        for append in inFlight + deferred + waiting { append.completion(.failure(error)) }
        for replacement in takenReplacements + replacements {
            replacement.completion(.failure(error))
        }
        takenReplacements = []
        inFlight = []
        deferred = []
        onFatal(error)
    }
}

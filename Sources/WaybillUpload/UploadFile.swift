internal import Crypto
internal import WaybillModel
internal import WaybillSealing
internal import WaybillThreads

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// The bytes of one upload and the record beside them; it all happens on one thread.
///
/// A mark follows the sync of the bytes that it tells of, and is synced itself before anybody is told:
/// what is behind the last mark counts for nothing after a crash. The record's marks overwrite blocks
/// that were synced when it was made, so that a mark costs one sync of one sector.
///
/// One append is in progress at a time, named by its fence; the next one ends it, and what it still
/// has to say is refused.
actor UploadFile {
    /// Where files lie.
    struct Places: Sendable {
        let records: String
        let parts: String
    }

    /// One append; later ones have higher fences.
    typealias Fence = UInt64

    nonisolated let id: UploadID
    nonisolated let plan: UploadPlan
    private let places: Places
    private let thread: ThreadExecutor

    /// As on disk.
    private(set) var mark: UploadMark
    /// What the record's other place says, in case that the bytes belie the first.
    private var olderMark: UploadMark?
    private var descriptor: Int32 = -1
    private var isLoaded = false
    /// The file's entry in its directory is known to be durable.
    private var isNamed: Bool
    private var fence: Fence = 0
    /// Bytes in the file; those behind the mark are not synced.
    private var written = 0
    private var writeBack = WriteBack()
    /// The file was made shorter, and no sync has said so yet.
    private var isTrimmed = false
    private var digest: RunningDigest
    /// Of the append in progress; nil where nothing is to be checked at its end.
    private var appendDigest: RunningDigest?
    /// What there was before the append in progress, while a check may take its bytes back.
    private var digestBefore: RunningDigest
    private var markedAt = Deadline.now

    /// A mark follows after so many bytes, or so long, of an append.
    private static let markBytes = 32 << 20
    private static let markInterval = Duration.seconds(1)

    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    /// - Parameter marks: those of its record, the newest first; there is one at least.
    init(
        id: UploadID, plan: UploadPlan, marks: [UploadMark], places: Places, thread: ThreadExecutor
    ) {
        self.id = id
        self.plan = plan
        self.places = places
        self.thread = thread
        mark = marks.first ?? UploadMark(time: plan.createdAt, byteCount: nil)
        olderMark = marks.dropFirst().first
        isNamed = mark.offset > 0
        digest = RunningDigest(plan.algorithms)
        digestBefore = digest
    }

    deinit {
        FileCalls.close(descriptor)
    }

    /// The file's name among the parts.
    nonisolated var fileName: String { Self.fileName(of: id) }

    static func fileName(of id: UploadID) -> String { "\(id)\(PartDirectory.nameSuffix)" }

    static func recordName(of id: UploadID) -> String { "\(id)" }

    private var filePath: String { places.parts + "/" + fileName }
    private var recordPath: String { places.records + "/" + Self.recordName(of: id) }

    // MARK: Beginning

    /// Makes the record; durable on return.
    func create() throws(UploadError) {
        try FileCalls.put(
            UploadRecord.bytes(of: plan, id, mark), at: recordPath, in: places.records)
    }

    /// Begins an append, or only looks: whoever is at it is ended, what it wrote is synced, or taken
    /// back where its check is missing.
    ///
    /// - Returns: the append's fence, and how far the upload has come.
    /// - Throws: ``UploadError/uploadGone`` where the bytes are not what the marks say.
    func begin() throws(UploadError) -> (fence: Fence, mark: UploadMark) {
        fence += 1
        guard mark.phase != .ended, mark.phase != .complete else { return (fence, mark) }
        // Who only looks leaves no descriptor behind; nor does whoever was at it before.
        defer { closeFile() }
        try load()
        try settleAppend()
        return (fence, mark)
    }

    /// Says what the append in progress is to be checked for at its end.
    ///
    /// - Parameter byteCount: the upload's bytes, where the request tells them.
    func prepare(
        _ fence: Fence, checking algorithms: [DigestAlgorithm], byteCount: Int?
    ) throws(UploadError) -> UploadMark {
        try check(fence)
        digestBefore = digest
        appendDigest = algorithms.isEmpty ? nil : RunningDigest(algorithms)
        if mark.byteCount == nil, let byteCount {
            var next = mark.next(.receiving, at: .now)
            next.byteCount = byteCount
            try write(next)
        }
        return mark
    }

    // MARK: Appending

    /// Adds bytes at the end.
    ///
    /// - Returns: the mark, where it is synced further than before and may be told.
    /// - Throws: ``UploadError/takenOver`` when another append has begun, ``UploadError/diskFull``,
    ///   ``UploadError/io(errno:operation:)``.
    func append(_ bytes: [UInt8], _ fence: Fence) throws(UploadError) -> UploadMark? {
        try check(fence)
        try add(bytes)
        guard appendDigest == nil,
            written - mark.offset >= Self.markBytes
                || Deadline.now >= markedAt.advanced(by: Self.markInterval)
        else { return nil }
        try sync(.receiving)
        return mark
    }

    private func add(_ bytes: [UInt8]) throws(UploadError) {
        guard !bytes.isEmpty else { return }
        try openFile()
        // What a crash left before the first mark.
        if written == 0 { try trim(to: 0) }
        do throws(UploadError) {
            try FileCalls.write(bytes, to: descriptor, at: written)
        } catch {
            try? trim(to: written)
            throw error
        }
        written += bytes.count
        writeBack.written(to: written, descriptor)
        digest.update(bytes)
        appendDigest?.update(bytes)
    }

    /// Ends an append whose bytes are all here; they are synced on return.
    ///
    /// - Parameter bytes: the last ones.
    /// - Throws: ``UploadError/digestMismatch(_:)`` for bytes that are not the ones told: they are
    ///   taken back. ``UploadError/takenOver`` and what the disk throws.
    func end(
        _ fence: Fence, adding bytes: [UInt8] = [], expecting expected: [ExpectedDigest],
        _ phase: UploadMark.Phase
    ) throws(UploadError) -> UploadMark {
        try check(fence)
        try add(bytes)
        if let appendDigest {
            do {
                _ = try appendDigest.finish(expecting: expected)
            } catch {
                try rollBack()
                throw error
            }
        }
        appendDigest = nil
        if written != mark.offset || phase != mark.phase { try sync(phase) }
        // Nobody is at it for now, or it is looked through next.
        if phase == .receiving { closeFile() }
        return mark
    }

    /// Ends an append that was cut off; what came of it stays, unless its check is missing.
    ///
    /// - Parameter bytes: the last ones that came.
    /// - Returns: false if another one has begun; and how far the upload has come.
    func abandon(_ fence: Fence, adding bytes: [UInt8]) -> (isCurrent: Bool, mark: UploadMark) {
        guard fence == self.fence else { return (false, mark) }
        do throws(UploadError) {
            if mark.phase == .receiving { try add(bytes) }
            try settleAppend()
        } catch {
            // The bytes behind the mark are suspect: they are cut off when the upload is looked at next.
            isLoaded = false
        }
        closeFile()
        return (true, mark)
    }

    /// The upload as one archive: its digests and its structure are checked.
    func check(
        expecting expected: [ExpectedDigest], limits: ArchiveLimits
    ) throws(UploadError) -> (Digest256, ArchiveLayout) {
        try load()
        let digest = try digest.finish(expecting: plan.expected + expected)
        try openFile()
        defer { closeFile() }
        let source = FileSource(descriptor: descriptor, byteCount: written)
        return (digest, try ArchiveStructure.checkPart(source, limits: limits))
    }

    /// A digest of all bytes; nil for a function that did not run, or after the upload was left.
    func digest(_ algorithm: DigestAlgorithm) -> [UInt8]? {
        isLoaded ? digest.bytes(algorithm) : nil
    }

    /// Adds all bytes of other uploads at the end; returns how many.
    func append(contentsOf names: [String], _ fence: Fence) throws(UploadError) -> Int {
        let before = written
        for name in names {
            let source = try FileCalls.opened(places.parts + "/" + name, O_RDONLY)
            defer { FileCalls.close(source) }
            var offset = 0
            while true {
                let piece = try FileCalls.read(source, at: offset, count: 1 << 20)
                if piece.isEmpty { break }
                offset += piece.count
                _ = try append(piece, fence)
            }
        }
        return written - before
    }

    // MARK: Ending

    /// Notes that the bytes are a part of their bundle, or a complete piece. A crash may undo the note:
    /// it is found out again.
    func complete(at time: Timestamp) -> UploadMark {
        close(.complete, at: time)
        return mark
    }

    /// Ends the upload and removes its bytes. An append in progress is refused from then on.
    func discard(at time: Timestamp) -> UploadMark {
        close(.ended, at: time)
        unlink(filePath)
        return mark
    }

    private func close(_ phase: UploadMark.Phase, at time: Timestamp) {
        fence += 1
        closeFile()
        let next = mark.next(phase, at: time)
        // Where it cannot be written the next start finds out once more.
        try? write(next)
        mark = next
    }

    /// Removes the record; the upload is not known any more.
    func removeRecord() {
        fence += 1
        closeFile()
        unlink(recordPath)
    }

    // MARK: Inside

    private func check(_ fence: Fence) throws(UploadError) {
        guard fence == self.fence, mark.phase == .receiving else { throw .takenOver }
    }

    private func openFile() throws(UploadError) {
        guard descriptor < 0 else { return }
        descriptor = try FileCalls.opened(filePath, O_RDWR | O_CREAT)
    }

    private func closeFile() {
        FileCalls.close(descriptor)
        descriptor = -1
    }

    /// Reads what is there as far as the marks tell, and cuts off what is behind.
    private func load() throws(UploadError) {
        guard !isLoaded else { return }
        if mark.offset > 0 || mark.phase != .receiving { try openFile() }
        var running = RunningDigest(plan.algorithms)
        var offset = 0
        var good: (mark: UploadMark, digest: RunningDigest)?
        // The lower one first, on the way to the other.
        for candidate in [mark, olderMark].compactMap(\.self).sorted(by: { $0.offset < $1.offset })
        {
            while offset < candidate.offset {
                let piece = try FileCalls.read(
                    descriptor, at: offset, count: min(1 << 20, candidate.offset - offset))
                if piece.isEmpty { break }
                running.update(piece)
                offset += piece.count
            }
            guard offset == candidate.offset,
                UploadMark.check(of: running.sha256) == candidate.check
            else { continue }
            if good.map({ $0.mark.sequence < candidate.sequence }) ?? true {
                good = (candidate, running)
            }
        }
        guard let good else { throw .uploadGone }
        // Nobody was told of a newer mark whose bytes are not there.
        let isOlder = good.mark.sequence < mark.sequence
        if descriptor >= 0 { try trim(to: good.mark.offset) }
        digest = good.digest
        written = good.mark.offset
        appendDigest = nil
        if isOlder {
            // In the place of the one that is no good.
            var next = good.mark
            next.sequence = mark.sequence + 2
            try write(next)
        }
        olderMark = nil
        isLoaded = true
    }

    /// Of the append before: syncs what is good, takes back what was not checked.
    private func settleAppend() throws(UploadError) {
        if appendDigest != nil { return try rollBack() }
        if written > mark.offset { try sync(mark.phase) }
    }

    private func rollBack() throws(UploadError) {
        appendDigest = nil
        digest = digestBefore
        written = mark.offset
        if descriptor >= 0 { try trim(to: written) }
    }

    private func trim(to byteCount: Int) throws(UploadError) {
        isTrimmed = true
        try FileCalls.truncate(descriptor, to: byteCount)
    }

    /// Syncs the bytes, then tells of them in a mark.
    private func sync(_ phase: UploadMark.Phase) throws(UploadError) {
        if written > mark.offset || isTrimmed {
            do throws(UploadError) {
                try openFile()
                try FileCalls.sync(descriptor)
                if !isNamed { try FileCalls.syncDirectory(places.parts) }
            } catch {
                // What the disk holds behind the mark is not known, and a second sync would say nothing of
                // it: it is cut off when the upload is looked at next.
                isLoaded = false
                fence += 1
                closeFile()
                throw error
            }
            isNamed = true
            isTrimmed = false
        }
        var next = mark.next(phase, at: .now)
        next.offset = written
        if phase == .received { next.byteCount = written }
        next.check = UploadMark.check(of: digest.sha256)
        try write(next)
        markedAt = .now
    }

    private func write(_ next: UploadMark) throws(UploadError) {
        try Self.write(next, of: id, to: recordPath)
        mark = next
    }

    /// Overwrites the older of a record's marks; synced on return.
    static func write(
        _ mark: UploadMark, of id: UploadID, to recordPath: String
    ) throws(UploadError) {
        let record = try FileCalls.opened(recordPath, O_WRONLY)
        defer { FileCalls.close(record) }
        try FileCalls.write(
            UploadRecord.slot(mark, of: id), to: record, at: UploadRecord.offset(of: mark))
        try FileCalls.syncOverwritten(record)
    }
}

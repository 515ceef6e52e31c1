internal import WaybillThreads

/// A closed segment as an opening finds it.
package struct StoredSegment: Sendable {
    package let number: UInt64
    /// Where its records end.
    package let end: UInt64
    /// Its records cannot be read any more, but its index may say what they were.
    package let isGone: Bool
    private let about: IndexedSegment?
    private let logID: [UInt8]
    private let options: LogOptions
    private let fileSystem: any FileSystem

    init(about: IndexedSegment, options: LogOptions, fileSystem: any FileSystem) {
        number = about.segment
        end = about.end
        isGone = false
        self.about = about
        logID = about.logID
        self.options = options
        self.fileSystem = fileSystem
    }

    init(
        goneWith number: UInt64, end: UInt64, logID: [UInt8], options: LogOptions,
        fileSystem: any FileSystem
    ) {
        self.number = number
        self.end = end
        isGone = true
        about = nil
        self.logID = logID
        self.options = options
        self.fileSystem = fileSystem
    }

    /// Whether it has the same content, and was not written anew.
    package func isSame(as other: StoredSegment) -> Bool { about == other.about }

    /// Nil where there is none, or none of this segment as it is.
    package func readIndex() throws(LogError) -> IndexFile? {
        try IndexFile.open(
            IndexFile.path(in: options.directory, number), about: about, number: number,
            logID: logID, fileSystem: fileSystem,
            masterKeys: [options.masterKey] + options.previousMasterKeys)
    }

    /// Writes the segment's index, in place of any other; not for one that is gone.
    ///
    /// - Throws: ``LogError/diskFull``, ``LogError/io(errno:operation:)``: nothing is lost then.
    package func writeIndex(_ sections: [[UInt8]]) throws(LogError) -> IndexFile {
        guard let about else { throw .noSuchSegment(number) }
        try IndexFile.write(
            sections, about: about, to: IndexFile.path(in: options.directory, number),
            fileSystem: fileSystem, masterKey: options.masterKey)
        guard let index = try readIndex() else { throw .damaged(segment: number, offset: 0) }
        return index
    }

    /// Unlinks the index, where there is one.
    package func removeIndex() throws(LogError) {
        let name = String(IndexFile.path(in: "", number).dropFirst())
        guard try fileSystem.list(options.directory).contains(name) else { return }
        try fileSystem.unlink(options.directory + "/" + name)
    }
}

/// Who is told of what an opening finds.
struct LogVisitor {
    let begin: (StoredSegment) throws -> Bool
    let end: (StoredSegment) throws -> Void
    let replay: (LogRecord) throws -> Void
}

extension SegmentedLog {
    /// A closed segment of this log; nil if there is none of this number.
    package func storedSegment(_ number: UInt64) -> StoredSegment? {
        let info = state.withLock { state in
            number == state.current ? nil : state.segments[number]
        }
        guard let info else { return nil }
        return StoredSegment(
            about: IndexedSegment(
                logID: logID, segment: number, end: info.end, salt: info.salt),
            options: options, fileSystem: fileSystem)
    }

    /// What a sealed file of the log's owner is about: no segment.
    private var nothing: IndexedSegment {
        IndexedSegment(
            logID: logID, segment: 0, end: 0, salt: [UInt8](repeating: 0, count: 32))
    }

    /// Writes a sealed file beside the log, in place of any other of this name. Durable on return;
    /// blocks. The name is to be one of the log's ``LogOptions/otherNames``.
    ///
    /// - Throws: ``LogError/diskFull``, ``LogError/io(errno:operation:)``: the old file is still there.
    package func writeSealed(_ sections: [[UInt8]], named name: String) throws(LogError) {
        try IndexFile.write(
            sections, about: nothing, to: options.directory + "/" + name, fileSystem: fileSystem,
            masterKey: options.masterKey, syncingAt: .sealedFile)
        try fileSystem.syncDirectory(options.directory, at: .sealedFile)
    }

    /// Nil if there is no such file, or it is damaged or another log's.
    package func readSealed(_ name: String) throws(LogError) -> IndexFile? {
        try IndexFile.open(
            options.directory + "/" + name, about: nothing, number: 0, logID: logID,
            fileSystem: fileSystem, masterKeys: [options.masterKey] + options.previousMasterKeys)
    }

    /// Reads a closed segment's records, oldest first, and says where there should be some and are
    /// none, and what those were called that later records name, of the segment or of the one behind
    /// it. Blocks; holds the segment in memory.
    ///
    /// - Throws: ``LogError/noSuchSegment(_:)``, ``LogError/io(errno:operation:)`` (retry), or what
    ///   `handle` throws.
    package func scan(
        _ number: UInt64, _ handle: (LogRecord) throws -> Void
    ) throws -> (faults: [RecoveryFault], lost: [LostRecord]) {
        var missing = MissingRecords()
        let (known, file) = try self.handle(of: number)
        if known.isRewritten {
            missing.beginRewritten()
        } else if let first = try firstSequence(known, file) {
            // The first records may be those that are gone.
            missing.begin(firstSequence: first, follows: false)
        }
        let (scan, info) = try scanAll(number) { record in
            missing.begin(firstSequence: record.sequence, follows: true)
            missing.take(record)
            if record.type < InternalType.first { try handle(record) }
        }
        missing.end()
        if !info.isRewritten, !scan.holes.isEmpty || scan.end < info.end {
            missing = try lookBehind(number, missing)
        }
        var faults = scan.holes.map {
            RecoveryFault(
                segment: number, bytes: $0.bytes,
                sequences: info.isRewritten ? nil : $0.sequences, reason: .damaged)
        }
        let covered = max(scan.end, scan.holes.last?.bytes.upperBound ?? 0)
        if covered < info.end {
            faults.append(
                RecoveryFault(
                    segment: number, bytes: covered..<info.end, sequences: nil, reason: .cutShort))
        }
        return (faults, missing.found)
    }

    /// What the segment behind names of the last records of this one.
    private func lookBehind(
        _ number: UInt64, _ missing: MissingRecords
    ) throws -> MissingRecords {
        let next = state.withLock { state in
            state.segments.keys.filter { $0 > number }.min()
                .flatMap { state.segments[$0]?.isRewritten == false ? $0 : nil }
        }
        guard let next else { return missing }
        var missing = missing
        _ = try readAll(next) { missing.take($0) }
        return missing
    }

    /// As ``scan(_:_:)``, with the log's own records.
    func scanAll(
        _ number: UInt64, _ body: (LogRecord) throws -> Void
    ) throws -> (scan: SegmentScan, info: SegmentInfo) {
        guard number != currentSegment else { throw LogError.noSuchSegment(number) }
        return try readAll(number, body)
    }

    private func readAll(
        _ number: UInt64, _ body: (LogRecord) throws -> Void
    ) throws -> (scan: SegmentScan, info: SegmentInfo) {
        let (info, file) = try handle(of: number)
        let base = SegmentHeader.recordsOffset
        let bytes = try file.read(at: base, count: Int(info.end) - base)
        var scan = SegmentScan(
            segment: number, cipher: info.cipher,
            firstSequence: try firstSequence(info, file) ?? 1)
        try scan.run(bytes, limit: info.end, body)
        return (scan, info)
    }

    /// As the segment's header tells it; nil where what stands there is not that header any more.
    private func firstSequence(
        _ info: SegmentInfo, _ file: any OpenFile
    ) throws(LogError) -> UInt64? {
        let header = try SegmentHeader.read(file)
        return header?.salt == info.salt ? header?.firstSequence : nil
    }
}

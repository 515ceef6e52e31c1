#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// The segment that is being written.
struct OpenSegment: Sendable {
    let number: UInt64
    let file: any OpenFile
    let cipher: SegmentCipher
    /// Everything before is synced; the next write goes here.
    var end: UInt64
    var nextOrdinal: UInt32
    /// Where writes find blocks that are filled with zeros and synced, whatever else the disk holds.
    var preparedBytes: Int
    /// Bulk goes into the next segment from here on; at once, where there was no room for a whole one.
    let fullAt: UInt64
    /// Of its header.
    let salt: [UInt8]
    /// What it took over from the segment before, in its new place.
    var kept: [LogRecord] = []
}

/// Makes segments that are durable under their names before anybody uses them.
struct SegmentFactory: Sendable {
    let options: LogOptions
    let fileSystem: any FileSystem
    let logID: [UInt8]

    /// Writes, syncs and names a new segment whose first record is the manifest.
    ///
    /// - Parameters:
    ///   - sequence: the manifest's; those of `kept` follow it.
    ///   - kept: records that the segment takes over, each under a new sequence.
    ///   - prepared: what there is of it; given back if it is too small.
    ///   - bulkBytes: its size without the reserve.
    ///   - roomBytes: what it must have room for besides its manifest.
    ///   - mayBeSmall: on a disk without room for a whole segment, one with what room there is.
    /// - Throws: `failed` after a failed write or sync; `diskFull` or `io` if nothing was lost.
    func make(
        number: UInt64, sequence: UInt64, manifest: Manifest, keeping kept: [LogRecord] = [],
        from prepared: PreparedSegment? = nil, bulkBytes: Int, roomBytes: Int = 0,
        mayBeSmall: Bool = false
    ) throws(LogError) -> OpenSegment {
        do throws(LogError) {
            let kept = kept.enumerated().map { index, record in
                (record.type, record.payload, sequence + 1 + UInt64(index))
            }
            let records = [(InternalType.manifest, manifest.encode(), sequence)] + kept
            let content = try LogError.sealing { () throws in
                try self.content(number, records)
            }
            let fullAt = max(bulkBytes, content.bytes.count + roomBytes)
            let wholeBytes = fullAt + options.reserveBytes
            let file = try LogError.mappingDiskFull { () throws(LogError) -> PreparedSegment in
                if var prepared, prepared.byteCount >= wholeBytes {
                    try fill(&prepared, to: prepared.byteCount)
                    return prepared
                }
                let least = mayBeSmall ? min(content.bytes.count, wholeBytes) : wholeBytes
                return try makeFile(number: number, byteCount: wholeBytes, atLeast: least)
            }
            try name(file, content.bytes)
            return OpenSegment(
                number: number, file: file.file, cipher: content.cipher,
                end: UInt64(content.bytes.count), nextOrdinal: UInt32(1 + kept.count),
                preparedBytes: file.byteCount,
                fullAt: file.byteCount < wholeBytes
                    ? 0 : UInt64(file.byteCount - options.reserveBytes),
                salt: content.salt, kept: Array(content.placed.dropFirst()))
        } catch {
            // A draft that stays behind is unlinked at the next open.
            try? fileSystem.unlink(draft(number))
            throw error
        }
    }

    /// Makes a file that is filled with zeros a segment, which is there after a power cut.
    private func name(_ prepared: PreparedSegment, _ content: [UInt8]) throws(LogError) {
        try LogError.fatal { () throws(LogError) in
            try prepared.file.writeAll(content[...], at: 0)
            try prepared.file.synchronize(at: .newSegment)
        }
        try LogError.mappingDiskFull { () throws(LogError) in
            try fileSystem.rename(
                prepared.draft, to: SegmentName.path(in: options.directory, prepared.number))
        }
        try LogError.fatal { () throws(LogError) in
            try fileSystem.syncDirectory(options.directory, at: .newSegment)
        }
    }

    private func draft(_ number: UInt64) -> String {
        SegmentName.path(in: options.directory, number) + SegmentName.draftSuffix
    }

    /// Reserves the file of a whole segment, if that leaves room enough.
    func reserve(number: UInt64) throws(LogError) -> PreparedSegment {
        let byteCount = options.segmentBytes + options.reserveBytes
        let floor = options.freeBytesFloor
        if floor > 0, try fileSystem.freeBytes(options.directory) < floor + byteCount {
            throw .diskFull
        }
        let file = try fileSystem.open(draft(number), .create)
        do throws(LogError) {
            try file.allocate(byteCount)
        } catch {
            try? fileSystem.unlink(draft(number))
            throw error
        }
        return PreparedSegment(
            number: number, draft: draft(number), file: file, byteCount: byteCount)
    }

    /// Writes zeros behind those that are there.
    func fill(_ segment: inout PreparedSegment, to end: Int) throws(LogError) {
        guard segment.filledBytes < end else { return }
        try segment.file.fillWithZeros(segment.filledBytes..<end, at: .newSegment)
        segment.filledBytes = end
    }

    /// Reserves and fills as much as there is, halving what is asked for beyond the least.
    private func makeFile(
        number: UInt64, byteCount: Int, atLeast least: Int
    ) throws(LogError) -> PreparedSegment {
        let file = try fileSystem.open(draft(number), .create)
        var wanted = byteCount
        while true {
            do throws(LogError) {
                try file.allocate(wanted)
                var segment = PreparedSegment(
                    number: number, draft: draft(number), file: file, byteCount: wanted)
                // Where nothing can be reserved, this takes the room.
                try fill(&segment, to: wanted)
                return segment
            } catch {
                guard case .io(let number, _) = error, LogError.isDiskFull(number), wanted > least
                else { throw error }
                // A system may have kept what it got hold of before it gave up.
                try file.truncate(0)
                wanted = max(least, min(options.reserveBytes, (wanted - least) / 2) + least)
                if wanted - least < 4096 { wanted = least }
            }
        }
    }

    /// Writes and syncs what is to take a closed segment's place, under a draft's name.
    ///
    /// - Parameter records: with the sequences that they keep; the manifest first.
    /// - Throws: `diskFull`, `io` or `failed`; nothing is lost by any of them.
    func rewrite(
        _ number: UInt64, _ records: [LogRecord]
    ) throws(LogError) -> RewrittenSegment {
        let overhead = FrameHeader.byteCount + FrameHeader.tagByteCount
        let end = records.reduce(SegmentHeader.recordsOffset) { $0 + $1.payload.count + overhead }
        let draft = SegmentName.path(in: options.directory, number) + SegmentName.draftSuffix
        let sealed = try LogError.sealing { () throws in
            try content(
                number, records.map { ($0.type, $0.payload, $0.sequence) },
                rewrittenEnd: UInt32(end))
        }
        do throws(LogError) {
            let file = try LogError.mappingDiskFull { () throws(LogError) in
                let file = try fileSystem.open(draft, .create)
                try file.writeAll(sealed.bytes[...], at: 0)
                try file.synchronize(at: .rewrittenSegment)
                return file
            }
            return RewrittenSegment(
                number: number, draft: draft, file: file,
                info: SegmentInfo(
                    cipher: sealed.cipher, end: UInt64(end), fileBytes: sealed.bytes.count,
                    salt: sealed.salt, isRewritten: true),
                records: sealed.placed)
        } catch {
            // A draft that stays behind is unlinked at the next opening.
            try? fileSystem.unlink(draft)
            throw error
        }
    }

    /// A segment's bytes, with a new key.
    ///
    /// Nothing of it counts before all of it is synced.
    private func content(
        _ number: UInt64, _ records: [(type: UInt16, payload: [UInt8], sequence: UInt64)],
        rewrittenEnd: UInt32 = 0
    ) throws -> (bytes: [UInt8], cipher: SegmentCipher, salt: [UInt8], placed: [LogRecord]) {
        let made = try SegmentHeader.make(
            logID: logID, segment: number, firstSequence: records.first?.sequence ?? 1,
            createdAt: wallClockMicroseconds(), masterKey: options.masterKey,
            rewrittenEnd: rewrittenEnd)
        let cipher = SegmentCipher(key: made.key, logID: logID, segment: number)
        var content = made.header.encodeBlocks()
        var placed: [LogRecord] = []
        for (ordinal, record) in records.enumerated() {
            let header = FrameHeader(
                payloadByteCount: UInt32(record.payload.count), sequence: record.sequence,
                ordinal: UInt32(ordinal), synced: UInt32(content.count), type: record.type)
            placed.append(
                LogRecord(
                    sequence: record.sequence, type: record.type, payload: record.payload,
                    position: RecordPosition(
                        segment: number, offset: UInt32(content.count),
                        byteCount: header.payloadByteCount)))
            try cipher.seal(record.payload, header, into: &content)
        }
        return (content, cipher, made.header.salt, placed)
    }
}

/// What is to take a closed segment's place; durable under a draft's name.
struct RewrittenSegment: Sendable {
    let number: UInt64
    let draft: String
    let file: any OpenFile
    let info: SegmentInfo
    /// In their new places.
    let records: [LogRecord]
}

/// Names of segment files: 16 hexadecimal digits and `.seg`.
enum SegmentName {
    static let suffix = ".seg"
    static let draftSuffix = ".new"

    static func path(in directory: String, _ number: UInt64) -> String {
        let digits = String(number, radix: 16)
        let zeros = String(repeating: "0", count: 16 - digits.count)
        return directory + "/" + zeros + digits + suffix
    }

    /// Nil for a name that is no segment's.
    static func number(_ name: String) -> UInt64? { number(name, suffix) }

    /// Nil for a name that is no index's.
    static func number(ofIndex name: String) -> UInt64? { number(name, IndexFile.suffix) }

    private static func number(_ name: String, _ suffix: String) -> UInt64? {
        guard name.utf8.count == 20, name.hasSuffix(suffix) else { return nil }
        let digits = name.prefix(16)
        guard digits.allSatisfy({ "0123456789abcdef".contains($0) }) else { return nil }
        return UInt64(digits, radix: 16).flatMap { $0 > 0 ? $0 : nil }
    }
}

extension LogError {
    /// Runs a write or sync after whose failure nothing on the disk can be relied on.
    static func fatal<Result>(
        _ body: () throws(LogError) -> Result
    ) throws(LogError) -> Result {
        do {
            return try body()
        } catch {
            guard case .io(let number, let operation) = error else { throw error }
            throw isDiskFull(number) && operation != "fdatasync" && operation != "fsync directory"
                ? .diskFull : .failed(errno: number, operation: operation)
        }
    }

    /// Runs calls of the library that seals.
    static func sealing<Result>(_ body: () throws -> Result) throws(LogError) -> Result {
        do {
            return try body()
        } catch {
            throw .failed(errno: 0, operation: "seal")
        }
    }

    /// Runs calls without which the log cannot be relied on any more, whatever they fail of.
    static func unrecoverable(_ body: () throws(LogError) -> Void) throws(LogError) {
        do {
            try body()
        } catch {
            guard case .io(let number, let operation) = error else { throw error }
            throw .failed(errno: number, operation: operation)
        }
    }

    /// Runs a call whose failure costs nothing but the call.
    static func mappingDiskFull<Result>(
        _ body: () throws(LogError) -> Result
    ) throws(LogError) -> Result {
        do {
            return try body()
        } catch {
            if case .io(let number, _) = error, isDiskFull(number) { throw .diskFull }
            throw error
        }
    }

    static func isDiskFull(_ number: Int32) -> Bool {
        number == ENOSPC || number == EDQUOT
    }
}

/// Microseconds since 1970.
func wallClockMicroseconds() -> Int64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &time)
    return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
}

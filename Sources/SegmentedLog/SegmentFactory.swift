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
    /// What writes find room in, whatever else the disk holds.
    let allocatedBytes: Int
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
    ///   - mayBeSmall: on a disk without room for a whole segment, one with what room there is.
    /// - Throws: `failed` after a failed write or sync; `diskFull` or `io` if nothing was lost.
    func make(
        number: UInt64, sequence: UInt64, manifest: Manifest, keeping kept: [LogRecord] = [],
        mayBeSmall: Bool = false
    ) throws(LogError) -> OpenSegment {
        let name = SegmentName.path(in: options.directory, number)
        let draft = name + SegmentName.draftSuffix
        do {
            return try make(
                draft: draft, name: name, number: number, sequence: sequence, manifest: manifest,
                kept: kept, mayBeSmall: mayBeSmall)
        } catch {
            // A draft that stays behind is unlinked at the next open.
            try? fileSystem.unlink(draft)
            throw error
        }
    }

    private func make(
        draft: String, name: String, number: UInt64, sequence: UInt64, manifest: Manifest,
        kept: [LogRecord], mayBeSmall: Bool
    ) throws(LogError) -> OpenSegment {
        let kept = kept.enumerated().map { index, record in
            (record.type, record.payload, sequence + 1 + UInt64(index))
        }
        let sealed = try LogError.sealing { () throws in
            try content(
                number, [(InternalType.manifest, manifest.encode(), sequence)] + kept)
        }
        let wholeBytes = options.segmentBytes + options.reserveBytes
        let (file, allocated) = try LogError.mappingDiskFull { () throws(LogError) in
            let file = try fileSystem.open(draft, .create)
            let least = mayBeSmall ? min(sealed.bytes.count, wholeBytes) : wholeBytes
            return (file, try allocate(file, wholeBytes, atLeast: least))
        }
        try LogError.fatal { () throws(LogError) in
            try file.writeAll(sealed.bytes[...], at: 0)
            try file.synchronize(at: .newSegment)
        }
        try LogError.mappingDiskFull { () throws(LogError) in
            try fileSystem.rename(draft, to: name)
        }
        try LogError.fatal { () throws(LogError) in
            try fileSystem.syncDirectory(options.directory, at: .newSegment)
        }
        return OpenSegment(
            number: number, file: file, cipher: sealed.cipher, end: UInt64(sealed.bytes.count),
            nextOrdinal: UInt32(1 + kept.count), allocatedBytes: allocated,
            fullAt: allocated < wholeBytes ? 0 : UInt64(options.segmentBytes), salt: sealed.salt,
            kept: Array(sealed.placed.dropFirst()))
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

    /// Reserves as much as there is, halving what is asked for beyond the least; returns how much.
    private func allocate(
        _ file: any OpenFile, _ byteCount: Int, atLeast least: Int
    ) throws(LogError) -> Int {
        var wanted = byteCount
        while true {
            do {
                try file.allocate(wanted)
                return wanted
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

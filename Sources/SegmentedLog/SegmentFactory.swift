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
}

/// Makes segments that are durable under their names before anybody uses them.
struct SegmentFactory: Sendable {
    let options: LogOptions
    let fileSystem: any FileSystem
    let logID: [UInt8]

    /// Writes, syncs and names a new segment whose first record is the manifest.
    ///
    /// - Throws: `failed` after a failed write or sync; `diskFull` or `io` if nothing was lost.
    func make(
        number: UInt64, sequence: UInt64, manifest: Manifest
    ) throws(LogError) -> OpenSegment {
        let name = SegmentName.path(in: options.directory, number)
        let draft = name + SegmentName.draftSuffix
        do {
            return try make(
                draft: draft, name: name, number: number, sequence: sequence, manifest: manifest)
        } catch {
            // A draft that stays behind is unlinked at the next open.
            try? fileSystem.unlink(draft)
            throw error
        }
    }

    private func make(
        draft: String, name: String, number: UInt64, sequence: UInt64, manifest: Manifest
    ) throws(LogError) -> OpenSegment {
        let file = try LogError.mappingDiskFull { () throws(LogError) in
            let file = try fileSystem.open(draft, .create)
            try file.allocate(options.segmentBytes + options.reserveBytes)
            return file
        }
        let (content, cipher) = try content(number, sequence, manifest)
        try LogError.fatal { () throws(LogError) in
            try file.writeAll(content[...], at: 0)
            try file.synchronize()
        }
        try LogError.mappingDiskFull { () throws(LogError) in
            try fileSystem.rename(draft, to: name)
        }
        try LogError.fatal { () throws(LogError) in
            try fileSystem.syncDirectory(options.directory)
        }
        return OpenSegment(
            number: number, file: file, cipher: cipher, end: UInt64(content.count), nextOrdinal: 1)
    }

    private func content(
        _ number: UInt64, _ sequence: UInt64, _ manifest: Manifest
    ) throws(LogError) -> ([UInt8], SegmentCipher) {
        do {
            let made = try SegmentHeader.make(
                logID: logID, segment: number, firstSequence: sequence,
                createdAt: wallClockMicroseconds(), masterKey: options.masterKey)
            let cipher = SegmentCipher(key: made.key, logID: logID, segment: number)
            let payload = manifest.encode()
            var content = made.header.encodeBlocks()
            let header = FrameHeader(
                payloadByteCount: UInt32(payload.count), sequence: sequence, ordinal: 0,
                synced: UInt32(SegmentHeader.recordsOffset), type: InternalType.manifest)
            try cipher.seal(payload, header, into: &content)
            return (content, cipher)
        } catch {
            throw .failed(errno: 0, operation: "seal")
        }
    }
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
    static func number(_ name: String) -> UInt64? {
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

    private static func isDiskFull(_ number: Int32) -> Bool {
        number == ENOSPC || number == EDQUOT
    }
}

/// Microseconds since 1970.
func wallClockMicroseconds() -> Int64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &time)
    return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
}

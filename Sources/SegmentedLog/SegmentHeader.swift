internal import Crypto

/// The first bytes of a segment; see OnDiskFormat, "Segment".
struct SegmentHeader: Sendable, Equatable {
    static let byteCount = 512
    /// Where the second copy stands.
    static let copyOffset = 4096
    /// Where records begin.
    static let recordsOffset = 8192
    /// Of a segment as it was written first.
    private static let version: UInt32 = 1
    /// Of one that was rewritten.
    private static let rewrittenVersion: UInt32 = 2
    private static let magic = Array("WAYBLOGS".utf8)

    /// Where the records of a rewritten segment end; 0 where manifests say it.
    let rewrittenEnd: UInt32
    let logID: [UInt8]
    let segment: UInt64
    let firstSequence: UInt64
    let createdAt: Int64
    let keyID: [UInt8]
    let salt: [UInt8]
    let wrappedKey: [UInt8]

    /// A header with a new random key for the segment.
    static func make(
        logID: [UInt8], segment: UInt64, firstSequence: UInt64, createdAt: Int64,
        masterKey: MasterKey, rewrittenEnd: UInt32 = 0
    ) throws -> (header: SegmentHeader, key: SymmetricKey) {
        let keyBytes = randomBytes(32)
        let draft = SegmentHeader(
            rewrittenEnd: rewrittenEnd, logID: logID, segment: segment,
            firstSequence: firstSequence, createdAt: createdAt,
            keyID: masterKey.id, salt: randomBytes(32),
            wrappedKey: [UInt8](repeating: 0, count: 48))
        let wrapped = try masterKey.wrap(
            keyBytes, salt: draft.salt, header: draft.encode().prefix(64))
        let header = SegmentHeader(
            rewrittenEnd: rewrittenEnd, logID: logID, segment: segment,
            firstSequence: firstSequence, createdAt: createdAt,
            keyID: masterKey.id, salt: draft.salt, wrappedKey: wrapped)
        return (header, SymmetricKey(data: keyBytes))
    }

    /// The segment's key; throws if the header was changed or `masterKey` is another one.
    func unwrapKey(_ masterKey: MasterKey, at site: TagCheckSite) throws -> SymmetricKey {
        try masterKey.unwrap(wrappedKey[...], salt: salt, header: encode().prefix(64), at: site)
    }

    /// One copy, 512 bytes.
    func encode() -> [UInt8] {
        var writer = FieldWriter(capacity: Self.byteCount)
        writer.raw(Self.magic)
        writer.integer(rewrittenEnd > 0 ? Self.rewrittenVersion : Self.version)
        writer.integer(rewrittenEnd)
        writer.raw(logID)
        writer.integer(segment)
        writer.integer(firstSequence)
        writer.integer(createdAt)
        writer.raw(keyID)
        writer.raw(salt)
        writer.raw(wrappedKey)
        writer.zeros(Self.byteCount - 4 - writer.byteCount)
        writer.checksum()
        return writer.bytes
    }

    /// Everything before the first record: both copies and the zeros around them.
    func encodeBlocks() -> [UInt8] {
        var writer = FieldWriter(capacity: Self.recordsOffset)
        for _ in 0..<2 {
            writer.raw(encode())
            writer.zeros(Self.copyOffset - Self.byteCount)
        }
        return writer.bytes
    }

    /// Reads a segment's header, from its second copy if need be; nil if both are damaged, `unreadable`
    /// if a later version wrote it.
    static func read(_ file: any OpenFile) throws(LogError) -> SegmentHeader? {
        for offset in [0, copyOffset] {
            let bytes = try file.read(at: offset, count: byteCount)
            if let header = try decode(bytes[...]) { return header }
        }
        return nil
    }

    /// Reads one copy; nil if it is damaged, `unreadable` if a later version wrote it.
    static func decode(_ bytes: ArraySlice<UInt8>) throws(LogError) -> SegmentHeader? {
        guard bytes.count == byteCount else { return nil }
        var reader = FieldReader(bytes)
        var checksum = FieldReader(bytes.suffix(4))
        guard reader.raw(8).map({ $0.elementsEqual(magic) }) == true,
            checksum.integer(UInt32.self) == Checksum.of(bytes.dropLast(4)),
            let version = reader.integer(UInt32.self)
        else { return nil }
        guard version <= rewrittenVersion else {
            throw .unreadable("a segment of format version \(version)")
        }
        guard let end = reader.integer(UInt32.self),
            (end > 0) == (version == rewrittenVersion), let logID = reader.raw(16),
            let segment = reader.integer(UInt64.self),
            let firstSequence = reader.integer(UInt64.self),
            let createdAt = reader.integer(Int64.self), let keyID = reader.raw(8),
            let salt = reader.raw(32), let wrappedKey = reader.raw(48)
        else { return nil }
        return SegmentHeader(
            rewrittenEnd: end, logID: Array(logID), segment: segment, firstSequence: firstSequence,
            createdAt: createdAt, keyID: Array(keyID), salt: Array(salt),
            wrappedKey: Array(wrappedKey))
    }
}

/// Bytes from the system's generator.
func randomBytes(_ count: Int) -> [UInt8] {
    var generator = SystemRandomNumberGenerator()
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + 8)
    // Eight at a time: each call of the generator is one of the system.
    while bytes.count < count {
        let next: UInt64 = generator.next()
        for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: next >> (8 * shift))) }
    }
    bytes.removeLast(bytes.count - count)
    return bytes
}

/// The content of the file `identity`; see OnDiskFormat, "Identity".
struct LogIdentity: Sendable, Equatable {
    static let byteCount = 64
    private static let version: UInt32 = 1
    private static let magic = Array("WAYBLOGI".utf8)

    let logID: [UInt8]
    let createdAt: Int64

    func encode() -> [UInt8] {
        var writer = FieldWriter(capacity: Self.byteCount)
        writer.raw(Self.magic)
        writer.integer(Self.version)
        writer.integer(UInt32(0))
        writer.raw(logID)
        writer.integer(createdAt)
        writer.zeros(20)
        writer.checksum()
        return writer.bytes
    }

    /// Nil if the bytes are damaged, `unreadable` if a later version wrote them.
    static func decode(_ bytes: ArraySlice<UInt8>) throws(LogError) -> LogIdentity? {
        guard bytes.count == byteCount else { return nil }
        var reader = FieldReader(bytes)
        var checksum = FieldReader(bytes.suffix(4))
        guard reader.raw(8).map({ $0.elementsEqual(magic) }) == true,
            checksum.integer(UInt32.self) == Checksum.of(bytes.dropLast(4)),
            let version = reader.integer(UInt32.self)
        else { return nil }
        guard version <= Self.version else {
            throw .unreadable("an identity of format version \(version)")
        }
        guard reader.integer(UInt32.self) == 0, let logID = reader.raw(16),
            let createdAt = reader.integer(Int64.self)
        else { return nil }
        return LogIdentity(logID: Array(logID), createdAt: createdAt)
    }
}

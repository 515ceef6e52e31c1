internal import Crypto

/// A sealed file of sections that can be read in part; see OnDiskFormat, "Sidecar index".
///
/// A cache: nothing in it is needed that the log could not tell, and it says itself whether it is
/// what was written for this segment.
package struct IndexFile: Sendable {
    /// Sections that a file can have.
    package static let sectionsMax = 8
    static let suffix = ".idx"
    private static let chunkBytes = 4096
    private static let storedChunkBytes = chunkBytes + 16

    private let header: IndexHeader
    private let key: SymmetricKey
    /// Opened for each read: there may be more indexes than a process may have files.
    private let path: String
    private let fileSystem: any FileSystem

    /// Bytes in each section; missing ones are empty.
    package var sectionByteCounts: [Int] { header.sectionByteCounts }

    static func path(in directory: String, _ segment: UInt64) -> String {
        String(SegmentName.path(in: directory, segment).dropLast(SegmentName.suffix.count)) + suffix
    }

    // MARK: Writing

    /// Writes the file under a draft's name and gives it its own.
    ///
    /// - Parameter site: nil for a cache: what a power cut leaves of it says itself that it is not
    ///   whole.
    static func write(
        _ sections: [[UInt8]], about segment: IndexedSegment, to path: String,
        fileSystem: any FileSystem, masterKey: MasterKey, syncingAt site: SyncSite? = nil
    ) throws(LogError) {
        precondition(sections.count <= sectionsMax, "more sections than the header has room for")
        let draft = path + SegmentName.draftSuffix
        let content = try seal(sections, about: segment, masterKey)
        try LogError.mappingDiskFull { () throws(LogError) in
            do throws(LogError) {
                let file = try fileSystem.open(draft, .create)
                try file.writeAll(content[...], at: 0)
                if let site { try file.synchronize(at: site) }
                try fileSystem.rename(draft, to: path)
            } catch {
                // A draft that stays behind is unlinked at the next opening.
                try? fileSystem.unlink(draft)
                throw error
            }
        }
    }

    private static func seal(
        _ sections: [[UInt8]], about segment: IndexedSegment, _ masterKey: MasterKey
    ) throws(LogError) -> [UInt8] {
        do {
            let (header, key) = try IndexHeader.make(
                segment, sectionByteCounts: sections.map(\.count), masterKey: masterKey)
            var content = header.encode()
            content.reserveCapacity(
                content.count + sections.reduce(0) { $0 + storedByteCount($1.count) })
            var chunk: UInt64 = 0
            let sealer = RecordSealer(key: key)
            for section in sections {
                for start in stride(from: 0, to: section.count, by: chunkBytes) {
                    let place = content.count
                    content.append(
                        contentsOf: section[start..<min(start + chunkBytes, section.count)])
                    content.append(contentsOf: repeatElement(0, count: FrameHeader.tagByteCount))
                    try sealer.seal(
                        &content, from: place, nonce: nonceBytes(chunk), authenticating: [], [])
                    chunk += 1
                }
            }
            return content
        } catch {
            throw .failed(errno: 0, operation: "seal")
        }
    }

    // MARK: Reading

    /// Nil if there is no such file, or it was not written for this segment.
    ///
    /// - Parameter segment: nil for a segment that is gone: then only the file's own word counts.
    static func open(
        _ path: String, about segment: IndexedSegment?, number: UInt64, logID: [UInt8]?,
        fileSystem: any FileSystem, masterKeys: [MasterKey]
    ) throws(LogError) -> IndexFile? {
        let file: any OpenFile
        do throws(LogError) {
            file = try fileSystem.open(path, .existing)
        } catch {
            if case .io = error { return nil }
            throw error
        }
        let bytes = try file.read(at: 0, count: IndexHeader.byteCount)
        guard let header = IndexHeader(bytes[...]), header.about.segment == number,
            logID == nil || header.about.logID == logID, segment == nil || header.about == segment,
            let masterKey = masterKeys.first(where: { $0.id == header.keyID }),
            let key = header.key(bytes, masterKey),
            try file.byteCount() == IndexHeader.byteCount + header.storedByteCount
        else { return nil }
        return IndexFile(header: header, key: key, path: path, fileSystem: fileSystem)
    }

    /// What the file says that it was written about.
    var about: IndexedSegment { header.about }

    /// Bytes of one section; blocks for one read.
    ///
    /// - Throws: ``LogError/damaged(segment:offset:)`` if they are not what was written,
    ///   ``LogError/io(errno:operation:)`` (retry).
    package func read(_ section: Int, _ range: Range<Int>) throws(LogError) -> [UInt8] {
        guard !range.isEmpty else { return [] }
        precondition(
            range.lowerBound >= 0 && range.upperBound <= header.sectionByteCounts[section],
            "outside the section")
        let first = range.lowerBound / Self.chunkBytes
        let last = (range.upperBound - 1) / Self.chunkBytes
        let sectionStart = header.chunksBefore(section)
        let stored = try fileSystem.open(path, .existing).read(
            at: header.offset(of: section) + first * Self.storedChunkBytes,
            count: (last - first + 1) * Self.storedChunkBytes)
        var bytes: [UInt8] = []
        bytes.reserveCapacity((last - first + 1) * Self.chunkBytes)
        for chunk in first...last {
            let start = (chunk - first) * Self.storedChunkBytes
            let count = min(
                Self.chunkBytes, header.sectionByteCounts[section] - chunk * Self.chunkBytes)
            guard start + count + 16 <= stored.count,
                let content = Self.open(
                    stored[start..<start + count + 16], UInt64(sectionStart + chunk), key)
            else { throw .damaged(segment: header.about.segment, offset: UInt32(chunk)) }
            bytes.append(contentsOf: content)
        }
        let skipped = range.lowerBound - first * Self.chunkBytes
        if skipped == 0, bytes.count == range.count { return bytes }
        return Array(bytes[skipped..<skipped + range.count])
    }

    /// All of a section.
    package func read(_ section: Int) throws(LogError) -> [UInt8] {
        try read(section, 0..<header.sectionByteCounts[section])
    }

    private static func open(
        _ stored: ArraySlice<UInt8>, _ chunk: UInt64, _ key: SymmetricKey
    ) -> [UInt8]? {
        #if MUTANTS
            if Mutation.disables(TagCheckSite.indexPiece) {
                // As below: nil says that there is nothing.
                return (try? nonce(chunk)).flatMap { nonce in
                    try? Mutation.decryptUnchecked(stored.dropLast(16), key: key, nonce: nonce)
                }
            }
        #endif
        // The only error that matters is that the bytes are not authentic: nil says so.
        guard
            let box = try? AES.GCM.SealedBox(
                combined: Combined.data(nonce: nonceBytes(chunk), stored)),
            let content = try? AES.GCM.open(box, using: key)
        else { return nil }
        return Array(content)
    }

    #if MUTANTS
        private static func nonce(_ number: UInt64) throws -> AES.GCM.Nonce {
            try AES.GCM.Nonce(data: nonceBytes(number))
        }
    #endif

    private static func nonceBytes(_ number: UInt64) -> [UInt8] {
        var writer = FieldWriter(capacity: 12)
        writer.zeros(4)
        writer.integer(number)
        return writer.bytes
    }

    fileprivate static func chunkCount(_ byteCount: Int) -> Int {
        (byteCount + chunkBytes - 1) / chunkBytes
    }

    fileprivate static func storedByteCount(_ byteCount: Int) -> Int {
        byteCount + 16 * chunkCount(byteCount)
    }
}

/// Which content of which segment an index is about.
struct IndexedSegment: Sendable, Equatable {
    let logID: [UInt8]
    let segment: UInt64
    /// Where its records end.
    let end: UInt64
    /// The salt of its header: another one says that the segment was written anew.
    let salt: [UInt8]
}

/// The first bytes of an index file; see OnDiskFormat, "Sidecar index".
private struct IndexHeader: Sendable {
    static let byteCount = 512
    private static let magic = Array("WAYBLOGX".utf8)
    private static let version: UInt32 = 1
    private static let wrappedKeyBytes = 128..<176

    let about: IndexedSegment
    let keyID: [UInt8]
    let salt: [UInt8]
    var wrappedKey: [UInt8]
    let sectionByteCounts: [Int]

    static func make(
        _ about: IndexedSegment, sectionByteCounts: [Int], masterKey: MasterKey
    ) throws -> (IndexHeader, SymmetricKey) {
        let keyBytes = randomBytes(32)
        var header = IndexHeader(
            about: about, keyID: masterKey.id, salt: randomBytes(32),
            wrappedKey: [UInt8](repeating: 0, count: 48), sectionByteCounts: sectionByteCounts)
        header.wrappedKey = try masterKey.wrap(
            keyBytes, salt: header.salt, header: Self.bound(header.encode())[...])
        return (header, SymmetricKey(data: keyBytes))
    }

    private init(
        about: IndexedSegment, keyID: [UInt8], salt: [UInt8], wrappedKey: [UInt8],
        sectionByteCounts: [Int]
    ) {
        self.about = about
        self.keyID = keyID
        self.salt = salt
        self.wrappedKey = wrappedKey
        self.sectionByteCounts =
            sectionByteCounts
            + [Int](repeating: 0, count: IndexFile.sectionsMax - sectionByteCounts.count)
    }

    /// What the wrapping of the key authenticates: all of a header but the key and the checksum.
    private static func bound(_ bytes: [UInt8]) -> [UInt8] {
        Array(
            bytes[..<wrappedKeyBytes.lowerBound] + bytes[wrappedKeyBytes.upperBound...].dropLast(4))
    }

    func encode() -> [UInt8] {
        var writer = FieldWriter(capacity: Self.byteCount)
        writer.raw(Self.magic)
        writer.integer(Self.version)
        writer.integer(UInt32(0))
        writer.raw(about.logID)
        writer.integer(about.segment)
        writer.integer(about.end)
        writer.raw(about.salt)
        writer.raw(keyID)
        writer.zeros(8)
        writer.raw(salt)
        writer.raw(wrappedKey)
        for count in sectionByteCounts { writer.integer(UInt64(count)) }
        writer.zeros(Self.byteCount - 4 - writer.byteCount)
        writer.checksum()
        return writer.bytes
    }

    /// Nil unless it is an undamaged header of this version.
    init?(_ bytes: ArraySlice<UInt8>) {
        guard bytes.count == Self.byteCount else { return nil }
        var reader = FieldReader(bytes)
        var checksum = FieldReader(bytes.suffix(4))
        guard reader.raw(8).map({ $0.elementsEqual(Self.magic) }) == true,
            checksum.integer(UInt32.self) == Checksum.of(bytes.dropLast(4)),
            reader.integer(UInt32.self) == Self.version, reader.integer(UInt32.self) == 0,
            let logID = reader.raw(16), let segment = reader.integer(UInt64.self),
            let end = reader.integer(UInt64.self), let segmentSalt = reader.raw(32),
            let keyID = reader.raw(8), reader.raw(8) != nil, let salt = reader.raw(32),
            let wrappedKey = reader.raw(48)
        else { return nil }
        var counts: [Int] = []
        for _ in 0..<IndexFile.sectionsMax {
            guard let count = reader.integer(UInt64.self), count < 1 << 40 else { return nil }
            counts.append(Int(count))
        }
        self.init(
            about: IndexedSegment(
                logID: Array(logID), segment: segment, end: end, salt: Array(segmentSalt)),
            keyID: Array(keyID), salt: Array(salt), wrappedKey: Array(wrappedKey),
            sectionByteCounts: counts)
    }

    /// The file's key; nil if `bytes`, its first ones, are not authentic.
    func key(_ bytes: [UInt8], _ masterKey: MasterKey) -> SymmetricKey? {
        // The only error that matters is that the bytes are not authentic: nil says so.
        try? masterKey.unwrap(
            wrappedKey[...], salt: salt, header: Self.bound(bytes)[...], at: .index)
    }

    func chunksBefore(_ section: Int) -> Int {
        sectionByteCounts[..<section].reduce(0) { $0 + IndexFile.chunkCount($1) }
    }

    func offset(of section: Int) -> Int {
        Self.byteCount
            + sectionByteCounts[..<section].reduce(0) { $0 + IndexFile.storedByteCount($1) }
    }

    var storedByteCount: Int {
        sectionByteCounts.reduce(0) { $0 + IndexFile.storedByteCount($1) }
    }
}

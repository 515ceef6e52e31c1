/// The fields that the local and the directory header of an entry share.
struct EntryFields {
    let flags: Int
    let method: Int
    let crc32: UInt32
    let name: ArraySlice<UInt8>
    let extra: ExtraFields
    let start: Int
}

/// General purpose bits of an entry.
enum EntryFlag {
    static let encrypted = 1 << 0
    static let descriptor = 1 << 3
    static let strongEncryption = 1 << 6
    static let maskedHeaders = 1 << 13
    /// Encrypted, two bits of the deflate level, descriptor, UTF-8.
    static let allowed = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 11
}

/// The one header of the directory.
struct DirectoryHeader {
    let fields: EntryFields
    let sizes: EntrySizes
    private let externalAttributes: UInt32

    init(of source: some ArchiveSource, at start: Int, count: Int) throws {
        guard count >= RecordLength.directoryHeader else {
            throw ArchiveRefusal(.inconsistent, "the directory holds an entry", at: start)
        }
        let fixed = try source.header(at: start, count: RecordLength.directoryHeader)
        guard fixed.u32(0) == RecordSignature.directoryHeader else {
            throw ArchiveRefusal(
                .inconsistent, "the directory begins where the end record says", at: start)
        }
        let nameCount = fixed.u16(28)
        guard nameCount == ArchiveLayout.entryName.utf8.count else {
            throw ArchiveRefusal(
                .name, "the entry's name is \(ArchiveLayout.entryName)", at: start + 28)
        }
        guard fixed.u16(32) == 0 else {
            throw ArchiveRefusal(.comment, "an entry has no comment", at: start + 32)
        }
        let extraCount = fixed.u16(30)
        let length = RecordLength.directoryHeader + nameCount + extraCount
        guard length <= count else {
            throw ArchiveRefusal(
                .inconsistent, "a directory header ends within the directory", at: start + 28)
        }
        if length < count {
            throw try Self.surplus(in: source, at: start + length, count: count - length)
        }
        let rest = try source.header(
            at: start + RecordLength.directoryHeader, count: nameCount + extraCount)
        let extra = try ExtraFields(
            HeaderBytes(
                bytes: Array(rest.slice(nameCount, extraCount)), start: rest.start + nameCount))
        fields = EntryFields(
            flags: fixed.u16(8), method: fixed.u16(10), crc32: fixed.u32(16),
            name: rest.slice(0, nameCount), extra: extra, start: start)
        sizes = try EntrySizes(
            unzipped: fixed.u32(24), zipped: fixed.u32(20), offset: fixed.u32(42),
            disk: fixed.u16(34), zip64: extra.zip64, at: start + 20)
        guard fixed.u16(34) == 0 || fixed.u16(34) == saturated16 else {
            throw ArchiveRefusal(.inconsistent, "an archive lies on one disk", at: start + 34)
        }
        externalAttributes = fixed.u32(38)
    }

    private static func surplus(
        in source: some ArchiveSource, at offset: Int, count: Int
    ) throws -> ArchiveRefusal {
        let next = try source.header(at: offset, count: min(4, count))
        return next.count == 4 && next.u32(0) == RecordSignature.directoryHeader
            ? ArchiveRefusal(.entries, "an archive has exactly one entry", at: offset)
            : ArchiveRefusal(.surplus, "nothing follows the entry in the directory", at: offset)
    }

    /// Refuses what is not a plain entry of the right name, encrypted with AES.
    func check() throws(ArchiveRefusal) -> AESField {
        guard fields.name.elementsEqual(ArchiveLayout.entryName.utf8) else {
            throw ArchiveRefusal(
                .name, "the entry's name is \(ArchiveLayout.entryName)",
                at: fields.start + RecordLength.directoryHeader)
        }
        let kind = externalAttributes >> 16 & 0o170000
        guard kind != 0o040000, kind != 0o120000, externalAttributes & 0x10 == 0 else {
            throw ArchiveRefusal(
                .entryType, "the entry is neither a directory nor a symbolic link",
                at: fields.start + 38)
        }
        guard fields.flags & EntryFlag.encrypted != 0 else {
            throw ArchiveRefusal(.notEncrypted, "the entry is encrypted", at: fields.start + 8)
        }
        guard fields.flags & (EntryFlag.strongEncryption | EntryFlag.maskedHeaders) == 0 else {
            throw ArchiveRefusal(
                .encryption, "neither strong encryption nor masked headers", at: fields.start + 8)
        }
        guard fields.method == 99 else {
            throw ArchiveRefusal(
                .encryption, "the entry is encrypted with WinZip AES", at: fields.start + 10)
        }
        guard let aes = fields.extra.aes else {
            throw ArchiveRefusal(
                .encryption, "the entry has an AES field",
                at: fields.start + RecordLength.directoryHeader + fields.name.count)
        }
        guard fields.flags & ~EntryFlag.allowed == 0 else {
            throw ArchiveRefusal(.method, "no unknown flag is set", at: fields.start + 8)
        }
        return aes
    }
}

/// The header before the entry's data.
struct LocalHeader {
    let fields: EntryFields
    let unzipped: UInt32
    let zipped: UInt32
    /// Where the entry's data begins.
    let end: Int

    /// Reads the header at byte 0, which must end at `limit` or before.
    init(of source: some ArchiveSource, limit: Int) throws {
        guard limit >= RecordLength.localHeader else {
            throw ArchiveRefusal(.inconsistent, "the entry lies before the directory", at: 0)
        }
        let fixed = try source.header(at: 0, count: RecordLength.localHeader)
        guard fixed.u32(0) == RecordSignature.localHeader else {
            throw ArchiveRefusal(.inconsistent, "the archive begins with a local header", at: 0)
        }
        let nameCount = fixed.u16(26)
        guard nameCount == ArchiveLayout.entryName.utf8.count else {
            throw ArchiveRefusal(
                .inconsistent, "the local and the directory header agree in the name", at: 26)
        }
        let extraCount = fixed.u16(28)
        end = RecordLength.localHeader + nameCount + extraCount
        guard end <= limit else {
            throw ArchiveRefusal(.inconsistent, "the entry lies before the directory", at: 26)
        }
        let rest = try source.header(
            at: RecordLength.localHeader, count: nameCount + extraCount)
        let extra = try ExtraFields(
            HeaderBytes(
                bytes: Array(rest.slice(nameCount, extraCount)), start: rest.start + nameCount))
        fields = EntryFields(
            flags: fixed.u16(6), method: fixed.u16(8), crc32: fixed.u32(14),
            name: rest.slice(0, nameCount), extra: extra, start: 0)
        zipped = fixed.u32(18)
        unzipped = fixed.u32(22)
    }

    /// Refuses a header that disagrees with the directory's.
    func check(against directory: DirectoryHeader, aes: AESField) throws(ArchiveRefusal) {
        func agree(_ condition: Bool, _ what: String, _ offset: Int) throws(ArchiveRefusal) {
            guard condition else {
                throw ArchiveRefusal(
                    .inconsistent, "the local and the directory header agree in the \(what)",
                    at: offset)
            }
        }
        let hasDescriptor = fields.flags & EntryFlag.descriptor != 0
        try agree(fields.name == directory.fields.name, "name", RecordLength.localHeader)
        try agree(fields.flags == directory.fields.flags, "flags", 6)
        try agree(fields.method == directory.fields.method, "method", 8)
        try agree(
            fields.crc32 == directory.fields.crc32 || (hasDescriptor && fields.crc32 == 0),
            "CRC", 14)
        try agree(
            fields.extra.aes == aes, "AES field", RecordLength.localHeader + fields.name.count)
        guard !hasDescriptor else { return }
        let sizes = try EntrySizes(
            unzipped: unzipped, zipped: zipped, zip64: fields.extra.zip64, at: 18)
        try agree(
            sizes.unzipped == directory.sizes.unzipped && sizes.zipped == directory.sizes.zipped,
            "sizes", 18)
    }
}

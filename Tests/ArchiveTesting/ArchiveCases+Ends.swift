internal import WaybillSealing

/// What is wrong at an archive's ends: the end records, and bytes where none belong.
extension ArchiveCases {
    private typealias Forge = ArchiveForge

    static let whole = ArchiveForge().bytes()

    private static let oneEntry = "an archive has exactly one entry"
    private static let noComment = "an archive has no comment"
    private static let oneDisk = "an archive lies on one disk"
    private static let agree = "the end record and the zip64 end record agree"

    package static let ends: [ArchiveCase] = [
        ArchiveCase("zero bytes", .empty, "a part has bytes", at: 0, []),
        ArchiveCase(
            "random bytes", .notZip, "a part is a ZIP archive", at: 0,
            (0..<500).map { UInt8($0 * 37 & 0xff) }),
        ArchiveCase("three other bytes", .notZip, "a part is a ZIP archive", at: 0, [1, 2, 3]),
        ArchiveCase(
            "no entry", .entries, oneEntry, at: 8,
            Forge.u32(0x0605_4b50) + [UInt8](repeating: 0, count: 18)),
        ArchiveCase("entry count one more", .entries, oneEntry, at: 174) { $0.entries = 2 },
        ArchiveCase("entry count one less", .entries, oneEntry, at: 172) {
            ($0.entries, $0.entriesOnDisk) = (0, 0)
        },
        ArchiveCase("entry count of the disk one less", .entries, oneEntry, at: 172) {
            $0.entriesOnDisk = 0
        },
        ArchiveCase("65,535 entries announced", .entries, oneEntry, at: 172) {
            ($0.entries, $0.entriesOnDisk) = (0xffff, 0xffff)
        },
        ArchiveCase(
            "directory offset past the end", .inconsistent,
            "the directory lies before the end record", at: 180
        ) { $0.directoryOffset = 5_000_000 },
        ArchiveCase("bytes before", .surplus, "nothing stands before the archive", at: 0) {
            ($0.before, $0.directoryOffset) = ([9, 9], 94)
        },
        ArchiveCase(
            "bytes before, offsets mended", .surplus, "nothing stands before the entry", at: 0
        ) { ($0.before, $0.localOffset) = ([9, 9], 2) },
        ArchiveCase(
            "bytes between entry and directory", .surplus,
            "nothing stands between the entry and the directory", at: 94
        ) { $0.between = [0, 0, 0] },
        ArchiveCase(
            "bytes between directory and end", .surplus,
            "nothing stands between the directory and the end record", at: 164
        ) { $0.afterDirectory = [0] },
        ArchiveCase("bytes after", .surplus, "nothing follows the end record", at: 186) {
            $0.after = [0]
        },
        ArchiveCase("many bytes after", .surplus, "nothing follows the end record", at: 186) {
            $0.after = [UInt8](repeating: 0, count: 60_000)
        },
        ArchiveCase(
            "two archives", .surplus, "nothing stands before the archive", at: 0, whole + whole),
        ArchiveCase(
            "two end records", .surplus,
            "nothing stands between the directory and the end record", at: 164,
            whole + whole.suffix(22)),
        ArchiveCase("archive comment", .comment, noComment, at: 184) {
            $0.comment = Array("hello".utf8)
        },
        ArchiveCase(
            "archive comment that is missing", .comment, noComment, at: 184,
            whole.dropLast(2) + [5, 0]),
        ArchiveCase("archive comment that holds a second ZIP", .comment, noComment, at: 184) {
            $0.comment = whole
        },
        ArchiveCase("multi-disk fields", .inconsistent, oneDisk, at: 168) { $0.disk = 1 },
        ArchiveCase("multi-disk fields of the entry", .inconsistent, oneDisk, at: 128) {
            $0.entryDisk = 1
        },
        ArchiveCase("EOCD and EOCD64 disagree in the count", .inconsistent, agree, at: 248) {
            $0.zip64 = { Forge.zip64End(offset: $0, count: $1, entries: 2) }
        },
        ArchiveCase("EOCD and EOCD64 disagree in the offset", .inconsistent, agree, at: 256) {
            $0.zip64 = { Forge.zip64End(offset: $0, count: $1) }
            $0.directoryOffset = 3
        },
        ArchiveCase("zip64 count 2^40", .entries, oneEntry, at: 188) {
            $0.zip64 = { Forge.zip64End(offset: $0, count: $1, entries: 1 << 40) }
            ($0.entries, $0.entriesOnDisk) = (0xffff, 0xffff)
        },
        ArchiveCase(
            "zip64 size 2^62 of the directory", .inconsistent,
            "the directory lies before the end record", at: 204
        ) {
            $0.zip64 = { Forge.zip64End(offset: $0, count: 1 << 62, locatorOffset: $0 + $1) }
            $0.directoryCount = 0xffff_ffff
        },
        ArchiveCase(
            "zip64 locator to itself", .inconsistent,
            "the zip64 locator points to the record before it", at: 228
        ) { $0.zip64 = { Forge.zip64End(offset: $0, count: $1, locatorOffset: $0 + $1 + 56) } },
        ArchiveCase(
            "zip64 locator to 2^63 - 1", .inconsistent,
            "the zip64 locator points to the record before it", at: 228
        ) { $0.zip64 = { Forge.zip64End(offset: $0, count: $1, locatorOffset: Int.max) } },
        ArchiveCase(
            "zip64 end record missing", .inconsistent,
            "the end record refers to a zip64 record that is missing", at: 180
        ) { $0.directoryOffset = 0xffff_ffff },
        ArchiveCase(
            "zip64 end record with data of its own", .inconsistent,
            "the zip64 locator points to a zip64 end record", at: 168
        ) {
            $0.zip64 = { offset, count in
                var pair = Forge.zip64End(offset: offset, count: count)
                pair[4] = 50
                return pair
            }
        },
        ArchiveCase("zip64 end record on another disk", .inconsistent, oneDisk, at: 180) {
            $0.zip64 = { offset, count in
                var pair = Forge.zip64End(offset: offset, count: count)
                pair[16] = 1
                return pair
            }
            $0.disk = 0xffff
        },
    ]

    package static let directories: [ArchiveCase] = [
        ArchiveCase("overlapping entries", .entries, oneEntry, at: 242) {
            $0.afterEntry = Array(whole[94..<164])
            ($0.entries, $0.entriesOnDisk) = (2, 2)
        },
        ArchiveCase("two entries, counted as one", .entries, oneEntry, at: 164) {
            $0.afterEntry = Array(whole[94..<164])
        },
        ArchiveCase("two entries", .entries, oneEntry, at: 336, twoEntries(named: "other.ndjsonx")),
        ArchiveCase(
            "duplicate names", .entries, oneEntry, at: 336, twoEntries(named: "bundle.ndjson")),
        ArchiveCase(
            "signature in the directory", .surplus, "nothing follows the entry in the directory",
            at: 164
        ) { $0.afterEntry = Forge.u32(0x0505_4b50) + Forge.u16(0) },
        ArchiveCase("comment of the entry", .comment, "an entry has no comment", at: 126) {
            $0.entryComment = [65]
        },
        ArchiveCase(
            "directory attribute of DOS", .entryType,
            "the entry is neither a directory nor a symbolic link", at: 132
        ) { $0.attributes = 0x10 },
        ArchiveCase(
            "directory attributes", .entryType,
            "the entry is neither a directory nor a symbolic link", at: 132
        ) { $0.attributes = 0o040755 << 16 },
        ArchiveCase(
            "symlink attributes", .entryType,
            "the entry is neither a directory nor a symbolic link", at: 132
        ) { $0.attributes = 0o120777 << 16 },
        ArchiveCase(
            "directory offset one less", .inconsistent,
            "the directory begins where the end record says", at: 93
        ) { ($0.directoryOffset, $0.directoryCount) = (93, 71) },
    ]

    /// Two whole entries, side by side, with a directory of both.
    private static func twoEntries(named second: String) -> [UInt8] {
        let other = Forge.changed {
            $0.name = Array(second.utf8)
            $0.localOffset = 94
        }
        let entries = Array(whole[..<94]) + Array(other[..<94])
        let directory = Array(whole[94..<164]) + Array(other[94..<164])
        return entries + directory + Forge.u32(0x0605_4b50) + Forge.u32(0) + Forge.u16(2)
            + Forge.u16(2) + Forge.u32(UInt32(directory.count))
            + Forge.u32(UInt32(entries.count)) + Forge.u16(0)
    }

    /// An archive with as many entries as its fields can count, all of them there.
    package static let manyEntries: [UInt8] = {
        let count = 65_535
        let entries = (0..<count).flatMap { _ in whole[..<94] }
        let directory = (0..<count).flatMap { index in
            Array(whole[94..<136]) + Forge.u32(UInt32(94 * index)) + whole[140..<164]
        }
        return entries + directory + Forge.u32(0x0605_4b50) + Forge.u32(0) + Forge.u16(count)
            + Forge.u16(count) + Forge.u32(UInt32(directory.count))
            + Forge.u32(UInt32(entries.count)) + Forge.u16(0)
    }()
}

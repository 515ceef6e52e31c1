@testable import WaybillSealing

/// The archives that are sent to the ingress, by name.
enum ArchiveCases {
    private typealias Forge = ArchiveForge

    private static let whole = ArchiveForge().bytes()
    private static let full64: [UInt8] = [255, 255, 255, 255]

    static let ends: [ArchiveCase] = [
        ArchiveCase("zero bytes", .empty, []),
        ArchiveCase("random bytes", .notZip, (0..<500).map { UInt8($0 * 37 & 0xff) }),
        ArchiveCase("three other bytes", .notZip, [1, 2, 3]),
        ArchiveCase(
            "no entry", .entries, Forge.u32(0x0605_4b50) + [UInt8](repeating: 0, count: 18)),
        ArchiveCase("entry count one more", .entries) { $0.entries = 2 },
        ArchiveCase("entry counts 0", .entries) { ($0.entries, $0.entriesOnDisk) = (0, 0) },
        ArchiveCase("65,535 entries", .entries) {
            ($0.entries, $0.entriesOnDisk) = (0xffff, 0xffff)
        },
        ArchiveCase("directory past the end", .inconsistent) { $0.directoryOffset = 5_000_000 },
        ArchiveCase("bytes before", .surplus) { ($0.before, $0.directoryOffset) = ([9, 9], 94) },
        ArchiveCase("bytes before, offsets mended", .surplus) {
            ($0.before, $0.localOffset) = ([9, 9], 2)
        },
        ArchiveCase("bytes between", .surplus) { $0.between = [0, 0, 0] },
        ArchiveCase("bytes after the directory", .surplus) { $0.afterDirectory = [0] },
        ArchiveCase("bytes after the end", .surplus) { $0.after = [0] },
        ArchiveCase("much after the end", .surplus) {
            $0.after = [UInt8](repeating: 0, count: 60_000)
        },
        ArchiveCase("two archives", .surplus, whole + whole),
        ArchiveCase("two end records", .surplus, whole + whole.suffix(22)),
        ArchiveCase("comment", .comment) { $0.comment = Array("hello".utf8) },
        ArchiveCase("comment that is missing", .comment, whole.dropLast(2) + [5, 0]),
        ArchiveCase("comment that holds a second ZIP", .comment) { $0.comment = whole },
        ArchiveCase("entry comment", .comment) { $0.entryComment = [65] },
        ArchiveCase("many disks", .inconsistent) { $0.disk = 1 },
        ArchiveCase("entry on another disk", .inconsistent) { $0.entryDisk = 1 },
        ArchiveCase("end records disagree in count", .inconsistent) {
            $0.zip64 = { Forge.zip64End(offset: $0, count: $1, entries: 2) }
        },
        ArchiveCase("end records disagree in offset", .inconsistent) {
            $0.zip64 = { Forge.zip64End(offset: $0, count: $1) }
            $0.directoryOffset = 3
        },
        ArchiveCase("zip64 count 2^40", .entries) {
            $0.zip64 = { Forge.zip64End(offset: $0, count: $1, entries: 1 << 40) }
            ($0.entries, $0.entriesOnDisk) = (0xffff, 0xffff)
        },
        ArchiveCase("zip64 directory of 2^62 bytes", .inconsistent) {
            $0.zip64 = {
                Forge.zip64End(offset: $0, count: 1 << 62, locatorOffset: $0 + $1)
            }
            $0.directoryCount = saturated32
        },
        ArchiveCase("zip64 locator to itself", .inconsistent) {
            $0.zip64 = { Forge.zip64End(offset: $0, count: $1, locatorOffset: $0 + $1 + 56) }
        },
        ArchiveCase("zip64 locator of 2^64 - 1", .inconsistent) {
            $0.zip64 = { Forge.zip64End(offset: $0, count: $1, locatorOffset: -1 & Int.max) }
        },
        ArchiveCase("zip64 end record missing", .inconsistent) {
            $0.directoryOffset = saturated32
        },
        ArchiveCase("zip64 end record with data of its own", .inconsistent) {
            $0.zip64 = { offset, count in
                var pair = Forge.zip64End(offset: offset, count: count)
                pair[4] = 50
                return pair
            }
        },
    ]

    static let entries: [ArchiveCase] =
        [
            ("../x", "parent"), ("/x", "absolute"), ("C:\\x", "drive"), ("", "empty"),
            ("bundle.ndjsoN", "other case"), ("bundle\0ndjson", "NUL"), ("payload.ndjso", "other"),
        ].map { text, name in
            ArchiveCase("name: \(name)", .name) { $0.name = Array(text.utf8) }
        } + [
            ArchiveCase("name: not UTF-8", .name) {
                $0.name = [UInt8](repeating: 0xff, count: 13)
            },
            ArchiveCase("name: 65,535 bytes", .name) {
                $0.name = [UInt8](repeating: 65, count: 65_535)
            },
            ArchiveCase("local name differs", .inconsistent) {
                $0.localName = Array("bundle.ndjsoN".utf8)
            },
            ArchiveCase("local name is longer", .inconsistent) {
                $0.localName = Array("../bundle.ndjson".utf8)
            },
            ArchiveCase("local method differs", .inconsistent) { $0.localMethod = 8 },
            ArchiveCase("local flags differ", .inconsistent) { $0.localFlags = 0x801 },
            ArchiveCase("local CRC differs", .inconsistent) { $0.localCRC = 1 },
            ArchiveCase("local zipped size differs", .inconsistent) { $0.localZipped = 39 },
            ArchiveCase("local unzipped size differs", .inconsistent) { $0.localUnzipped = 13 },
            ArchiveCase("local AES field differs", .inconsistent) {
                $0.localExtra = Forge.aes(method: 0)
            },
            ArchiveCase("local AES field missing", .inconsistent) { $0.localExtra = [] },
            ArchiveCase("local signature damaged", .inconsistent, [0] + whole.dropFirst()),
            ArchiveCase("entry's offset past the directory", .inconsistent) {
                $0.localOffset = 200
            },
            ArchiveCase("entry's offset inside", .surplus) { $0.localOffset = 4 },
            ArchiveCase("two entries", .entries) {
                $0.afterEntry = Array(whole[94..<164])
                ($0.entries, $0.entriesOnDisk) = (2, 2)
            },
            ArchiveCase("two entries, counted as one", .entries) {
                $0.afterEntry = Array(whole[94..<164])
            },
            ArchiveCase("signature in the directory", .surplus) {
                $0.afterEntry = Forge.u32(0x0505_4b50) + Forge.u16(0)
            },
            ArchiveCase("overlapping data", .inconsistent) {
                ($0.zipped, $0.data) = (400, [UInt8](repeating: 0, count: 40))
            },
            ArchiveCase("zip64 size 2^62", .inconsistent) {
                $0.zipped = saturated32
                $0.extra = Forge.aes() + Forge.field(1, Forge.u64(1 << 62))
                $0.localExtra = Forge.aes() + Forge.field(1, Forge.u64(12) + Forge.u64(1 << 62))
            },
            ArchiveCase("zip64 unzipped size 2^62", .limit) {
                $0.unzipped = saturated32
                $0.extra = Forge.aes() + Forge.field(1, Forge.u64(1 << 62))
                $0.localExtra = Forge.aes() + Forge.field(1, Forge.u64(1 << 62) + Forge.u64(40))
            },
            ArchiveCase("zip64 field missing", .inconsistent) { $0.unzipped = saturated32 },
            ArchiveCase("zip64 field disagrees", .inconsistent) {
                $0.extra = Forge.aes() + Forge.field(1, Forge.u64(13) + Forge.u64(40))
            },
            ArchiveCase("zip64 field twice", .inconsistent) {
                let field = Forge.field(1, Forge.u64(12) + Forge.u64(40))
                $0.extra = Forge.aes() + field + field
            },
            ArchiveCase("extra field past its area", .inconsistent) {
                $0.extra = Forge.aes() + Forge.u16(0x7777) + Forge.u16(9)
            },
            ArchiveCase("compressed size 27", .inconsistent) {
                $0.data = [UInt8](repeating: 0, count: 27)
            },
            ArchiveCase("declared over the limit", .limit) { $0.unzipped = 256 << 20 + 1 },
            ArchiveCase("declared ratio over the limit", .limit) { $0.unzipped = 2 << 20 },
            ArchiveCase("directory attribute of DOS", .entryType) { $0.attributes = 0x10 },
            ArchiveCase("directory", .entryType) { $0.attributes = 0o040755 << 16 },
            ArchiveCase("symbolic link", .entryType) { $0.attributes = 0o120777 << 16 },
            ArchiveCase("descriptor missing", .inconsistent) { $0.flags = 9 },
            ArchiveCase("descriptor disagrees", .inconsistent) {
                $0.flags = 9
                $0.between = Forge.u32(0) + Forge.u32(40) + Forge.u32(13)
            },
            ArchiveCase("descriptor without its bit", .surplus) {
                $0.between = Forge.u32(0) + Forge.u32(40) + Forge.u32(12)
            },
            ArchiveCase("bytes after the descriptor", .surplus) {
                $0.flags = 9
                $0.between = Forge.u32(0) + Forge.u32(40) + Forge.u32(12) + [0, 0]
            },
        ]

    static let encryption: [ArchiveCase] =
        [9, 12, 14, 93, 95, 99].map { method in
            ArchiveCase("inner method \(method)", .method) {
                $0.extra = Forge.aes(method: method)
            }
        } + [
            ArchiveCase("not encrypted", .notEncrypted) { ($0.flags, $0.method) = (0, 8) },
            ArchiveCase("method 99 without the bit", .notEncrypted) { $0.flags = 0 },
            ArchiveCase("ZipCrypto", .encryption) { ($0.method, $0.extra) = (8, []) },
            ArchiveCase("strong encryption", .encryption) { $0.flags = 0x41 },
            ArchiveCase("masked headers", .encryption) { $0.flags = 0x2001 },
            ArchiveCase("patched data", .method) { $0.flags = 0x21 },
            ArchiveCase("AES field missing", .encryption) { $0.extra = [] },
            ArchiveCase("AES field short", .encryption) {
                $0.extra = Forge.field(0x9901, [2, 0, 65, 69, 3, 8])
            },
            ArchiveCase("AES field twice", .encryption) { $0.extra = Forge.aes() + Forge.aes() },
            ArchiveCase("AES vendor", .encryption) { $0.extra = Forge.aes(vendor: "AX") },
            ArchiveCase("AES strength 0", .encryption) { $0.extra = Forge.aes(strength: 0) },
            ArchiveCase("AES-128", .encryption) { $0.extra = Forge.aes(strength: 1) },
            ArchiveCase("AES-192", .encryption) { $0.extra = Forge.aes(strength: 2) },
            ArchiveCase("AES strength 4", .encryption) { $0.extra = Forge.aes(strength: 4) },
            ArchiveCase("AES version 3", .encryption) { $0.extra = Forge.aes(version: 3) },
        ]

    static let accepted: [ArchiveCase] =
        descriptors + [
            ArchiveCase("plain", nil, whole),
            ArchiveCase("stored", nil) { $0.extra = Forge.aes(method: 0) },
            ArchiveCase("AE-1 with CRC", nil) { ($0.extra, $0.crc) = (Forge.aes(version: 1), 5) },
            ArchiveCase("AE-2 with CRC", nil) { $0.crc = 5 },
            ArchiveCase("UTF-8 bit, deflate bits", nil) { $0.flags = 0x807 },
            ArchiveCase("NTFS field in the directory", nil) {
                $0.localExtra = Forge.aes()
                $0.extra = Forge.field(0x000a, [UInt8](repeating: 1, count: 32)) + Forge.aes()
            },
            ArchiveCase("FIFO attributes", nil) { $0.attributes = 0o010600 << 16 },
            ArchiveCase("no attributes", nil) { $0.attributes = 0 },
            ArchiveCase("exactly 28 bytes", nil) {
                $0.data = [UInt8](repeating: 0, count: 28)
            },
            ArchiveCase("zip64 fields that agree", nil) {
                $0.extra = Forge.aes() + Forge.field(1, Forge.u64(12) + Forge.u64(40))
            },
            ArchiveCase("zip64 in the local header only", nil) {
                ($0.localZipped, $0.localUnzipped) = (saturated32, saturated32)
                $0.localExtra = Forge.field(1, Forge.u64(12) + Forge.u64(40)) + Forge.aes()
            },
            ArchiveCase("zip64 end record", nil) {
                $0.zip64 = { Forge.zip64End(offset: $0, count: $1) }
                ($0.directoryOffset, $0.directoryCount) = (saturated32, saturated32)
            },
        ]

    private static let descriptors: [ArchiveCase] = {
        let narrow = Forge.u32(0) + Forge.u32(40) + Forge.u32(12)
        let wide = Forge.u32(0) + Forge.u64(40) + Forge.u64(12)
        let signature = Forge.u32(0x0807_4b50)
        return [
            ("narrow", narrow), ("narrow, signed", signature + narrow), ("wide", wide),
            ("wide, signed", signature + wide),
        ].map { name, descriptor in
            ArchiveCase("descriptor: \(name)", nil) {
                $0.flags = 9
                ($0.localZipped, $0.localUnzipped) = (0, 0)
                $0.between = descriptor
            }
        }
    }()
}

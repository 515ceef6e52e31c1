internal import WaybillSealing

/// What is wrong with the entry: name, agreement of its headers, sizes, encryption.
extension ArchiveCases {
    private typealias Forge = ArchiveForge

    private static let rightName = "the entry's name is bundle.ndjson"

    private static func agree(_ what: String) -> String {
        "the local and the directory header agree in the \(what)"
    }

    /// A name of the right length differs in its bytes, another one already in its length.
    package static let names: [ArchiveCase] =
        [
            ("../x", "../x"), ("/x", "/x"), ("C:\\x", "C:\\x"), ("empty", ""),
            ("anything but bundle.ndjson", "payload.ndjson"),
            ("in a folder", "x/bundle.ndjson"),
        ].map { name, text in
            // The directory begins after the local header, the name, the AES field and the data.
            ArchiveCase(
                "name \(name)", .name, rightName, at: 30 + text.utf8.count + 11 + 40 + 28
            ) { $0.name = Array(text.utf8) }
        } + [
            ArchiveCase("name with NUL", .name, rightName, at: 140) {
                $0.name = Array("bundle\0ndjson".utf8)
            },
            ArchiveCase("name in other case", .name, rightName, at: 140) {
                $0.name = Array("bundle.ndjsoN".utf8)
            },
            ArchiveCase("name ../x of the right length", .name, rightName, at: 140) {
                $0.name = Array("../../../etc/".utf8)
            },
            ArchiveCase("name not UTF-8", .name, rightName, at: 140) {
                $0.name = [UInt8](repeating: 0xff, count: 13)
            },
            ArchiveCase("name 65,535 bytes", .name, rightName, at: 30 + 65_535 + 11 + 40 + 28) {
                $0.name = [UInt8](repeating: 65, count: 65_535)
            },
        ]

    package static let headers: [ArchiveCase] = [
        ArchiveCase("headers disagree in name", .inconsistent, agree("name"), at: 30) {
            $0.localName = Array("bundle.ndjsoN".utf8)
        },
        ArchiveCase(
            "headers disagree in the name's length", .inconsistent, agree("name"), at: 26
        ) { $0.localName = Array("../bundle.ndjson".utf8) },
        ArchiveCase("headers disagree in method", .inconsistent, agree("method"), at: 8) {
            $0.localMethod = 8
        },
        ArchiveCase("headers disagree in CRC", .inconsistent, agree("CRC"), at: 14) {
            $0.localCRC = 1
        },
        ArchiveCase("headers disagree in flags", .inconsistent, agree("flags"), at: 6) {
            $0.localFlags = 0x801
        },
        ArchiveCase("headers disagree in AES field", .inconsistent, agree("AES field"), at: 43) {
            $0.localExtra = Forge.aes(method: 0)
        },
        ArchiveCase("AES field in the directory only", .inconsistent, agree("AES field"), at: 43) {
            $0.localExtra = []
        },
        ArchiveCase(
            "headers disagree in zipped size without a descriptor", .inconsistent, agree("sizes"),
            at: 18
        ) { $0.localZipped = 39 },
        ArchiveCase(
            "headers disagree in unzipped size without a descriptor", .inconsistent,
            agree("sizes"), at: 18
        ) { $0.localUnzipped = 13 },
        ArchiveCase(
            "local signature damaged", .inconsistent, "the archive begins with a local header",
            at: 0, [0] + whole.dropFirst()),
        ArchiveCase(
            "entry's offset past the directory", .inconsistent,
            "the entry lies before the directory", at: 136
        ) { $0.localOffset = 200 },
        ArchiveCase("entry's offset inside", .surplus, "nothing stands before the entry", at: 0) {
            $0.localOffset = 4
        },
        ArchiveCase(
            "extra field past its area", .inconsistent, "extra fields fill their area exactly",
            at: 98 + 70
        ) { $0.extra = Forge.aes() + Forge.u16(0x7777) + Forge.u16(9) },
        ArchiveCase(
            "descriptor missing", .inconsistent, "a data descriptor follows the entry's data",
            at: 94
        ) { $0.flags = 9 },
        ArchiveCase(
            "descriptor disagrees", .inconsistent, "the data descriptor and the directory agree",
            at: 94
        ) {
            $0.flags = 9
            $0.between = Forge.u32(0) + Forge.u32(40) + Forge.u32(13)
        },
        ArchiveCase(
            "descriptor without its bit", .surplus,
            "nothing stands between the entry and the directory", at: 94
        ) { $0.between = Forge.u32(0) + Forge.u32(40) + Forge.u32(12) },
        ArchiveCase(
            "bytes after the descriptor", .surplus,
            "nothing stands between the data descriptor and the directory", at: 106
        ) {
            $0.flags = 9
            $0.between = Forge.u32(0) + Forge.u32(40) + Forge.u32(12) + [0, 0]
        },
    ]

    package static let sizes: [ArchiveCase] = [
        ArchiveCase(
            "overlapping data", .inconsistent, "the entry's data ends before the directory",
            at: 114
        ) { ($0.zipped, $0.data) = (400, [UInt8](repeating: 0, count: 40)) },
        ArchiveCase(
            "zip64 size 2^62", .inconsistent, "the entry's data ends before the directory",
            at: 94 + 20 + 20
        ) {
            $0.zipped = 0xffff_ffff
            $0.extra = Forge.aes() + Forge.field(1, Forge.u64(1 << 62))
            $0.localExtra = Forge.aes() + Forge.field(1, Forge.u64(12) + Forge.u64(1 << 62))
        },
        ArchiveCase(
            "zip64 unzipped size 2^62", .limit, "the declared size is within the limits",
            at: 94 + 20 + 24
        ) {
            $0.unzipped = 0xffff_ffff
            $0.extra = Forge.aes() + Forge.field(1, Forge.u64(1 << 62))
            $0.localExtra = Forge.aes() + Forge.field(1, Forge.u64(1 << 62) + Forge.u64(40))
        },
        ArchiveCase(
            "zip64 field missing", .inconsistent,
            "a size refers to a zip64 field that is missing", at: 114
        ) { $0.unzipped = 0xffff_ffff },
        ArchiveCase(
            "zip64 field disagrees", .inconsistent, "a zip64 field repeats the header", at: 188
        ) { $0.extra = Forge.aes() + Forge.field(1, Forge.u64(13) + Forge.u64(40)) },
        ArchiveCase("zip64 field twice", .inconsistent, "one zip64 field", at: 224) {
            let field = Forge.field(1, Forge.u64(12) + Forge.u64(40))
            $0.extra = Forge.aes() + field + field
        },
        ArchiveCase(
            "compressed size under 28", .inconsistent, "an encrypted entry has 28 bytes or more",
            at: 54 + 27 + 20
        ) { $0.data = [UInt8](repeating: 0, count: 27) },
        ArchiveCase(
            "compressed size 0", .inconsistent, "an encrypted entry has 28 bytes or more",
            at: 54 + 20
        ) { $0.data = [] },
        ArchiveCase(
            "declared entry over the limit", .limit, "the declared size is within the limits",
            at: 118
        ) { $0.unzipped = 256 << 20 + 1 },
        ArchiveCase(
            "declared ratio over the limit", .limit, "the declared size is within the limits",
            at: 118
        ) { $0.unzipped = 2 << 20 },
    ]

    package static let encryption: [ArchiveCase] =
        [9, 12, 14, 93, 95, 99].map { method in
            ArchiveCase(
                "inner method \(method)", .method, "an entry is stored or deflated", at: 162
            ) { $0.extra = Forge.aes(method: method) }
        } + [
            ArchiveCase("not encrypted", .notEncrypted, "the entry is encrypted", at: 102) {
                ($0.flags, $0.method) = (0, 8)
            },
            ArchiveCase(
                "method 99 without the bit", .notEncrypted, "the entry is encrypted", at: 102
            ) { $0.flags = 0 },
            ArchiveCase(
                "ZipCrypto", .encryption, "the entry is encrypted with WinZip AES", at: 93
            ) { ($0.method, $0.extra) = (8, []) },
            ArchiveCase(
                "strong encryption", .encryption, "neither strong encryption nor masked headers",
                at: 102
            ) { $0.flags = 0x41 },
            ArchiveCase(
                "masked headers", .encryption, "neither strong encryption nor masked headers",
                at: 102
            ) { $0.flags = 0x2001 },
            ArchiveCase("patched data", .method, "no unknown flag is set", at: 102) {
                $0.flags = 0x21
            },
            ArchiveCase("AES field missing", .encryption, "the entry has an AES field", at: 142) {
                $0.extra = []
            },
            ArchiveCase("AES field short", .encryption, "an AES field has 7 bytes", at: 156) {
                $0.extra = Forge.field(0x9901, [2, 0, 65, 69, 3, 8])
            },
            ArchiveCase("AES field long", .encryption, "an AES field has 7 bytes", at: 158) {
                $0.extra = Forge.field(0x9901, [2, 0, 65, 69, 3, 8, 0, 0])
            },
            ArchiveCase("AES field twice", .encryption, "one AES field", at: 175) {
                $0.extra = Forge.aes() + Forge.aes()
            },
            ArchiveCase("AES vendor", .encryption, "AES vendor is AE", at: 159) {
                $0.extra = Forge.aes(vendor: "AX")
            },
            ArchiveCase("AES version 3", .encryption, "AES version is AE-1 or AE-2", at: 157) {
                $0.extra = Forge.aes(version: 3)
            },
        ]
        + [("strength 0", 0), ("AES-128", 1), ("AES-192", 2), ("strength 4", 4)].map {
            name, strength in
            ArchiveCase(name, .encryption, "AES strength is 3 (256 bits)", at: 161) {
                $0.extra = Forge.aes(strength: strength)
            }
        }
}

/// What the contract takes besides a plain part.
extension ArchiveCases {
    private typealias Forge = ArchiveForge

    package static let accepted: [ArchiveCase] = writers + descriptors + zip64

    private static let writers: [ArchiveCase] = [
        ArchiveCase(accepted: "plain", whole),
        ArchiveCase(accepted: "stored") { $0.extra = Forge.aes(method: 0) },
        ArchiveCase(accepted: "AE-1 with CRC") {
            ($0.extra, $0.crc) = (Forge.aes(version: 1), 5)
        },
        ArchiveCase(accepted: "AE-2 with a CRC (old libzip)") { $0.crc = 5 },
        ArchiveCase(accepted: "UTF-8 bit, deflate bits") { $0.flags = 0x807 },
        ArchiveCase(accepted: "NTFS extra in the central header") {
            $0.localExtra = Forge.aes()
            $0.extra = Forge.field(0x000a, [UInt8](repeating: 1, count: 32)) + Forge.aes()
        },
        ArchiveCase(accepted: "Unicode Path extra with another name") {
            // Info-ZIP's 0x7075: version, CRC-32 of the name in the header, the name.
            let path = [1] + Forge.u32(0xae4d_1d17) + Array("../x".utf8)
            $0.extra = Forge.aes() + Forge.field(0x7075, path)
        },
        ArchiveCase(accepted: "FIFO mode bits") { $0.attributes = 0o010600 << 16 },
        ArchiveCase(accepted: "no attributes") { $0.attributes = 0 },
        ArchiveCase(accepted: "exactly 28 bytes") { $0.data = [UInt8](repeating: 0, count: 28) },
        ArchiveCase(accepted: "data that looks like an end record") {
            $0.data =
                [UInt8](repeating: 0, count: 18) + whole.suffix(22)
                + [UInt8](repeating: 0, count: 10)
        },
        ArchiveCase(accepted: "other version needed and time in the local header") { _ in }
            .overwriting(at: 4, with: [63, 0])
            .overwriting(at: 10, with: [1, 2, 3, 4]),
        ArchiveCase(accepted: "declared up to the limit exactly") {
            $0.data = [UInt8](repeating: 1, count: 10_000)
            $0.unzipped = 2_000_000
        },
    ]

    private static let descriptors: [ArchiveCase] = {
        let narrow = Forge.u32(0) + Forge.u32(40) + Forge.u32(12)
        let wide = Forge.u32(0) + Forge.u64(40) + Forge.u64(12)
        let signature = Forge.u32(0x0807_4b50)
        let shapes = [
            ("narrow", narrow), ("narrow, signed", signature + narrow), ("wide", wide),
            ("wide, signed", signature + wide),
        ]
        return [(0, 0), (40, 12), (7, 0xffff_ffff)].flatMap { zipped, unzipped in
            shapes.map { name, descriptor in
                ArchiveCase(
                    accepted: "bit 3, descriptor \(name), local sizes \(zipped) and \(unzipped)"
                ) {
                    $0.flags = 9
                    ($0.localZipped, $0.localUnzipped) = (UInt32(zipped), UInt32(unzipped))
                    $0.between = descriptor
                }
            }
        }
    }()

    private static let zip64: [ArchiveCase] = [
        ArchiveCase(accepted: "zip64 fields that agree") {
            $0.extra = Forge.aes() + Forge.field(1, Forge.u64(12) + Forge.u64(40))
        },
        ArchiveCase(accepted: "zip64 in the local header") {
            ($0.localZipped, $0.localUnzipped) = (0xffff_ffff, 0xffff_ffff)
            $0.localExtra = Forge.field(1, Forge.u64(12) + Forge.u64(40)) + Forge.aes()
        },
        ArchiveCase(accepted: "zip64 in both headers, with more than is left to it") {
            $0.zipped = 0xffff_ffff
            $0.extra =
                Forge.field(1, Forge.u64(12) + Forge.u64(40) + Forge.u64(0) + Forge.u32(0))
                + Forge.aes()
            $0.localExtra = Forge.aes() + Forge.field(1, Forge.u64(40))
        },
        ArchiveCase(accepted: "zip64 of the entry's offset and disk") {
            $0.localOffset = 0xffff_ffff
            $0.entryDisk = 0xffff
            $0.extra = Forge.aes() + Forge.field(1, Forge.u64(0) + Forge.u32(0))
            $0.localExtra = Forge.aes()
        },
        ArchiveCase(accepted: "zip64 end record") {
            $0.zip64 = { Forge.zip64End(offset: $0, count: $1) }
            ($0.directoryOffset, $0.directoryCount) = (0xffff_ffff, 0xffff_ffff)
        },
        ArchiveCase(accepted: "zip64 end record, nothing left to it") {
            $0.zip64 = { Forge.zip64End(offset: $0, count: $1) }
        },
        ArchiveCase(accepted: "zip64 end record, all left to it, locator counts no disks") {
            $0.zip64 = { offset, count in
                var pair = Forge.zip64End(offset: offset, count: count)
                pair[72] = 0
                return pair
            }
            ($0.directoryOffset, $0.directoryCount) = (0xffff_ffff, 0xffff_ffff)
            ($0.entries, $0.entriesOnDisk, $0.disk) = (0xffff, 0xffff, 0xffff)
        },
    ]
}

extension ArchiveCase {
    fileprivate func overwriting(at offset: Int, with piece: [UInt8]) -> ArchiveCase {
        var bytes = bytes
        bytes.replaceSubrange(offset..<offset + piece.count, with: piece)
        return ArchiveCase(accepted: name, bytes)
    }
}

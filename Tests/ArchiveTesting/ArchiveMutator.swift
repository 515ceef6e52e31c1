/// Makes archives that are nearly right: fields set against each other, then some bytes damaged.
package struct ArchiveMutator {
    private typealias Forge = ArchiveForge

    package var random: SeededGenerator

    package init(seed: UInt64) {
        random = SeededGenerator(seed: seed)
    }

    /// An archive that may or may not be a sound part.
    package mutating func archive() -> [UInt8] {
        var forge = ArchiveForge()
        for _ in 0..<random.below(4) { change(&forge) }
        var bytes = forge.bytes()
        if !random.once(in: 3) { damage(&bytes) }
        return bytes
    }

    /// One to four small changes, most of them in the records at both ends.
    package mutating func damage(_ bytes: inout [UInt8]) {
        for _ in 0...random.below(4) {
            guard !bytes.isEmpty else { return }
            let position =
                switch random.below(4) {
                case 0: random.below(bytes.count)
                case 1: random.below(min(bytes.count, 60))
                default: bytes.count - 1 - random.below(min(bytes.count, 240))
                }
            switch random.below(8) {
            case 0: bytes[position] = random.pick([0, 1, 0x7f, 0x80, 0xfe, 0xff])
            case 1, 2: bytes[position] ^= 1 << UInt8(random.below(8))
            case 3: bytes.insert(UInt8(random.below(256)), at: position)
            case 4: bytes.remove(at: position)
            case 5: overwrite(&bytes, at: position, Forge.u32(number()))
            case 6: overwrite(&bytes, at: position, random.pick(Self.signatures))
            default: splice(&bytes, at: position)
            }
        }
    }

    private static let signatures = [
        0x0403_4b50, 0x0201_4b50, 0x0605_4b50, 0x0606_4b50, 0x0706_4b50, 0x0807_4b50,
    ].map { ArchiveForge.u32($0) }

    /// Numbers at which fields change their meaning.
    private mutating func number() -> UInt32 {
        random.pick([
            0, 1, 2, 12, 13, 27, 28, 29, 40, 94, 164, 0x7fff, 0xffff, 0x1_0000, 0x7fff_ffff,
            0x8000_0000, 0xffff_fffe, 0xffff_ffff, UInt32(truncatingIfNeeded: random.next()),
        ])
    }

    private mutating func wide() -> UInt64 {
        random.pick([
            0, 12, 40, 94, 1 << 40, 1 << 62, 1 << 63, .max, .max - 93, UInt64(number()),
        ])
    }

    private func overwrite(_ bytes: inout [UInt8], at position: Int, _ piece: [UInt8]) {
        let end = min(bytes.count, position + piece.count)
        bytes.replaceSubrange(position..<end, with: piece[..<(end - position)])
    }

    /// Takes a piece out, doubles it, or puts it elsewhere.
    private mutating func splice(_ bytes: inout [UInt8], at position: Int) {
        let end = min(bytes.count, position + 1 + random.below(80))
        let piece = Array(bytes[position..<end])
        switch random.below(3) {
        case 0: bytes.removeSubrange(position..<end)
        case 1: bytes.insert(contentsOf: piece, at: end)
        default: bytes.insert(contentsOf: piece, at: random.below(bytes.count + 1))
        }
    }

    private mutating func change(_ forge: inout ArchiveForge) {
        switch random.below(26) {
        case 0: forge.flags = random.pick([0, 1, 3, 7, 8, 9, 0x41, 0x801, 0x809, 0x2001])
        case 1: forge.method = random.pick([0, 8, 99])
        case 2: forge.crc = random.pick([0, 5])
        case 3: forge.unzipped = number()
        case 4: forge.zipped = number()
        case 5: forge.localFlags = random.pick([0, 1, 9, 0x801])
        case 6: forge.localCRC = random.pick([0, 5])
        case 7: (forge.localZipped, forge.localUnzipped) = (number(), number())
        case 8: forge.extra = extra()
        case 9: forge.localExtra = extra()
        case 10: (forge.extra, forge.localExtra) = (forge.localExtra ?? extra(), forge.extra)
        case 11: forge.data = [UInt8](repeating: 7, count: random.pick([0, 27, 28, 29, 41, 5000]))
        case 12: forge.before = random.pick([[0], [0x50, 0x4b], forge.bytes()])
        case 13: forge.between = descriptor()
        case 14: (forge.flags, forge.between) = (9, descriptor())
        case 15: (forge.flags, forge.localZipped, forge.between) = (9, 0, descriptor())
        case 16: forge.afterDirectory = [UInt8](repeating: 0, count: random.below(4))
        case 17: forge.after = random.pick([[0], forge.bytes(), Array(forge.bytes().suffix(22))])
        case 18: forge.comment = random.pick([[65], forge.bytes()])
        case 19: forge.disk = random.pick([0, 1, 0xffff])
        case 20: (forge.entries, forge.entriesOnDisk) = (random.pick([0, 1, 2, 0xffff]), 1)
        case 21: forge.directoryOffset = number()
        case 22: forge.directoryCount = number()
        case 23: forge.localOffset = random.pick([0, 1, 0xffff_ffff])
        case 24: forge.entryDisk = random.pick([0, 1, 0xffff])
        default: addZip64End(&forge)
        }
    }

    /// Extra fields in some order: AES, zip64 of any length, others.
    private mutating func extra() -> [UInt8] {
        var fields = [
            Forge.aes(version: random.pick([1, 2, 2, 2, 3]), method: random.pick([0, 8]))
        ]
        for _ in 0..<random.below(3) {
            let values = [[12, 40, 0], [wide(), wide(), wide()]][random.below(2)]
            let count = random.pick([0, 4, 8, 16, 20, 24, 28])
            let content = Array((values.flatMap(Forge.u64) + Forge.u32(0))[..<count])
            let id = random.pick([1, 1, 1, 0x000a, 0x7075, 0x5455, 0x9901, 0x7777])
            fields.insert(Forge.field(id, content), at: random.below(fields.count + 1))
        }
        if random.once(in: 20) { fields.append([UInt8](repeating: 0, count: random.below(4))) }
        return fields.flatMap { $0 }
    }

    private mutating func descriptor() -> [UInt8] {
        let sizes: [UInt8] =
            random.once(in: 2)
            ? Forge.u32(40) + Forge.u32(12) : Forge.u64(40) + Forge.u64(12)
        return (random.once(in: 2) ? Forge.u32(0x0807_4b50) : []) + Forge.u32(0) + sizes
    }

    private mutating func addZip64End(_ forge: inout ArchiveForge) {
        let entries = random.pick([UInt64(1), 1, 1, 2, 1 << 40])
        let isShifted = random.once(in: 8)
        let start = Int(truncatingIfNeeded: wide() & 0x7fff_ffff_ffff_ffff)
        forge.zip64 = { offset, count in
            Forge.zip64End(
                offset: offset, count: count, entries: entries,
                locatorOffset: isShifted ? start : nil)
        }
        if random.once(in: 2) {
            (forge.directoryOffset, forge.directoryCount) = (0xffff_ffff, 0xffff_ffff)
        }
        if random.once(in: 3) { (forge.entries, forge.entriesOnDisk) = (0xffff, 0xffff) }
        if random.once(in: 3) { forge.disk = 0xffff }
    }
}

/// Builds archives field by field, sound unless told otherwise.
package struct ArchiveForge: Sendable {
    package var before: [UInt8] = []
    package var flags = 1
    package var method = 99
    package var crc: UInt32 = 0
    package var name = Array("bundle.ndjson".utf8)
    package var extra = ArchiveForge.aes()
    package var data = [UInt8](repeating: 7, count: 40)
    package var unzipped: UInt32 = 12
    package var zipped: UInt32?
    package var localFlags: Int?
    package var localMethod: Int?
    package var localCRC: UInt32?
    package var localName: [UInt8]?
    package var localExtra: [UInt8]?
    package var localZipped: UInt32?
    package var localUnzipped: UInt32?
    package var between: [UInt8] = []
    package var attributes: UInt32 = 0o100644 << 16
    package var localOffset: UInt32 = 0
    package var entryComment: [UInt8] = []
    package var entryDisk = 0
    package var afterEntry: [UInt8] = []
    package var afterDirectory: [UInt8] = []
    package var disk = 0
    package var entriesOnDisk = 1
    package var entries = 1
    package var directoryOffset: UInt32?
    package var directoryCount: UInt32?
    package var comment: [UInt8] = []
    package var after: [UInt8] = []
    /// The zip64 pair's bytes, made from the directory's offset and length.
    package var zip64: (@Sendable (_ offset: Int, _ count: Int) -> [UInt8])?

    package init() {}

    /// The AES field.
    package static func aes(
        version: Int = 2, vendor: String = "AE", strength: UInt8 = 3, method: Int = 8
    ) -> [UInt8] {
        u16(0x9901) + u16(7) + u16(version) + Array(vendor.utf8) + [strength] + u16(method)
    }

    /// An extra field.
    package static func field(_ id: Int, _ content: [UInt8]) -> [UInt8] {
        u16(id) + u16(content.count) + content
    }

    /// A zip64 end record and its locator.
    package static func zip64End(
        offset: Int, count: Int, entries: UInt64 = 1, locatorOffset: Int? = nil
    ) -> [UInt8] {
        u32(0x0606_4b50) + u64(44) + u16(45) + u16(45) + u32(0) + u32(0) + u64(entries)
            + u64(entries) + u64(UInt64(count)) + u64(UInt64(offset))
            + u32(0x0706_4b50) + u32(0) + u64(UInt64(locatorOffset ?? offset + count)) + u32(1)
    }

    /// Little-endian.
    package static func u16(_ value: Int) -> [UInt8] {
        [UInt8(truncatingIfNeeded: value), UInt8(truncatingIfNeeded: value >> 8)]
    }

    /// Little-endian.
    package static func u32(_ value: UInt32) -> [UInt8] {
        u16(Int(value & 0xffff)) + u16(Int(value >> 16))
    }

    /// Little-endian.
    package static func u64(_ value: UInt64) -> [UInt8] {
        u32(UInt32(truncatingIfNeeded: value)) + u32(UInt32(truncatingIfNeeded: value >> 32))
    }

    /// The whole archive.
    package func bytes() -> [UInt8] {
        let zipped = zipped ?? UInt32(data.count)
        let localName = localName ?? name
        let localExtra = localExtra ?? extra
        var archive = before
        archive += Self.u32(0x0403_4b50) + Self.u16(51) + Self.u16(localFlags ?? flags)
        archive += Self.u16(localMethod ?? method) + Self.u32(0x21_0000)
        archive += Self.u32(localCRC ?? crc) + Self.u32(localZipped ?? zipped)
        archive += Self.u32(localUnzipped ?? unzipped)
        archive += Self.u16(localName.count) + Self.u16(localExtra.count)
        archive += localName + localExtra + data + between
        let start = archive.count
        archive += Self.u32(0x0201_4b50) + Self.u16(0x333) + Self.u16(51) + Self.u16(flags)
        archive += Self.u16(method) + Self.u32(0x21_0000) + Self.u32(crc) + Self.u32(zipped)
        archive += Self.u32(unzipped) + Self.u16(name.count) + Self.u16(extra.count)
        archive += Self.u16(entryComment.count) + Self.u16(entryDisk) + Self.u16(0)
        archive += Self.u32(attributes) + Self.u32(localOffset)
        archive += name + extra + entryComment + afterEntry
        let count = archive.count - start
        archive += zip64?(start, count) ?? []
        archive += afterDirectory
        archive += Self.u32(0x0605_4b50) + Self.u16(disk) + Self.u16(disk)
        archive += Self.u16(entriesOnDisk) + Self.u16(entries)
        archive += Self.u32(directoryCount ?? UInt32(count))
        archive += Self.u32(directoryOffset ?? UInt32(start))
        archive += Self.u16(comment.count) + comment + after
        return archive
    }

    /// A sound archive with a change.
    package static func changed(_ change: (inout ArchiveForge) -> Void) -> [UInt8] {
        var forge = ArchiveForge()
        change(&forge)
        return forge.bytes()
    }
}

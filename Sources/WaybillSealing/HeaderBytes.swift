/// Bytes of an archive's records, read as little-endian numbers.
///
/// The caller has checked that a field lies inside.
struct HeaderBytes {
    let bytes: [UInt8]
    /// Where `bytes` begins in the archive.
    let start: Int

    var count: Int { bytes.count }

    func u16(_ position: Int) -> Int {
        Int(bytes[position]) | Int(bytes[position + 1]) << 8
    }

    func u32(_ position: Int) -> UInt32 {
        UInt32(u16(position)) | UInt32(u16(position + 2)) << 16
    }

    func u64(_ position: Int) -> UInt64 {
        UInt64(u32(position)) | UInt64(u32(position + 4)) << 32
    }

    func slice(_ position: Int, _ count: Int) -> ArraySlice<UInt8> {
        bytes[position..<position + count]
    }
}

extension ArchiveSource {
    func header(at offset: Int, count: Int) throws -> HeaderBytes {
        HeaderBytes(bytes: try read(at: offset, count: count), start: offset)
    }
}

/// The four bytes that begin each record of a ZIP archive.
enum RecordSignature {
    static let localHeader: UInt32 = 0x0403_4b50
    static let directoryHeader: UInt32 = 0x0201_4b50
    static let endRecord: UInt32 = 0x0605_4b50
    static let zip64EndRecord: UInt32 = 0x0606_4b50
    static let zip64Locator: UInt32 = 0x0706_4b50
    static let dataDescriptor: UInt32 = 0x0807_4b50
}

/// Their lengths without names, extra fields and comments.
enum RecordLength {
    static let localHeader = 30
    static let directoryHeader = 46
    static let endRecord = 22
    static let zip64EndRecord = 56
    static let zip64Locator = 20
}

/// A 16-bit and a 32-bit field with all bits set refer to a zip64 field.
let saturated16 = 0xffff
let saturated32: UInt32 = 0xffff_ffff

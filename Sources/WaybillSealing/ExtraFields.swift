/// The extra fields of a local or a directory header that matter to a part.
struct ExtraFields {
    private(set) var aes: AESField?
    private(set) var zip64: HeaderBytes?

    /// Walks the fields of `area`; all but 0x0001 and 0x9901 are ignored.
    init(_ area: HeaderBytes) throws(ArchiveRefusal) {
        var position = 0
        while position < area.count {
            let fieldStart = area.start + position
            guard area.count - position >= 4, area.u16(position + 2) <= area.count - position - 4
            else {
                throw ArchiveRefusal(
                    .inconsistent, "extra fields fill their area exactly", at: fieldStart)
            }
            let length = area.u16(position + 2)
            let field = HeaderBytes(
                bytes: Array(area.slice(position + 4, length)), start: fieldStart + 4)
            switch area.u16(position) {
            case 0x0001:
                guard zip64 == nil else {
                    throw ArchiveRefusal(.inconsistent, "one zip64 field", at: fieldStart)
                }
                zip64 = field
            case 0x9901:
                guard aes == nil else {
                    throw ArchiveRefusal(.encryption, "one AES field", at: fieldStart)
                }
                aes = try AESField(field)
            default: break
            }
            position += 4 + length
        }
    }
}

/// The extra field 0x9901 of WinZip's AES encryption.
struct AESField: Equatable {
    /// 1 for AE-1, 2 for AE-2.
    let version: Int
    let method: CompressionMethod

    init(_ field: HeaderBytes) throws(ArchiveRefusal) {
        guard field.count == 7 else {
            throw ArchiveRefusal(.encryption, "an AES field has 7 bytes", at: field.start)
        }
        guard field.u16(0) == 1 || field.u16(0) == 2 else {
            throw ArchiveRefusal(.encryption, "AES version is AE-1 or AE-2", at: field.start)
        }
        guard field.bytes[2] == UInt8(ascii: "A"), field.bytes[3] == UInt8(ascii: "E") else {
            throw ArchiveRefusal(.encryption, "AES vendor is AE", at: field.start + 2)
        }
        guard field.bytes[4] == 3 else {
            throw ArchiveRefusal(
                .encryption, "AES strength is 3 (256 bits)", at: field.start + 4)
        }
        guard let method = CompressionMethod(rawValue: UInt16(field.u16(5))) else {
            throw ArchiveRefusal(.method, "an entry is stored or deflated", at: field.start + 5)
        }
        version = field.u16(0)
        self.method = method
    }
}

/// The sizes of an entry, from 32-bit fields and the zip64 field that stands in for them.
struct EntrySizes: Equatable {
    var unzipped: UInt64
    var zipped: UInt64
    /// Of the local header; directory headers only.
    var offset: UInt64

    /// Takes from `zip64`, in order, what the 32-bit fields leave to it; what else it holds
    /// must repeat them.
    init(
        unzipped: UInt32, zipped: UInt32, offset: UInt32 = 0, disk: Int = 0,
        zip64: HeaderBytes?, at position: Int
    ) throws(ArchiveRefusal) {
        self.unzipped = UInt64(unzipped)
        self.zipped = UInt64(zipped)
        self.offset = UInt64(offset)
        let isSaturated = [unzipped, zipped, offset].map { $0 == saturated32 }
        let wanted = 8 * isSaturated.count { $0 } + (disk == saturated16 ? 4 : 0)
        guard let zip64 else {
            guard wanted == 0 else {
                throw ArchiveRefusal(
                    .inconsistent, "a size refers to a zip64 field that is missing", at: position)
            }
            return
        }
        guard zip64.count >= wanted else {
            throw ArchiveRefusal(.inconsistent, "a zip64 field is complete", at: zip64.start)
        }
        if zip64.count == wanted {
            var next = 0
            func take(_ narrow: UInt64, _ isSaturated: Bool) -> UInt64 {
                guard isSaturated else { return narrow }
                defer { next += 8 }
                return zip64.u64(next)
            }
            self.unzipped = take(self.unzipped, isSaturated[0])
            self.zipped = take(self.zipped, isSaturated[1])
            self.offset = take(self.offset, isSaturated[2])
            guard disk != saturated16 || zip64.u32(next) == 0 else {
                throw ArchiveRefusal(
                    .inconsistent, "an archive lies on one disk", at: zip64.start + next)
            }
        } else {
            try takeFull(zip64, isSaturated)
        }
    }

    /// Reads a zip64 field that holds more than it must: all fields stand in their order.
    private mutating func takeFull(
        _ zip64: HeaderBytes, _ isSaturated: [Bool]
    ) throws(ArchiveRefusal) {
        var values = [unzipped, zipped, offset]
        for index in 0..<3 where zip64.count >= 8 * index + 8 {
            let wide = zip64.u64(8 * index)
            guard isSaturated[index] || values[index] == wide else {
                throw ArchiveRefusal(
                    .inconsistent, "a zip64 field repeats the header", at: zip64.start + 8 * index)
            }
            values[index] = wide
        }
        let isReached = (0..<3).allSatisfy { !isSaturated[$0] || zip64.count >= 8 * $0 + 8 }
        let hasDisk = zip64.count == 28
        guard isReached, [8, 16, 24, 28].contains(zip64.count), !hasDisk || zip64.u32(24) == 0
        else {
            throw ArchiveRefusal(.inconsistent, "a zip64 field is complete", at: zip64.start)
        }
        unzipped = values[0]
        zipped = values[1]
        offset = values[2]
    }
}

internal import WaybillSealing

/// What a part shows in clear, as a whole archive: its records, and zeros for the entry's data.
///
/// The data says nothing about the structure, but by chance or on purpose it may hold what looks
/// like an end record, and a reader that searches for one would follow it. Without the data that
/// cannot happen, and nothing of a large part is read for its structure.
///
/// Where the contract does not care and libzip does, the view says what libzip expects; the
/// structure was checked before, by stricter rules:
/// - The local header has the version and the time of the directory's.
/// - With a data descriptor the local CRC and sizes are 0, whatever the writer put there.
/// - Extra fields but zip64 and AES are unknown ones. (libzip takes names from Unicode Path.)
/// - A zip64 field that holds more than it must is resolved into the header.
/// - An end record that leaves its disks to a zip64 record says 0, and a locator counts one disk.
struct ClearView {
    let byteCount: Int
    /// From the start of the archive up to the entry's data.
    private var head: [UInt8]
    /// From the end of the entry's data to the end of the archive.
    private var tail: [UInt8]
    private let layout: ArchiveLayout

    /// Reads the records around the data: some hundred bytes, at most two extra areas of 64 KiB.
    init(of source: some ArchiveSource, _ layout: ArchiveLayout) throws {
        byteCount = source.byteCount
        self.layout = layout
        head = try source.read(at: 0, count: layout.saltOffset)
        tail = try source.read(at: layout.dataEnd, count: byteCount - layout.dataEnd)
        mendLocalHeader()
        mendDirectoryHeader()
        mendEnd()
    }

    /// Copies bytes from `offset` on to `target`, as many as there are, and says how many.
    func copy(from offset: Int, to target: UnsafeMutableRawBufferPointer) -> Int {
        let count = max(0, min(target.count, byteCount - offset))
        unsafe target.initializeMemory(as: UInt8.self, repeating: 0)
        unsafe copy(head, standingAt: 0, from: offset, to: target)
        unsafe copy(tail, standingAt: layout.dataEnd, from: offset, to: target)
        return count
    }

    private func copy(
        _ piece: [UInt8], standingAt start: Int, from offset: Int,
        to target: UnsafeMutableRawBufferPointer
    ) {
        let first = max(start, offset)
        let end = min(start + piece.count, offset + target.count)
        guard first < end else { return }
        unsafe piece.withUnsafeBytes { bytes in
            unsafe UnsafeMutableRawBufferPointer(rebasing: target[(first - offset)...])
                .copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: bytes[first - start..<end - start]))
        }
    }
}

// The structure check has found every field that is read here within its header.
extension ClearView {
    /// The directory's header in `tail`.
    private var directory: Int { layout.directoryOffset - layout.dataEnd }

    private mutating func mendLocalHeader() {
        head.replaceSubrange(4..<6, with: tail[directory + 6..<directory + 8])
        head.replaceSubrange(10..<14, with: tail[directory + 12..<directory + 16])
        let hasDescriptor = head[6] & 1 << 3 != 0
        if hasDescriptor { head.replaceSubrange(14..<26, with: repeatElement(0, count: 12)) }
        let sizes = hasDescriptor ? [] : [18, 22]
        let count = Self.u16(head, 28)
        // libzip wants both sizes in a local zip64 field.
        Self.mendExtra(
            &head, from: head.count - count, count: count, sizes: sizes, offset: nil, layout
        ) { $0 == 16 && $1 == 2 }
    }

    private mutating func mendDirectoryHeader() {
        let count = Self.u16(tail, directory + 30)
        let start = directory + 46 + Self.u16(tail, directory + 28)
        let disk = Self.u16(tail, directory + 34) == 0xffff ? 4 : 0
        Self.mendExtra(
            &tail, from: start, count: count, sizes: [directory + 20, directory + 24],
            offset: directory + 42, layout
        ) { $0 == 8 * $1 + disk }
    }

    private mutating func mendEnd() {
        let end = tail.count - 22
        let locator = end - 20
        guard locator >= 0, tail[locator..<locator + 4].elementsEqual([0x50, 0x4b, 0x06, 0x07])
        else { return }
        tail.replaceSubrange(end + 4..<end + 8, with: [0, 0, 0, 0])
        tail[locator + 16] = 1
    }

    /// Hides extra fields that mean nothing here, and a zip64 field that is not `isPlain` by its
    /// length and the count of values left to it.
    private static func mendExtra(
        _ bytes: inout [UInt8], from start: Int, count: Int, sizes: [Int], offset: Int?,
        _ layout: ArchiveLayout, isPlain: (Int, Int) -> Bool
    ) {
        var position = start
        while position + 4 <= start + count {
            let length = u16(bytes, position + 2)
            let id = u16(bytes, position)
            let saturated = (sizes + [offset].compactMap { $0 }).count {
                bytes[$0..<$0 + 4].allSatisfy { $0 == 0xff }
            }
            if id == zip64, saturated > 0, !isPlain(length, saturated),
                max(layout.zippedCount, layout.declaredByteCount) < 0xffff_ffff
            {
                for (place, size) in zip(sizes, [layout.zippedCount, layout.declaredByteCount]) {
                    store32(size, in: &bytes, at: place)
                }
                if let offset { store32(0, in: &bytes, at: offset) }
                store16(unknown, in: &bytes, at: position)
            } else if id != zip64, id != aes {
                store16(unknown, in: &bytes, at: position)
            }
            position += 4 + length
        }
    }

    private static let zip64 = 0x0001
    private static let aes = 0x9901
    /// An id that nobody has been given.
    private static let unknown = 0xfff0

    private static func u16(_ bytes: [UInt8], _ position: Int) -> Int {
        Int(bytes[position]) | Int(bytes[position + 1]) << 8
    }

    private static func store16(_ value: Int, in bytes: inout [UInt8], at position: Int) {
        bytes[position] = UInt8(truncatingIfNeeded: value)
        bytes[position + 1] = UInt8(truncatingIfNeeded: value >> 8)
    }

    private static func store32(_ value: Int, in bytes: inout [UInt8], at position: Int) {
        store16(value, in: &bytes, at: position)
        store16(value >> 16, in: &bytes, at: position + 2)
    }
}

/// Appends little-endian fields to bytes.
///
/// Writes into an array that has its length already: appending a few bytes at a time costs more than
/// all else that is done for a bundle's record.
package struct FieldWriter: Sendable {
    /// Zeros from ``byteCount`` on.
    private var storage: [UInt8]
    /// How much has been written.
    package private(set) var byteCount = 0

    /// - Parameter capacity: where it is the exact number of bytes, nothing is copied.
    package init(capacity: Int = 0) {
        storage = [UInt8](repeating: 0, count: capacity)
    }

    /// What was written.
    package var bytes: [UInt8] {
        byteCount == storage.count ? storage : Array(storage[..<byteCount])
    }

    // Not generic on purpose: they run for every bundle, in other modules.

    package mutating func integer(_ value: UInt8) { integer(UInt64(value), byteCount: 1) }
    package mutating func integer(_ value: UInt16) { integer(UInt64(value), byteCount: 2) }
    package mutating func integer(_ value: UInt32) { integer(UInt64(value), byteCount: 4) }
    package mutating func integer(_ value: UInt64) { integer(value, byteCount: 8) }
    package mutating func integer(_ value: Int32) { integer(UInt32(bitPattern: value)) }
    package mutating func integer(_ value: Int64) { integer(UInt64(bitPattern: value)) }

    /// Eight bytes, most significant first, as identifiers and digests are written.
    package mutating func bigEndian(_ value: UInt64) { integer(value.byteSwapped, byteCount: 8) }

    private mutating func integer(_ value: UInt64, byteCount count: Int) {
        makeRoom(count)
        unsafe withUnsafeBytes(of: value.littleEndian) { value in
            unsafe put(UnsafeRawBufferPointer(rebasing: value[..<count]))
        }
    }

    package mutating func raw(_ value: [UInt8]) {
        makeRoom(value.count)
        unsafe value.withUnsafeBytes { unsafe put($0) }
    }

    package mutating func raw(_ value: Substring.UTF8View) {
        let isDone: Void? = unsafe value.withContiguousStorageIfAvailable { value in
            makeRoom(value.count)
            unsafe put(UnsafeRawBufferPointer(value))
        }
        if isDone == nil { raw(Array(value)) }
    }

    package mutating func zeros(_ count: Int) {
        makeRoom(count)
        byteCount += count
    }

    /// Of all that was written before.
    mutating func checksum() {
        let value = Checksum.of(storage[..<byteCount])
        integer(value)
    }

    private mutating func put(_ value: UnsafeRawBufferPointer) {
        let start = byteCount
        unsafe storage.withUnsafeMutableBytes { storage in
            unsafe UnsafeMutableRawBufferPointer(rebasing: storage[start..<start + value.count])
                .copyMemory(from: value)
        }
        byteCount += value.count
    }

    private mutating func makeRoom(_ count: Int) {
        let missing = byteCount + count - storage.count
        guard missing > 0 else { return }
        storage.append(contentsOf: repeatElement(0, count: max(missing, storage.count, 32)))
    }
}

/// Reads little-endian fields from bytes; every read past the end is nil.
package struct FieldReader: Sendable {
    private let bytes: ArraySlice<UInt8>
    private var position: Int

    package init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        position = bytes.startIndex
    }

    package var isAtEnd: Bool { position == bytes.endIndex }

    // Not generic on purpose, as above.

    package mutating func integer(_: UInt8.Type) -> UInt8? {
        integer(byteCount: 1).map { UInt8(truncatingIfNeeded: $0) }
    }
    package mutating func integer(_: UInt16.Type) -> UInt16? {
        integer(byteCount: 2).map { UInt16(truncatingIfNeeded: $0) }
    }
    package mutating func integer(_: UInt32.Type) -> UInt32? {
        integer(byteCount: 4).map { UInt32(truncatingIfNeeded: $0) }
    }
    package mutating func integer(_: UInt64.Type) -> UInt64? { integer(byteCount: 8) }
    package mutating func integer(_: Int32.Type) -> Int32? {
        integer(byteCount: 4).map { Int32(truncatingIfNeeded: $0) }
    }
    package mutating func integer(_: Int64.Type) -> Int64? {
        integer(byteCount: 8).map { Int64(bitPattern: $0) }
    }

    private mutating func integer(byteCount: Int) -> UInt64? {
        guard bytes.endIndex - position >= byteCount else { return nil }
        var value: UInt64 = 0
        for index in 0..<byteCount { value |= UInt64(bytes[position + index]) << (8 * index) }
        position += byteCount
        return value
    }

    /// Eight bytes, most significant first.
    package mutating func bigEndian() -> UInt64? { integer(byteCount: 8)?.byteSwapped }

    package mutating func raw(_ count: Int) -> ArraySlice<UInt8>? {
        guard count >= 0, bytes.endIndex - position >= count else { return nil }
        defer { position += count }
        return bytes[position..<position + count]
    }
}

/// The Castagnoli checksum of RFC 3720, appendix B.4; detects accidents, proves nothing.
enum Checksum {
    private static let table: [UInt32] = (0..<256).map { index in
        var value = UInt32(index)
        for _ in 0..<8 { value = value & 1 == 0 ? value >> 1 : value >> 1 ^ 0x82f6_3b78 }
        return value
    }

    static func of(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        var value: UInt32 = .max
        unsafe table.withUnsafeBufferPointer { table in
            unsafe bytes.withUnsafeBufferPointer { bytes in
                for index in bytes.indices {
                    let place = unsafe Int((value ^ UInt32(bytes[index])) & 0xff)
                    value = unsafe value >> 8 ^ table[place]
                }
            }
        }
        return ~value
    }
}

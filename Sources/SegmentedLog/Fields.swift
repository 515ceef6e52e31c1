/// Appends little-endian fields to bytes.
package struct FieldWriter: Sendable {
    package private(set) var bytes: [UInt8] = []

    package init(capacity: Int = 0) {
        bytes.reserveCapacity(capacity)
    }

    // Not generic on purpose: they run for every bundle, in other modules.

    package mutating func integer(_ value: UInt8) { bytes.append(value) }
    package mutating func integer(_ value: UInt16) { integer(UInt64(value), byteCount: 2) }
    package mutating func integer(_ value: UInt32) { integer(UInt64(value), byteCount: 4) }
    package mutating func integer(_ value: UInt64) { integer(value, byteCount: 8) }
    package mutating func integer(_ value: Int32) { integer(UInt32(bitPattern: value)) }
    package mutating func integer(_ value: Int64) { integer(UInt64(bitPattern: value)) }

    private mutating func integer(_ value: UInt64, byteCount: Int) {
        unsafe withUnsafeBytes(of: value.littleEndian) { value in
            unsafe bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: value[..<byteCount]))
        }
    }

    /// Eight bytes, most significant first, as identifiers and digests are written.
    package mutating func bigEndian(_ value: UInt64) { integer(value.byteSwapped, byteCount: 8) }

    package mutating func raw(_ value: [UInt8]) {
        bytes.append(contentsOf: value)
    }

    package mutating func raw(_ value: Substring.UTF8View) {
        let isDone: Void? = unsafe value.withContiguousStorageIfAvailable { value in
            unsafe bytes.append(contentsOf: value)
        }
        if isDone == nil { bytes.append(contentsOf: value) }
    }

    package mutating func zeros(_ count: Int) {
        bytes.append(contentsOf: repeatElement(0, count: count))
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
        for byte in bytes {
            value = value >> 8 ^ table[Int((value ^ UInt32(byte)) & 0xff)]
        }
        return ~value
    }
}

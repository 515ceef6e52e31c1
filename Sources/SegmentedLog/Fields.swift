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
        for index in 0..<byteCount { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * index))) }
    }

    package mutating func raw(_ value: [UInt8]) {
        bytes.append(contentsOf: value)
    }

    package mutating func raw(_ value: Substring.UTF8View) {
        bytes.append(contentsOf: value)
    }

    package mutating func zeros(_ count: Int) {
        bytes.append(contentsOf: repeatElement(0, count: count))
    }
}

/// Reads little-endian fields from bytes; every read past the end is nil.
package struct FieldReader: Sendable {
    private var rest: ArraySlice<UInt8>

    package init(_ bytes: ArraySlice<UInt8>) {
        rest = bytes
    }

    package var isAtEnd: Bool { rest.isEmpty }

    package mutating func integer<Value: FixedWidthInteger>(_: Value.Type) -> Value? {
        let width = Value.bitWidth / 8
        guard rest.count >= width else { return nil }
        var value: Value = 0
        for byte in rest.prefix(width).reversed() {
            value = Value.bitWidth > 8 ? value << 8 : 0
            value |= Value(truncatingIfNeeded: byte)
        }
        rest = rest.dropFirst(width)
        return value
    }

    package mutating func raw(_ count: Int) -> ArraySlice<UInt8>? {
        guard count >= 0, rest.count >= count else { return nil }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
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

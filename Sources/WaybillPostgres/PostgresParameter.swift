/// The 16 bytes of a UUID as two numbers, most significant first.
package struct UUIDWords: Hashable, Sendable {
    package let high: UInt64
    package let low: UInt64

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }
}

/// A value on its way to the server, in PostgreSQL's binary format.
package struct PostgresParameter: Sendable {
    /// Nil is SQL's null.
    let bytes: [UInt8]?

    init(_ bytes: [UInt8]?) {
        self.bytes = bytes
    }

    package static let null = PostgresParameter(nil)

    package static func bool(_ value: Bool) -> PostgresParameter {
        PostgresParameter([value ? 1 : 0])
    }

    package static func int2(_ value: Int16) -> PostgresParameter {
        PostgresParameter(encoding { $0.appendBigEndian(value) })
    }

    package static func int4(_ value: Int32) -> PostgresParameter {
        PostgresParameter(encoding { $0.appendBigEndian(value) })
    }

    package static func int8(_ value: Int64?) -> PostgresParameter {
        PostgresParameter(value.map { value in encoding { $0.appendBigEndian(value) } })
    }

    package static func text(_ value: String?) -> PostgresParameter {
        PostgresParameter(value.map { Array($0.utf8) })
    }

    package static func bytes(_ value: [UInt8]?) -> PostgresParameter {
        PostgresParameter(value)
    }

    package static func uuid(_ value: UUIDWords?) -> PostgresParameter {
        PostgresParameter(value.map { value in encoding { $0.appendUUID(value) } })
    }

    /// - Parameter microseconds: since 1970-01-01T00:00:00Z.
    package static func timestamp(_ microseconds: Int64?) -> PostgresParameter {
        PostgresParameter(
            microseconds.map { time in encoding { $0.appendBigEndian(time &- epochOffset) } })
    }

    /// - Parameter text: JSON, UTF-8. The server checks it.
    package static func jsonb(_ text: some Collection<UInt8>) -> PostgresParameter {
        PostgresParameter([1] + Array(text))
    }

    package static func int2s(_ values: [Int16]) -> PostgresParameter {
        array(of: 21, values, byteCount: 2) { $0.appendBigEndian($1) }
    }

    package static func int4s(_ values: [Int32]) -> PostgresParameter {
        array(of: 23, values, byteCount: 4) { $0.appendBigEndian($1) }
    }

    package static func int8s(_ values: [Int64]) -> PostgresParameter {
        array(of: 20, values, byteCount: 8) { $0.appendBigEndian($1) }
    }

    /// - Parameter values: nil is null.
    package static func optionalInt8s(_ values: [Int64?]) -> PostgresParameter {
        optionalArray(of: 20, values) { $0.appendBigEndian($1) }
    }

    package static func texts(_ values: [String]) -> PostgresParameter {
        array(of: 25, values, byteCount: 24) { $0.append(contentsOf: $1.utf8) }
    }

    /// - Parameter values: nil is null.
    package static func optionalTexts(_ values: [String?]) -> PostgresParameter {
        optionalArray(of: 25, values) { $0.append(contentsOf: $1.utf8) }
    }

    package static func byteArrays(_ values: [[UInt8]]) -> PostgresParameter {
        array(of: 17, values, byteCount: 32) { $0.append(contentsOf: $1) }
    }

    /// - Parameter values: nil is null.
    package static func optionalByteArrays(_ values: [[UInt8]?]) -> PostgresParameter {
        optionalArray(of: 17, values) { $0.append(contentsOf: $1) }
    }

    package static func uuids(_ values: [UUIDWords]) -> PostgresParameter {
        array(of: 2950, values, byteCount: 16) { $0.appendUUID($1) }
    }

    /// - Parameter values: nil is null.
    package static func optionalUUIDs(_ values: [UUIDWords?]) -> PostgresParameter {
        optionalArray(of: 2950, values) { $0.appendUUID($1) }
    }

    /// - Parameter microseconds: since 1970-01-01T00:00:00Z.
    package static func timestamps(_ microseconds: [Int64]) -> PostgresParameter {
        array(of: 1184, microseconds, byteCount: 8) { $0.appendBigEndian($1 &- epochOffset) }
    }

    /// - Parameter texts: JSON, UTF-8; nil is null. The server checks it.
    package static func optionalJSONBs(_ texts: [ArraySlice<UInt8>?]) -> PostgresParameter {
        optionalArray(of: 3802, texts) { output, text in
            output.append(1)
            output.append(contentsOf: text)
        }
    }

    /// Microseconds from 1970 to 2000, where PostgreSQL counts from.
    static let epochOffset: Int64 = 946_684_800_000_000

    private static func encoding(_ write: (inout [UInt8]) -> Void) -> [UInt8] {
        var output: [UInt8] = []
        write(&output)
        return output
    }

    // The lists above are arrays, not any sequence, so that what follows is compiled for each type.

    /// - Parameter byteCount: about what an element takes.
    private static func array<Element>(
        of type: Int32, _ values: [Element], byteCount: Int,
        _ write: (inout [UInt8], Element) -> Void
    ) -> PostgresParameter {
        guard !values.isEmpty else { return empty(of: type) }
        var output = header(of: type, count: values.count, hasNull: false, byteCount: byteCount)
        for value in values { output.appendWithLength { write(&$0, value) } }
        return PostgresParameter(output)
    }

    private static func optionalArray<Element>(
        of type: Int32, _ values: [Element?], _ write: (inout [UInt8], Element) -> Void
    ) -> PostgresParameter {
        guard !values.isEmpty else { return empty(of: type) }
        let hasNull = values.contains { $0 == nil }
        var output = header(of: type, count: values.count, hasNull: hasNull, byteCount: 16)
        for value in values {
            if let value {
                output.appendWithLength { write(&$0, value) }
            } else {
                output.appendBigEndian(Int32(-1))
            }
        }
        return PostgresParameter(output)
    }

    /// `array_send` of PostgreSQL: dimensions, whether nulls occur, element type, then for the one
    /// dimension its count and lower bound; each element follows with its length.
    private static func header(
        of type: Int32, count: Int, hasNull: Bool, byteCount: Int
    ) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(20 + (4 + byteCount) * count)
        output.appendBigEndian(Int32(1))
        output.appendBigEndian(Int32(hasNull ? 1 : 0))
        output.appendBigEndian(type)
        output.appendBigEndian(Int32(clamping: count))
        output.appendBigEndian(Int32(1))
        return output
    }

    private static func empty(of type: Int32) -> PostgresParameter {
        PostgresParameter(
            encoding { empty in
                empty.appendBigEndian(Int32(0))
                empty.appendBigEndian(Int32(0))
                empty.appendBigEndian(type)
            })
    }
}

extension [UInt8] {
    @inline(__always)
    mutating func appendBigEndian(_ value: some FixedWidthInteger) {
        unsafe Swift.withUnsafeBytes(of: value.bigEndian) { unsafe append(contentsOf: $0) }
    }

    mutating func appendUUID(_ value: UUIDWords) {
        appendBigEndian(value.high)
        appendBigEndian(value.low)
    }

    /// Appends what `write` appends, with its length as an `Int32` before it.
    @inline(__always)
    mutating func appendWithLength(_ write: (inout [UInt8]) -> Void) {
        let position = count
        appendBigEndian(Int32(0))
        write(&self)
        replaceBigEndian(at: position, with: Int32(truncatingIfNeeded: count - position - 4))
    }

    mutating func replaceBigEndian(at position: Int, with value: Int32) {
        let word = UInt32(bitPattern: value)
        self[position] = UInt8(truncatingIfNeeded: word >> 24)
        self[position + 1] = UInt8(truncatingIfNeeded: word >> 16)
        self[position + 2] = UInt8(truncatingIfNeeded: word >> 8)
        self[position + 3] = UInt8(truncatingIfNeeded: word)
    }
}

/// Writes rows in the format of `COPY … (FORMAT binary)`; sends them on in large pieces.
///
/// Each row begins with ``beginRow(columnCount:)`` and has exactly that many values after it, in the
/// types of the statement's columns.
package struct CopyWriter: ~Copyable {
    private let connection: PostgresConnection
    private var buffer = WireBuffer(capacity: flushByteCount + (64 << 10))

    private static let flushByteCount = 256 << 10

    init(connection: PostgresConnection) {
        self.connection = connection
        buffer.append(contentsOf: Array("PGCOPY\n".utf8) + [0xff, 0x0d, 0x0a, 0x00])
        // Flags, length of the header's extension.
        buffer.append(Int32(0))
        buffer.append(Int32(0))
    }

    package mutating func beginRow(columnCount: Int16) throws(PostgresError) {
        if buffer.count >= Self.flushByteCount { try flush() }
        buffer.append(columnCount)
    }

    package mutating func null() {
        buffer.append(Int32(-1))
    }

    package mutating func int2(_ value: Int16) {
        buffer.append(Int32(2))
        buffer.append(value)
    }

    package mutating func int4(_ value: Int32) {
        buffer.append(Int32(4))
        buffer.append(value)
    }

    package mutating func int8(_ value: Int64) {
        buffer.append(Int32(8))
        buffer.append(value)
    }

    package mutating func uuid(_ value: UUIDWords) {
        buffer.append(Int32(16))
        buffer.append(value.high)
        buffer.append(value.low)
    }

    /// - Parameter microseconds: since 1970-01-01T00:00:00Z.
    package mutating func timestamp(_ microseconds: Int64) {
        int8(microseconds &- PostgresParameter.epochOffset)
    }

    package mutating func text(_ value: String) {
        var value = value
        value.withUTF8 { unsafe bytes(UnsafeRawBufferPointer($0)) }
    }

    /// A value as it would be bound to a statement.
    package mutating func parameter(_ value: PostgresParameter) {
        guard let bytes = value.bytes else { return null() }
        buffer.appendLength(bytes.count)
        buffer.append(contentsOf: bytes)
    }

    /// 32 bytes, as four words, most significant byte first.
    package mutating func bytes(_ words: (UInt64, UInt64, UInt64, UInt64)) {
        buffer.append(Int32(32))
        buffer.append(words.0)
        buffer.append(words.1)
        buffer.append(words.2)
        buffer.append(words.3)
    }

    /// A text or bytes, as they are.
    package mutating func bytes(_ value: UnsafeRawBufferPointer) {
        buffer.appendLength(value.count)
        unsafe buffer.append(value)
    }

    /// - Parameter text: JSON, UTF-8. The server checks it.
    package mutating func jsonb(_ text: UnsafeRawBufferPointer) {
        buffer.appendLength(text.count + 1)
        buffer.append(UInt8(1))
        unsafe buffer.append(text)
    }

    mutating func finish() throws(PostgresError) {
        buffer.append(Int16(-1))
        try flush()
    }

    private mutating func flush() throws(PostgresError) {
        try unsafe buffer.withBytes { (bytes) throws(PostgresError) in
            try unsafe connection.putCopyData(bytes)
        }
        buffer.removeAll()
    }
}

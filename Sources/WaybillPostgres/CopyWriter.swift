/// Writes rows in the format of `COPY … (FORMAT binary)`; sends them on in large pieces.
///
/// Each row begins with ``beginRow(columnCount:)`` and has exactly that many values after it, in the
/// types of the statement's columns.
package struct CopyWriter {
    private let connection: PostgresConnection
    private var buffer: [UInt8]

    private static let flushByteCount = 256 << 10

    init(connection: PostgresConnection) {
        self.connection = connection
        buffer = []
        buffer.reserveCapacity(Self.flushByteCount + (64 << 10))
        buffer.append(contentsOf: "PGCOPY\n".utf8)
        buffer.append(contentsOf: [0xff, 0x0d, 0x0a, 0x00])
        // Flags, length of the header's extension.
        buffer.appendBigEndian(Int32(0))
        buffer.appendBigEndian(Int32(0))
    }

    package mutating func beginRow(columnCount: Int16) throws(PostgresError) {
        if buffer.count >= Self.flushByteCount { try flush() }
        buffer.appendBigEndian(columnCount)
    }

    package mutating func null() {
        buffer.appendBigEndian(Int32(-1))
    }

    package mutating func int2(_ value: Int16) {
        buffer.appendBigEndian(Int32(2))
        buffer.appendBigEndian(value)
    }

    package mutating func int4(_ value: Int32) {
        buffer.appendBigEndian(Int32(4))
        buffer.appendBigEndian(value)
    }

    package mutating func int8(_ value: Int64) {
        buffer.appendBigEndian(Int32(8))
        buffer.appendBigEndian(value)
    }

    package mutating func uuid(_ value: UUIDWords) {
        buffer.appendBigEndian(Int32(16))
        buffer.appendUUID(value)
    }

    /// - Parameter microseconds: since 1970-01-01T00:00:00Z.
    package mutating func timestamp(_ microseconds: Int64) {
        int8(microseconds &- PostgresParameter.epochOffset)
    }

    package mutating func text(_ value: String) {
        buffer.appendWithLength { $0.append(contentsOf: value.utf8) }
    }

    package mutating func bytes(_ value: some Collection<UInt8>) {
        buffer.appendWithLength { $0.append(contentsOf: value) }
    }

    /// - Parameter text: JSON, UTF-8. The server checks it.
    package mutating func jsonb(_ text: ArraySlice<UInt8>) {
        buffer.appendWithLength { output in
            output.append(1)
            output.append(contentsOf: text)
        }
    }

    mutating func finish() throws(PostgresError) {
        buffer.appendBigEndian(Int16(-1))
        try flush()
    }

    private mutating func flush() throws(PostgresError) {
        try connection.putCopyData(buffer)
        buffer.removeAll(keepingCapacity: true)
    }
}

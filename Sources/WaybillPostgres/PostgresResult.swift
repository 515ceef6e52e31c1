internal import CLibpq

/// The rows that one statement returned, in binary; freed with the last reference.
///
/// Belongs to the thread of its connection.
@safe
package final class PostgresResult {
    private let raw: OpaquePointer

    /// Takes ownership of a result of libpq.
    init(_ raw: OpaquePointer) {
        unsafe self.raw = unsafe raw
    }

    deinit {
        unsafe PQclear(raw)
    }

    /// How many rows there are.
    package var count: Int { unsafe Int(PQntuples(raw)) }

    /// Rows that the statement inserted or updated; 0 for others.
    package var affectedCount: Int {
        guard let text = unsafe PQcmdTuples(raw) else { return 0 }
        return unsafe Int(String(cString: text)) ?? 0
    }

    /// - Parameter index: below ``count``.
    package subscript(index: Int) -> PostgresRow {
        precondition(index >= 0 && index < count, "a row that there is not")
        return PostgresRow(result: self, index: Int32(index))
    }

    package var rows: some RandomAccessCollection<PostgresRow> {
        (0..<count).lazy.map { self[$0] }
    }

    /// The bytes of one value; nil for null. Valid while `self` lives.
    func withBytes<Value>(
        row: Int32, column: Int32, _ read: (UnsafeRawBufferPointer) -> Value
    ) -> Value? {
        let columnCount = unsafe PQnfields(raw)
        precondition(column >= 0 && column < columnCount, "a column that there is not")
        guard unsafe PQgetisnull(raw, row, column) == 0 else { return nil }
        let start = unsafe PQgetvalue(raw, row, column)
        let count = unsafe Int(PQgetlength(raw, row, column))
        return unsafe read(UnsafeRawBufferPointer(start: start, count: count))
    }
}

/// One row of a result. Columns count from 0; each reader states the type that the statement returns.
package struct PostgresRow {
    let result: PostgresResult
    let index: Int32

    package func isNull(_ column: Int) -> Bool {
        unsafe result.withBytes(row: index, column: Int32(column)) { _ in true } == nil
    }

    package func bool(_ column: Int) throws(PostgresError) -> Bool {
        try required(column, integer(column, UInt8.self)) != 0
    }

    package func int2(_ column: Int) throws(PostgresError) -> Int16 {
        try required(column, integer(column, Int16.self))
    }

    package func int4(_ column: Int) throws(PostgresError) -> Int32 {
        try required(column, integer(column, Int32.self))
    }

    package func int8(_ column: Int) throws(PostgresError) -> Int64 {
        try required(column, integer(column, Int64.self))
    }

    package func int8IfPresent(_ column: Int) throws(PostgresError) -> Int64? {
        try integer(column, Int64.self)
    }

    package func text(_ column: Int) throws(PostgresError) -> String {
        try required(column, textIfPresent(column))
    }

    package func textIfPresent(_ column: Int) -> String? {
        unsafe result.withBytes(row: index, column: Int32(column)) {
            unsafe String(decoding: $0, as: UTF8.self)
        }
    }

    package func bytes(_ column: Int) throws(PostgresError) -> [UInt8] {
        try required(column, bytesIfPresent(column))
    }

    package func bytesIfPresent(_ column: Int) -> [UInt8]? {
        unsafe result.withBytes(row: index, column: Int32(column)) { unsafe Array($0) }
    }

    package func uuid(_ column: Int) throws(PostgresError) -> UUIDWords {
        try required(column, uuidIfPresent(column))
    }

    package func uuidIfPresent(_ column: Int) throws(PostgresError) -> UUIDWords? {
        let read = unsafe result.withBytes(row: index, column: Int32(column)) { bytes in
            bytes.count == 16
                ? UUIDWords(
                    high: unsafe bytes.bigEndian(UInt64.self, at: 0),
                    low: unsafe bytes.bigEndian(UInt64.self, at: 8)) : nil
        }
        guard let read else { return nil }
        guard let read else { throw .unexpectedResult("column \(column) is no uuid") }
        return read
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    package func timestamp(_ column: Int) throws(PostgresError) -> Int64 {
        try required(column, timestampIfPresent(column))
    }

    package func timestampIfPresent(_ column: Int) throws(PostgresError) -> Int64? {
        try integer(column, Int64.self).map { $0 &+ PostgresParameter.epochOffset }
    }

    /// A `bigint[]` of one dimension without nulls.
    package func int8s(_ column: Int) throws(PostgresError) -> [Int64] {
        let read = unsafe result.withBytes(row: index, column: Int32(column)) { bytes in
            unsafe Self.int8Elements(of: bytes)
        }
        guard let read, let read else {
            throw .unexpectedResult("column \(column) is no plain bigint[]")
        }
        return read
    }

    private static func int8Elements(of bytes: UnsafeRawBufferPointer) -> [Int64]? {
        guard bytes.count >= 12 else { return nil }
        guard unsafe bytes.bigEndian(Int32.self, at: 0) == 1 else {
            return unsafe bytes.bigEndian(Int32.self, at: 0) == 0 ? [] : nil
        }
        guard bytes.count >= 20, unsafe bytes.bigEndian(Int32.self, at: 8) == 20 else { return nil }
        let count = unsafe Int(bytes.bigEndian(Int32.self, at: 12))
        guard count >= 0, bytes.count == 20 + 12 * count else { return nil }
        return (0..<count).map { unsafe bytes.bigEndian(Int64.self, at: 24 + 12 * $0) }
    }

    private func required<Value>(
        _ column: Int, _ value: Value?
    ) throws(PostgresError) -> Value {
        guard let value else { throw .unexpectedResult("column \(column) is null") }
        return value
    }

    private func integer<Value: FixedWidthInteger>(
        _ column: Int, _ type: Value.Type
    ) throws(PostgresError) -> Value? {
        let read = unsafe result.withBytes(row: index, column: Int32(column)) { bytes in
            bytes.count == MemoryLayout<Value>.size ? unsafe bytes.bigEndian(type, at: 0) : nil
        }
        guard let read else { return nil }
        guard let read else { throw .unexpectedResult("column \(column) is no \(type)") }
        return read
    }
}

extension UnsafeRawBufferPointer {
    fileprivate func bigEndian<Value: FixedWidthInteger>(_ type: Value.Type, at offset: Int)
        -> Value
    {
        unsafe Value(bigEndian: loadUnaligned(fromByteOffset: offset, as: type))
    }
}

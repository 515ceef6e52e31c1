/// Reads one HTTP/1.1 answer at a time from bytes as they come: status, length or chunks, and the few
/// fields that a device heeds.
///
/// A pure value. Informational answers (1xx) are passed over. Source: RFC 9112, sections 4 to 7.
package struct ResponseParser: Sendable {
    package enum Progress: Sendable, Equatable {
        case needsMore
        /// An answer is whole; `surplus` bytes after it were not read.
        case complete(surplus: Int)
        /// What came is not HTTP, or breaks a limit.
        case malformed
    }

    private enum Expectation {
        case statusLine, fields, counted(Int), chunkSize, chunk(Int), chunkEnd, trailers, untilClose
        case complete, malformed
    }

    /// Of one line, and of a head's lines together.
    package static let headBytesMax = 64 << 10
    package static let bodyBytesMax = 64 << 20

    package private(set) var status = 0
    /// Seconds of `Retry-After`; a date counts as none.
    package private(set) var retryAfter: Int?
    /// Whether the server ends the connection after this answer.
    package private(set) var closes = false
    package private(set) var body: [UInt8] = []

    private var expectation = Expectation.statusLine
    private var length: Int?
    private var isChunked = false
    /// The beginning of a line whose end has not come.
    private var partial: [UInt8] = []
    private var headBytes = 0
    /// Whether any byte of this answer has come.
    package private(set) var hasBegun = false

    package init() {}

    /// Makes ready for the next answer; keeps the memory.
    package mutating func reset() {
        status = 0
        retryAfter = nil
        closes = false
        if body.capacity > 1 << 20 { body = [] } else { body.removeAll(keepingCapacity: true) }
        partial.removeAll(keepingCapacity: true)
        expectation = .statusLine
        length = nil
        isChunked = false
        headBytes = 0
        hasBegun = false
    }

    package mutating func feed(_ bytes: UnsafeRawBufferPointer) -> Progress {
        var position = 0
        if !bytes.isEmpty { hasBegun = true }
        while true {
            switch expectation {
            case .complete: return .complete(surplus: bytes.count - position)
            case .malformed: return .malformed
            case .counted(let rest):
                guard let taken = take(rest, of: bytes, from: &position) else { continue }
                expectation = taken == rest ? .complete : .counted(rest - taken)
                if taken < rest { return .needsMore }
            case .chunk(let rest):
                guard let taken = take(rest, of: bytes, from: &position) else { continue }
                expectation = taken == rest ? .chunkEnd : .chunk(rest - taken)
                if taken < rest { return .needsMore }
            case .untilClose:
                guard take(.max, of: bytes, from: &position) != nil else { continue }
                return .needsMore
            case .statusLine, .fields, .chunkSize, .chunkEnd, .trailers:
                guard readLine(of: bytes, from: &position) else {
                    if case .malformed = expectation { return .malformed }
                    return .needsMore
                }
            }
        }
    }

    /// The connection has ended: whether that makes the answer whole.
    package mutating func finish() -> Bool {
        guard case .untilClose = expectation else { return false }
        expectation = .complete
        return true
    }

    /// How many bytes of the body were there; nil where it becomes too long.
    private mutating func take(
        _ wanted: Int, of bytes: UnsafeRawBufferPointer, from position: inout Int
    ) -> Int? {
        let taken = min(wanted, bytes.count - position)
        guard body.count + taken <= Self.bodyBytesMax else {
            expectation = .malformed
            return nil
        }
        body.append(contentsOf: bytes[position..<position + taken])
        position += taken
        return taken
    }

    /// Reads up to the next line feed and heeds the line; false where it has not come.
    private mutating func readLine(
        of bytes: UnsafeRawBufferPointer, from position: inout Int
    ) -> Bool {
        var end = position
        while end < bytes.count, bytes[end] != 0x0a { end += 1 }
        headBytes += end - position + 1
        guard headBytes <= Self.headBytesMax else {
            expectation = .malformed
            return false
        }
        let slice = UnsafeRawBufferPointer(rebasing: bytes[position..<end])
        guard end < bytes.count else {
            partial.append(contentsOf: slice)
            position = end
            return false
        }
        position = end + 1
        if partial.isEmpty {
            heed(slice)
        } else {
            var line = partial
            line.append(contentsOf: slice)
            partial.removeAll(keepingCapacity: true)
            line.withUnsafeBytes { heed($0) }
        }
        return true
    }

    private mutating func heed(_ line: UnsafeRawBufferPointer) {
        var line = line
        if line.last == 0x0d { line = UnsafeRawBufferPointer(rebasing: line.dropLast()) }
        switch expectation {
        case .statusLine: heedStatus(line)
        case .fields: line.isEmpty ? endHead() : heedField(line)
        case .chunkSize: heedChunkSize(line)
        case .chunkEnd: expectation = line.isEmpty ? .chunkSize : .malformed
        case .trailers: if line.isEmpty { expectation = .complete }
        case .counted, .chunk, .untilClose, .complete, .malformed: break
        }
    }

    /// `HTTP/1.1 202 Accepted`
    private mutating func heedStatus(_ line: UnsafeRawBufferPointer) {
        guard line.count >= 12, line.starts(with: "HTTP/1.".utf8), line[8] == 0x20,
            let number = Self.decimal(line[9..<12]), number >= 100
        else {
            expectation = .malformed
            return
        }
        status = number
        closes = line[7] == UInt8(ascii: "0")
        expectation = .fields
    }

    private mutating func heedField(_ line: UnsafeRawBufferPointer) {
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else {
            expectation = .malformed
            return
        }
        // Most fields are told apart by the length of their names alone.
        let name = line[..<colon]
        switch colon {
        case 14 where Self.equals(name, "content-length"):
            guard let value = Self.decimal(Self.trimmed(line[(colon + 1)...])) else {
                expectation = .malformed
                return
            }
            length = value
        case 17 where Self.equals(name, "transfer-encoding"):
            isChunked = Self.equals(Self.trimmed(line[(colon + 1)...]), "chunked")
        case 11 where Self.equals(name, "retry-after"):
            retryAfter = Self.decimal(Self.trimmed(line[(colon + 1)...]))
        case 10 where Self.equals(name, "connection"):
            let value = Self.trimmed(line[(colon + 1)...])
            if Self.equals(value, "close") { closes = true }
            if Self.equals(value, "keep-alive") { closes = false }
        default: break
        }
    }

    private mutating func endHead() {
        if status < 200 {
            guard status != 101 else {
                expectation = .malformed
                return
            }
            retryAfter = nil
            expectation = .statusLine
            length = nil
            isChunked = false
        } else if status == 204 || status == 304 {
            expectation = .complete
        } else if isChunked {
            expectation = .chunkSize
        } else if let length {
            guard length <= Self.bodyBytesMax else {
                expectation = .malformed
                return
            }
            expectation = length == 0 ? .complete : .counted(length)
        } else {
            closes = true
            expectation = .untilClose
        }
    }

    private mutating func heedChunkSize(_ line: UnsafeRawBufferPointer) {
        // The limit is on a head's lines, of which chunk sizes are none.
        headBytes = 0
        var size = 0
        var digits = 0
        for byte in line {
            guard let digit = Self.hexadecimal(byte) else { break }
            size = size << 4 | digit
            digits += 1
            guard digits <= 8 else { break }
        }
        let rest = line.dropFirst(digits).first
        guard (1...8).contains(digits), rest == nil || rest == 0x3b || rest == 0x20 else {
            expectation = .malformed
            return
        }
        expectation = size == 0 ? .trailers : .chunk(size)
    }

    private static func hexadecimal(_ byte: UInt8) -> Int? {
        switch byte {
        case 0x30...0x39: Int(byte - 0x30)
        case 0x41...0x46: Int(byte - 0x41 + 10)
        case 0x61...0x66: Int(byte - 0x61 + 10)
        default: nil
        }
    }

    /// Up to 15 digits and nothing else.
    private static func decimal(_ text: Slice<UnsafeRawBufferPointer>) -> Int? {
        guard (1...15).contains(text.count) else { return nil }
        var value = 0
        for byte in text {
            guard (0x30...0x39).contains(byte) else { return nil }
            value = value * 10 + Int(byte - 0x30)
        }
        return value
    }

    private static func trimmed(
        _ text: Slice<UnsafeRawBufferPointer>
    ) -> Slice<UnsafeRawBufferPointer> {
        var text = text
        while text.first == 0x20 || text.first == 0x09 { text = text.dropFirst() }
        while text.last == 0x20 || text.last == 0x09 { text = text.dropLast() }
        return text
    }

    /// Compares without regard to case; `wanted` is in lower case.
    private static func equals(
        _ text: Slice<UnsafeRawBufferPointer>, _ wanted: StaticString
    ) -> Bool {
        guard text.count == wanted.utf8CodeUnitCount else { return false }
        for (offset, byte) in text.enumerated() {
            let lower = (0x41...0x5a).contains(byte) ? byte | 0x20 : byte
            guard lower == wanted.utf8Start[offset] else { return false }
        }
        return true
    }
}

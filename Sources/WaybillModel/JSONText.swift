/// A JSON text read strictly (RFC 8259), for requests: a member that stands twice is refused, and
/// numbers stay as they were written, whatever their size.
package enum JSONText: Sendable, Equatable {
    case null
    case bool(Bool)
    /// As it was written.
    case number(String)
    case string(String)
    case array([JSONText])
    case object([String: JSONText])

    /// - Throws: ``JSONTextFault`` with the byte or the member at fault.
    package init(_ bytes: [UInt8]) throws(JSONTextFault) {
        var reader = JSONTextReader(bytes: bytes)
        self = try reader.read()
    }
}

/// Why bytes are no JSON text that is taken.
package enum JSONTextFault: Error, Sendable, Equatable {
    /// Not JSON from this byte on, counted from 0.
    case malformed(at: Int)
    /// A member stands twice in one object.
    case duplicate(name: String)
    /// Nested deeper than any request is.
    case tooDeep
}

/// Goes through the bytes once, from the left.
private struct JSONTextReader {
    let bytes: [UInt8]
    private var index = 0
    private var depth = 0

    private static let depthMax = 32

    init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    mutating func read() throws(JSONTextFault) -> JSONText {
        let value = try readValue()
        skipSpace()
        guard index == bytes.count else { throw .malformed(at: index) }
        return value
    }

    private mutating func readValue() throws(JSONTextFault) -> JSONText {
        skipSpace()
        switch peek {
        case UInt8(ascii: "{"):
            return try nested { reader throws(JSONTextFault) in
                .object(try reader.readMembers())
            }
        case UInt8(ascii: "["):
            return try nested { reader throws(JSONTextFault) in
                .array(try reader.readElements())
            }
        case UInt8(ascii: "\""): return .string(try readString())
        case UInt8(ascii: "t"): return try readWord("true", .bool(true))
        case UInt8(ascii: "f"): return try readWord("false", .bool(false))
        case UInt8(ascii: "n"): return try readWord("null", .null)
        default: return .number(try readNumber())
        }
    }

    private mutating func nested(
        _ body: (inout JSONTextReader) throws(JSONTextFault) -> JSONText
    ) throws(JSONTextFault) -> JSONText {
        guard depth < Self.depthMax else { throw .tooDeep }
        depth += 1
        index += 1
        let value = try body(&self)
        depth -= 1
        return value
    }

    private mutating func readMembers() throws(JSONTextFault) -> [String: JSONText] {
        var members: [String: JSONText] = [:]
        if take("}") { return members }
        repeat {
            skipSpace()
            let name = try readString()
            guard take(":") else { throw .malformed(at: index) }
            guard members.updateValue(try readValue(), forKey: name) == nil else {
                throw .duplicate(name: name)
            }
        } while take(",")
        guard take("}") else { throw .malformed(at: index) }
        return members
    }

    private mutating func readElements() throws(JSONTextFault) -> [JSONText] {
        var elements: [JSONText] = []
        if take("]") { return elements }
        repeat { elements.append(try readValue()) } while take(",")
        guard take("]") else { throw .malformed(at: index) }
        return elements
    }

    private mutating func readWord(
        _ word: StaticString, _ value: JSONText
    ) throws(JSONTextFault) -> JSONText {
        let wanted = Array("\(word)".utf8)
        guard bytes[index...].starts(with: wanted) else { throw .malformed(at: index) }
        index += wanted.count
        return value
    }

    private mutating func readNumber() throws(JSONTextFault) -> String {
        let start = index
        if peek == UInt8(ascii: "-") { index += 1 }
        if peek == UInt8(ascii: "0") { index += 1 } else { try readDigits() }
        if peek == UInt8(ascii: ".") {
            index += 1
            try readDigits()
        }
        if peek == UInt8(ascii: "e") || peek == UInt8(ascii: "E") {
            index += 1
            if peek == UInt8(ascii: "+") || peek == UInt8(ascii: "-") { index += 1 }
            try readDigits()
        }
        return String(decoding: bytes[start..<index], as: UTF8.self)
    }

    private mutating func readDigits() throws(JSONTextFault) {
        let start = index
        while let byte = peek, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { index += 1 }
        guard index > start else { throw .malformed(at: index) }
    }

    private mutating func readString() throws(JSONTextFault) -> String {
        let start = index
        guard take("\"") else { throw .malformed(at: index) }
        var content: [UInt8] = []
        while let byte = peek, byte != UInt8(ascii: "\"") {
            guard byte >= 0x20 else { throw .malformed(at: index) }
            index += 1
            if byte == UInt8(ascii: "\\") {
                content += try readEscape().utf8
            } else {
                content.append(byte)
            }
        }
        guard peek != nil, let text = String(validating: content, as: UTF8.self) else {
            throw .malformed(at: start)
        }
        index += 1
        return text
    }

    /// After the backslash.
    private mutating func readEscape() throws(JSONTextFault) -> String {
        guard let byte = peek else { throw .malformed(at: index) }
        index += 1
        switch byte {
        case UInt8(ascii: "\""): return "\""
        case UInt8(ascii: "\\"): return "\\"
        case UInt8(ascii: "/"): return "/"
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{c}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): break
        default: throw .malformed(at: index - 1)
        }
        var units = [try readUnit()]
        if UTF16.isLeadSurrogate(units[0]) {
            guard bytes[index...].starts(with: Array("\\u".utf8)) else {
                throw .malformed(at: index)
            }
            index += 2
            units.append(try readUnit())
        }
        guard let text = String(validating: units, as: UTF16.self) else {
            throw .malformed(at: index)
        }
        return text
    }

    private mutating func readUnit() throws(JSONTextFault) -> UInt16 {
        guard bytes.count - index >= 4 else { throw .malformed(at: index) }
        var unit: UInt16 = 0
        for byte in bytes[index..<index + 4] {
            guard let digit = Character(UnicodeScalar(byte)).hexDigitValue, byte < 0x80 else {
                throw .malformed(at: index)
            }
            unit = unit << 4 | UInt16(digit)
        }
        index += 4
        return unit
    }

    private var peek: UInt8? { index < bytes.count ? bytes[index] : nil }

    /// Takes the character if it comes next, after white space.
    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        skipSpace()
        guard peek == UInt8(ascii: character) else { return false }
        index += 1
        return true
    }

    private mutating func skipSpace() {
        while let byte = peek, [0x20, 0x09, 0x0a, 0x0d].contains(byte) { index += 1 }
    }
}

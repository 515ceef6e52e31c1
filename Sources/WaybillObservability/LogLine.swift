package import Logging

/// Builds one log line of bounded length.
package struct LogLine {
    /// What a pipe takes as one write (PIPE_BUF on Linux).
    package static let bytesMax = 4096
    private static let messageBytesMax = 1024
    private static let valueBytesMax = 512
    private static let fieldsMax = 32
    private static let depthMax = 4
    /// Kept free for the mark of a shortened line and the end.
    private static let reserve = 24

    private let format: LogFormat
    private var output: [UInt8] = []
    private var fieldCount = 0
    private var isShortened = false

    /// Starts a line.
    ///
    /// - Parameter time: RFC 3339 in UTC.
    package init(
        format: LogFormat, time: String, level: Logger.Level, label: String, message: String
    ) {
        self.format = format
        output.reserveCapacity(256)
        switch format {
        case .json:
            output.append(contentsOf: #"{"ts":"#.utf8)
            appendQuoted(time, bytesMax: 64)
            output.append(contentsOf: #","level":"\#(level.rawValue)","label":"#.utf8)
            appendQuoted(label, bytesMax: 128)
            output.append(contentsOf: #","message":"#.utf8)
            appendQuoted(message, bytesMax: Self.messageBytesMax)
        case .text:
            output.append(contentsOf: "\(time) \(level.rawValue.uppercased()) ".utf8)
            appendPlain(label, bytesMax: 128)
            output.append(contentsOf: ": ".utf8)
            appendPlain(message, bytesMax: Self.messageBytesMax)
        }
    }

    /// Adds fields in the order of their names; nested ones get dotted names.
    package mutating func add(_ metadata: Logger.Metadata) {
        for (name, value) in metadata.sorted(by: { $0.key < $1.key }) {
            add(name, value, depth: 0)
        }
    }

    /// The line with its line feed.
    package consuming func finish() -> [UInt8] {
        switch format {
        case .json:
            if isShortened { output.append(contentsOf: #","shortened":true"#.utf8) }
            output.append(contentsOf: "}\n".utf8)
        case .text:
            if isShortened { output.append(contentsOf: " …".utf8) }
            output.append(UInt8(ascii: "\n"))
        }
        return output
    }

    private mutating func add(_ name: String, _ value: Logger.MetadataValue, depth: Int) {
        switch value {
        case .dictionary(let members) where depth < Self.depthMax:
            for (member, value) in members.sorted(by: { $0.key < $1.key }) {
                add(name + "." + member, value, depth: depth + 1)
            }
        case .string(let text): addField(name, text)
        case .stringConvertible(let value): addField(name, value.description)
        case .array, .dictionary: addField(name, value.description)
        }
    }

    private mutating func addField(_ name: String, _ value: String) {
        guard fieldCount < Self.fieldsMax else {
            isShortened = true
            return
        }
        let start = output.count
        switch format {
        case .json:
            output.append(UInt8(ascii: ","))
            let isReserved = ["ts", "level", "label", "message", "shortened"].contains(name)
            appendQuoted(isReserved ? "field." + name : name, bytesMax: 128)
            output.append(UInt8(ascii: ":"))
            appendQuoted(value, bytesMax: Self.valueBytesMax)
        case .text:
            output.append(UInt8(ascii: " "))
            appendPlain(name, bytesMax: 128)
            output.append(UInt8(ascii: "="))
            appendPlain(value, bytesMax: Self.valueBytesMax)
        }
        if output.count > Self.bytesMax - Self.reserve {
            output.removeSubrange(start...)
            isShortened = true
        } else {
            fieldCount += 1
        }
    }

    private mutating func appendQuoted(_ text: String, bytesMax: Int) {
        output.append(UInt8(ascii: "\""))
        appendEscaped(text, bytesMax: bytesMax) { scalar in
            scalar == "\"" || scalar == "\\" ? "\\" + String(scalar) : nil
        }
        output.append(UInt8(ascii: "\""))
    }

    private mutating func appendPlain(_ text: String, bytesMax: Int) {
        appendEscaped(text, bytesMax: bytesMax) { _ in nil }
    }

    /// Control characters, line separators and bidirectional marks become `\uXXXX`, so that no
    /// value starts a line of its own or moves a terminal's cursor.
    private mutating func appendEscaped(
        _ text: String, bytesMax: Int, special: (Unicode.Scalar) -> String?
    ) {
        let end = output.count + bytesMax
        for scalar in text.unicodeScalars {
            let piece = special(scalar) ?? Self.escape(scalar)
            guard output.count + (piece?.utf8.count ?? 4) <= end else {
                isShortened = true
                return
            }
            if let piece {
                output.append(contentsOf: piece.utf8)
            } else {
                output.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
            }
        }
    }

    private static func escape(_ scalar: Unicode.Scalar) -> String? {
        switch scalar.value {
        case 0..<0x20, 0x7f..<0xa0, 0x2028...0x202e, 0x2066...0x2069, 0x200e, 0x200f:
            let digits = String(scalar.value, radix: 16)
            return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        default: return nil
        }
    }
}

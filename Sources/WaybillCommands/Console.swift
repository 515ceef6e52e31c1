internal import Foundation
internal import Synchronization

/// The process's output: data on standard output, everything else on standard error.
enum Console {
    /// One line for the person who watches; made harmless for terminals.
    static func note(_ text: String) {
        FileHandle.standardError.write(Data((HarmlessText.of(text) + "\n").utf8))
    }

    /// Data, as it is.
    static func write(_ bytes: some Collection<UInt8>) {
        FileHandle.standardOutput.write(Data(bytes))
    }

    static func print(_ text: String) {
        write((text + "\n").utf8)
    }

    /// A value as one line of JSON; control characters that JSON allows are escaped as well.
    static func print(json value: some Encodable) throws {
        print(try json(value))
    }

    /// A value as JSON without a line feed at its end.
    static func json(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return HarmlessText.of(String(decoding: try encoder.encode(value), as: UTF8.self))
    }

    /// True when a person can be asked.
    static var isInteractive: Bool { isatty(STDIN_FILENO) == 1 }

    /// Asks on standard error; anything but `y` or `yes` is no.
    static func confirm(_ question: String) -> Bool {
        FileHandle.standardError.write(Data((HarmlessText.of(question) + " [y/N] ").utf8))
        let answer = readLine()?.lowercased()
        return answer == "y" || answer == "yes"
    }
}

/// Text that moves no cursor and starts no line, whatever a device called itself.
enum HarmlessText {
    /// Controls, line separators and bidirectional marks as `\uXXXX`; inside of JSON strings this
    /// is the same string.
    static func of(_ text: String) -> String {
        var output = ""
        for scalar in text.unicodeScalars {
            switch scalar.value {
            case 0..<0x20, 0x7f..<0xa0, 0x2028...0x202e, 0x2066...0x2069, 0x200e, 0x200f:
                let digits = String(scalar.value, radix: 16)
                output += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: output.unicodeScalars.append(scalar)
            }
        }
        return output
    }
}

/// Writes HTML that is well-formed XML as well; whatever is given as text stays text.
struct MarkupWriter {
    private(set) var text = ""

    /// An element with content, which `inner` writes.
    mutating func element(
        _ name: String, _ attributes: KeyValuePairs<String, String> = [:],
        _ inner: (inout MarkupWriter) -> Void
    ) {
        start(name, attributes)
        text += ">"
        inner(&self)
        text += "</\(name)>"
    }

    /// An element that holds only text.
    mutating func element(
        _ name: String, _ attributes: KeyValuePairs<String, String> = [:], text inner: String
    ) {
        element(name, attributes) { $0.write(inner) }
    }

    /// An element without content.
    mutating func empty(_ name: String, _ attributes: KeyValuePairs<String, String> = [:]) {
        start(name, attributes)
        text += "/>"
    }

    mutating func write(_ inner: String) { text += Self.escaped(inner) }

    /// What this program holds ready and knows to be markup or a style sheet.
    mutating func write(trusted markup: StaticString) { text += markup.description }

    private mutating func start(_ name: String, _ attributes: KeyValuePairs<String, String>) {
        text += "<\(name)"
        for (key, value) in attributes { text += " \(key)=\"\(Self.escaped(value))\"" }
    }

    /// With the characters that mean something in HTML and XML written as references, and those
    /// replaced that XML 1.0 (section 2.2) cannot hold.
    static func escaped(_ text: String) -> String {
        guard text.utf8.contains(where: isSpecial) else { return text }
        var output = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": output += "&amp;"
            case "<": output += "&lt;"
            case ">": output += "&gt;"
            case "\"": output += "&quot;"
            case "'": output += "&#39;"
            case "\n", "\t": output.unicodeScalars.append(scalar)
            default:
                let isAllowed =
                    scalar.value >= 0x20 && !(0x7f..<0xa0).contains(scalar.value)
                    && scalar.value != 0xfffe && scalar.value != 0xffff
                output.unicodeScalars.append(isAllowed ? scalar : "\u{fffd}")
            }
        }
        return output
    }

    /// Could begin something that is not copied as it is.
    private static func isSpecial(_ byte: UInt8) -> Bool {
        byte < 0x20 || byte >= 0x7f || byte == UInt8(ascii: "&") || byte == UInt8(ascii: "<")
            || byte == UInt8(ascii: ">") || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'")
    }
}

/// A length in a drawing, to a tenth of a pixel.
func drawn(_ value: Double) -> String {
    let tenths = Int((value * 10).rounded())
    let sign = tenths < 0 ? "-" : ""
    let fraction = tenths.magnitude % 10
    return sign + String(tenths.magnitude / 10) + (fraction == 0 ? "" : ".\(fraction)")
}

/// Writes a JSON object so that its text differs and its value does not.
///
/// Members of the object itself in reverse; white space; numbers with zeros behind the point or an
/// exponent; escapes that nobody needs.
struct Respelling {
    /// Which habits it has.
    let bits: UInt64

    private var space: StaticString {
        switch bits & 3 {
        case 0: ""
        case 1: "  "
        case 2: "\t"
        default: " \r "
        }
    }

    /// - Parameter canonical: an object in the text of `jsonb`, not empty.
    func append(_ canonical: [UInt8], to writer: inout ByteWriter) {
        writer.append("{")
        var isFirst = true
        for member in members(of: canonical).reversed() {
            if !isFirst { writer.append(",") }
            isFirst = false
            writer.append(space)
            appendValue(canonical, member, to: &writer)
        }
        writer.append("}")
    }

    /// Where each member of the outer object stands, from its name's quote to its value's end.
    private func members(of canonical: [UInt8]) -> [Range<Int>] {
        var members: [Range<Int>] = []
        var start = 1
        var depth = 0
        var position = 0
        while position < canonical.count {
            switch canonical[position] {
            case UInt8(ascii: "\""): position = stringEnd(canonical, position) - 1
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                if depth == 0 { members.append(start..<position) }
            case UInt8(ascii: ",") where depth == 1:
                members.append(start..<position)
                start = position + 2
            default: break
            }
            position += 1
        }
        return members
    }

    /// Behind the closing quote of the string that begins at `start`.
    private func stringEnd(_ text: [UInt8], _ start: Int) -> Int {
        var position = start + 1
        while text[position] != UInt8(ascii: "\"") {
            position += text[position] == UInt8(ascii: "\\") ? 2 : 1
        }
        return position + 1
    }

    private func appendValue(_ text: [UInt8], _ range: Range<Int>, to writer: inout ByteWriter) {
        var position = range.lowerBound
        while position < range.upperBound {
            let byte = text[position]
            switch byte {
            case UInt8(ascii: "\""):
                let end = stringEnd(text, position)
                appendString(text[position..<end], to: &writer)
                position = end
            case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
                var end = position + 1
                while end < range.upperBound, Self.isInNumber(text[end]) { end += 1 }
                appendNumber(text[position..<end], to: &writer)
                position = end
            case UInt8(ascii: " "):
                writer.append(space)
                position += 1
            default:
                writer.append(byte)
                position += 1
            }
        }
    }

    private static func isInNumber(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: ".") || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }

    private func appendNumber(_ number: ArraySlice<UInt8>, to writer: inout ByteWriter) {
        let hasPoint = number.contains(UInt8(ascii: "."))
        writer.append(Array(number))
        switch bits >> 2 & 3 {
        // A zero takes no digits behind it without a point.
        case _ where number.elementsEqual([UInt8(ascii: "0")]): writer.append(".000e+7")
        case 0: writer.append(hasPoint ? "000" : ".0")
        case 1: writer.append(hasPoint ? "e0" : "00E-2")
        case 2: writer.append(hasPoint ? "00E+00" : "e-0")
        default: break
        }
    }

    /// - Parameter string: with its quotes.
    private func appendString(_ string: ArraySlice<UInt8>, to writer: inout ByteWriter) {
        guard bits >> 4 & 1 == 0 else {
            writer.append(Array(string))
            return
        }
        var position = string.startIndex
        while position < string.endIndex {
            let byte = string[position]
            if byte == UInt8(ascii: "\\") {
                writer.append(Array(string[position..<position + 2]))
                position += 2
            } else if byte == UInt8(ascii: "/") {
                writer.append(#"\/"#)
                position += 1
            } else if byte < 0x80 {
                writer.append(byte)
                position += 1
            } else {
                let count = byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4
                appendEscaped(string[position..<position + count], to: &writer)
                position += count
            }
        }
    }

    /// One character as one or two UTF-16 units.
    private func appendEscaped(_ bytes: ArraySlice<UInt8>, to writer: inout ByteWriter) {
        for unit in String(decoding: bytes, as: UTF8.self).utf16 {
            writer.append(#"\u"#)
            for shift: UInt16 in [12, 8, 4, 0] {
                let digit = UInt8(truncatingIfNeeded: unit >> shift & 15)
                writer.append(
                    digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "A") - 10 + digit)
            }
        }
    }
}

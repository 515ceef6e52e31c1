/// RFC 8785, the JSON Canonicalization Scheme.
package enum CanonicalJSON {
    /// The canonical form of any JSON value.
    package static func encode(_ value: JSONValue) -> [UInt8] {
        var output: [UInt8] = []
        append(value, to: &output)
        return output
    }

    /// A receipt's canonical form without `hash` and `signature`; members in order of their names.
    static func receipt(
        _ content: ReceiptContent, sequence: Int64, previous: Digest256, keyID: String
    ) -> [UInt8] {
        var members = MemberWriter(capacity: 1024)
        members.text("bundle_id", content.bundleID.description)
        members.text("bundle_sha256", content.bundleDigest.description)
        if let code = content.code { members.text("code", code.rawValue) }
        if let counts = content.counts {
            members.raw("counts", counts.canonicalText)
        }
        if let detail = content.detail { members.text("detail", detail) }
        members.text("device_id", content.deviceID.description)
        members.exceptions(content.exceptions)
        members.text("key_id", keyID)
        members.text("previous", previous.description)
        members.number("seq", sequence)
        members.text("settled_at", content.settledAt.description)
        members.text("state", content.state.rawValue)
        if let superseded = content.supersedes { members.number("supersedes", superseded) }
        return members.finish()
    }

    /// Appends a string literal with the escapes that section 3.2.2.2 asks for, and no others.
    package static func appendString(_ text: String, to output: inout [UInt8]) {
        output.append(UInt8(ascii: "\""))
        var text = text
        text.withUTF8 { bytes in
            var start = 0
            for (index, byte) in bytes.enumerated() {
                guard byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") else {
                    continue
                }
                output.append(contentsOf: UnsafeBufferPointer(rebasing: bytes[start..<index]))
                appendEscape(of: byte, to: &output)
                start = index + 1
            }
            output.append(contentsOf: UnsafeBufferPointer(rebasing: bytes[start...]))
        }
        output.append(UInt8(ascii: "\""))
    }

    private static func appendEscape(of byte: UInt8, to output: inout [UInt8]) {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"):
            output.append(UInt8(ascii: "\\"))
            output.append(byte)
        case 0x08: output.append(contentsOf: #"\b"#.utf8)
        case 0x09: output.append(contentsOf: #"\t"#.utf8)
        case 0x0a: output.append(contentsOf: #"\n"#.utf8)
        case 0x0c: output.append(contentsOf: #"\f"#.utf8)
        case 0x0d: output.append(contentsOf: #"\r"#.utf8)
        default: output.append(contentsOf: (#"\u00"# + Hexadecimal.encode([byte])).utf8)
        }
    }

    private static func append(_ value: JSONValue, to output: inout [UInt8]) {
        switch value {
        case .null: output.append(contentsOf: "null".utf8)
        case .bool(let value): output.append(contentsOf: (value ? "true" : "false").utf8)
        case .number(let value): output.append(contentsOf: ecmaScript(value).utf8)
        case .string(let value): appendString(value, to: &output)
        case .array(let elements):
            output.append(UInt8(ascii: "["))
            for (index, element) in elements.enumerated() {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                append(element, to: &output)
            }
            output.append(UInt8(ascii: "]"))
        case .object(let members):
            output.append(UInt8(ascii: "{"))
            // Section 3.2.3 sorts by UTF-16 code units.
            let names = members.keys.sorted { $0.utf16.lexicographicallyPrecedes($1.utf16) }
            for (index, name) in names.enumerated() {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                appendString(name, to: &output)
                output.append(UInt8(ascii: ":"))
                append(members[name] ?? .null, to: &output)
            }
            output.append(UInt8(ascii: "}"))
        }
    }

    /// A double in the form of ECMAScript's `Number.prototype.toString`.
    private static func ecmaScript(_ value: Double) -> String {
        if value == 0 { return "0" }
        if value < 0 { return "-" + ecmaScript(-value) }
        // Swift prints the shortest digits that read back as the same double, as ECMAScript does;
        // only where the point and the exponent go differs.
        let parts = value.description.split(separator: "e")
        let mantissa = parts[0].split(separator: ".")
        let whole = mantissa[0]
        let fraction = mantissa.count > 1 && mantissa[1] != "0" ? mantissa[1] : ""
        var exponent = (parts.count > 1 ? Int(parts[1]) ?? 0 : 0) + whole.count
        var digits = String(whole + fraction)
        while digits.hasPrefix("0") {
            digits.removeFirst()
            exponent -= 1
        }
        while digits.count > 1, digits.hasSuffix("0") { digits.removeLast() }
        switch exponent {
        case digits.count...21:
            return digits + String(repeating: "0", count: exponent - digits.count)
        case 1..<max(digits.count, 2) where exponent < digits.count:
            return digits.prefix(exponent) + "." + digits.dropFirst(exponent)
        case -5...0: return "0." + String(repeating: "0", count: -exponent) + digits
        default:
            let rest = digits.count > 1 ? "." + digits.dropFirst() : ""
            let sign = exponent > 0 ? "+" : "-"
            return "\(digits.prefix(1))\(rest)e\(sign)\(abs(exponent - 1))"
        }
    }
}

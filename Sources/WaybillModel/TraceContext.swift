/// What ties the log lines of one request together, and to those of whoever asked: W3C Trace Context,
/// level 1, the header `traceparent`.
package struct TraceContext: Sendable, Equatable {
    /// 16 bytes in lower-case hexadecimal, never all zero.
    package let traceID: String
    /// Of this request alone: 8 bytes in lower-case hexadecimal, never all zero.
    package let spanID: String
    /// Of the caller's span; nil if no valid one was sent.
    package let parentID: String?

    /// Joins the trace that a header names, with a span of its own; begins a new trace for a missing
    /// or invalid header, or for more than one.
    package init(headers: [String]) {
        var generator = SystemRandomNumberGenerator()
        self.init(headers: headers, using: &generator)
    }

    package init(headers: [String], using generator: inout some RandomNumberGenerator) {
        let parent = headers.count == 1 ? headers.first.flatMap { Self.parse($0) } : nil
        let high = generator.next() | 1
        traceID = parent?.trace ?? Self.hexadecimal(high) + Self.hexadecimal(generator.next())
        spanID = Self.hexadecimal(generator.next() | 1)
        parentID = parent?.span
    }

    /// Reads `00-<32 digits>-<16 digits>-<2 digits>`; a later version may have more after it.
    static func parse(_ header: String) -> (trace: String, span: String)? {
        let bytes = Array(header.utf8)
        guard bytes.count >= 55, bytes[2] == dash, bytes[35] == dash, bytes[52] == dash,
            let version = digits(bytes[0..<2]), let trace = digits(bytes[3..<35]),
            let span = digits(bytes[36..<52]), digits(bytes[53..<55]) != nil,
            version != "ff", trace.contains(where: { $0 != "0" }),
            span.contains(where: { $0 != "0" })
        else { return nil }
        guard bytes.count == 55 || (version != "00" && bytes[55] == dash) else { return nil }
        return (trace, span)
    }

    private static let dash = UInt8(ascii: "-")

    /// The text of lower-case hexadecimal digits; nil if there is anything else.
    private static func digits(_ bytes: ArraySlice<UInt8>) -> String? {
        let isValid = bytes.allSatisfy { byte in
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
        }
        return isValid ? String(decoding: bytes, as: UTF8.self) : nil
    }

    private static func hexadecimal(_ value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

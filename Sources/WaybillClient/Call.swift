internal import NIOHTTP1

/// One HTTP call, before it is sent.
struct Call {
    let method: HTTPMethod
    /// Path and query, from the slash after the host on.
    let target: String
    var headers: [(String, String)] = []
    var body: [UInt8]?
    /// For the whole call.
    var timeout: Duration = .seconds(30)

    static func get(_ target: String, timeout: Duration = .seconds(30)) -> Call {
        Call(method: .GET, target: target, timeout: timeout)
    }

    static func post(_ target: String) -> Call {
        Call(method: .POST, target: target)
    }
}

/// Percent-encoding of one query value or path segment (RFC 3986, section 2.3).
enum PercentEncoding {
    static func encode(_ text: String) -> String {
        var output = ""
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."),
                UInt8(ascii: "_"), UInt8(ascii: "~"):
                output.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                let digits = String(byte, radix: 16, uppercase: true)
                output += "%" + (digits.count == 1 ? "0" : "") + digits
            }
        }
        return output
    }
}

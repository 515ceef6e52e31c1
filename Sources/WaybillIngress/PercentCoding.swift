/// Percent-encoding of request targets (RFC 3986, sections 2.1 and 6.2.2.2).
enum PercentCoding {
    /// Whether each percent sign begins an encoded byte.
    static func isWellFormed(_ text: some StringProtocol) -> Bool {
        !text.utf8.contains(percent) || decoded(text.utf8, only: { _ in true }) != nil
    }

    /// A path with its unreserved characters as they are. Others stay encoded, so that `%2F` makes no
    /// segment; nil when a percent sign begins no encoded byte.
    static func normalized(path: String) -> String? {
        guard path.utf8.contains(percent) else { return path }
        return decoded(path.utf8, only: isUnreserved).map { String(decoding: $0, as: UTF8.self) }
    }

    /// The text of a query's name or value; nil when it is malformed or not UTF-8.
    static func decoded(_ text: Substring) -> String? {
        guard text.utf8.contains(percent) else { return String(text) }
        return decoded(text.utf8, only: { _ in true })
            .flatMap { String(validating: $0, as: UTF8.self) }
    }

    private static let percent = UInt8(ascii: "%")

    private static func decoded(
        _ bytes: some Collection<UInt8>, only isWanted: (UInt8) -> Bool
    ) -> [UInt8]? {
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        var rest = bytes[...]
        while let byte = rest.popFirst() {
            guard byte == percent else {
                result.append(byte)
                continue
            }
            guard let first = rest.popFirst(), let second = rest.popFirst(),
                let high = digit(first), let low = digit(second)
            else { return nil }
            let encoded = high << 4 | low
            result += isWanted(encoded) ? [encoded] : [percent, first, second]
        }
        return result
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    private static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "-._~".utf8.contains(byte)
        }
    }
}

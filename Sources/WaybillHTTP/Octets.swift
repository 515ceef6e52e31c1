/// The character classes of RFC 9110 and RFC 3986, one look at a byte each.
enum Octets {
    static let lineFeed = UInt8(ascii: "\n")
    static let carriageReturn = UInt8(ascii: "\r")
    static let space = UInt8(ascii: " ")
    static let tab = UInt8(ascii: "\t")
    static let colon = UInt8(ascii: ":")

    /// `tchar`: what methods and field names consist of.
    static func isToken(_ byte: UInt8) -> Bool {
        isIn(byte, 0x3ff_6cfa_0000_0000, 0x57ff_ffff_c7ff_fffe)
    }

    /// What a host with a port consists of.
    static func isHost(_ byte: UInt8) -> Bool {
        isIn(byte, 0x2fff_6ff2_0000_0000, 0x47ff_fffe_afff_fffe)
    }

    /// What a field's value consists of, white space included.
    static func isValue(_ byte: UInt8) -> Bool {
        (byte >= space && byte != 0x7f) || byte == tab
    }

    /// Visible ASCII without `#`: what a request's target consists of.
    static func isTarget(_ byte: UInt8) -> Bool {
        byte > space && byte < 0x7f && byte != UInt8(ascii: "#")
    }

    static func isBlank(_ byte: UInt8) -> Bool { byte == space || byte == tab }

    static func digit(_ byte: UInt8) -> Int? {
        let value = Int(byte) - 0x30
        return (0...9).contains(value) ? value : nil
    }

    static func hexadecimalDigit(_ byte: UInt8) -> Int? {
        if let digit = digit(byte) { return digit }
        let value = Int(byte | 0x20) - 0x61
        return (0...5).contains(value) ? value + 10 : nil
    }

    /// Whether the bytes are this text, which is in lower case, whatever the case of theirs.
    static func equal(_ bytes: Slice<UnsafeRawBufferPointer>, _ lowercased: StaticString) -> Bool {
        guard bytes.count == lowercased.utf8CodeUnitCount else { return false }
        return lowercased.withUTF8Buffer { wanted in
            zip(bytes, wanted).allSatisfy { lower($0) == $1 }
        }
    }

    static func lower(_ byte: UInt8) -> UInt8 {
        byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte
    }

    private static func isIn(_ byte: UInt8, _ low: UInt64, _ high: UInt64) -> Bool {
        guard byte < 128 else { return false }
        return (byte < 64 ? low >> UInt64(byte) : high >> UInt64(byte & 63)) & 1 != 0
    }
}

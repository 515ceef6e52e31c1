/// What the readers of headers and transactions ask of a scanned line.
extension LineScanner {
    func hasKey(_ member: Member, _ name: StaticString) -> Bool {
        let bytes = unsafe canonical.bytes(member.key.lowerBound + 5..<member.key.upperBound)
        guard bytes.count == name.utf8CodeUnitCount, let base = bytes.baseAddress else {
            return false
        }
        return unsafe compare(base, name.utf8Start, bytes.count) == 0
    }

    /// The content of a string, unescaped; nil for another kind of value. Good until the next scan.
    func string(_ member: Member?) -> UnsafeRawBufferPointer? {
        guard let member, member.kind == .string else { return nil }
        return unsafe canonical.bytes(member.value.lowerBound + 5..<member.value.upperBound)
    }

    /// A number that is whole and fits; nil for another value.
    func integer(_ member: Member?) -> Int64? {
        guard let member, member.kind == .number else { return nil }
        let start = member.value.lowerBound + 1
        let sign = canonical.byte(at: start)
        guard sign != UInt8(ascii: "0") else { return 0 }
        let power = Int64(bitPattern: canonical.word(at: start + 1))
        guard (0...18).contains(power) else { return nil }
        var value: Int64 = 0
        let digits = start + 13..<member.value.upperBound
        guard digits.count <= 19 else { return nil }
        for index in 0..<digits.count + Int(power) {
            let digit =
                index < digits.count
                ? Int64(canonical.byte(at: digits.lowerBound + index) - UInt8(ascii: "0")) : 0
            let (shifted, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = shifted.addingReportingOverflow(digit)
            guard !overflow, !carry else { return nil }
            value = sum
        }
        return sign == UInt8(ascii: "-") ? -value : value
    }
}

/// A UUID as two words, most significant first.
struct UUIDWords: Equatable {
    let high: UInt64
    let low: UInt64

    /// Reads 8-4-4-4-12 hexadecimal digits in either case.
    init?(_ text: UnsafeRawBufferPointer) {
        guard text.count == 36, unsafe text[8] == UInt8(ascii: "-"),
            unsafe text[13] == UInt8(ascii: "-"), unsafe text[18] == UInt8(ascii: "-"),
            unsafe text[23] == UInt8(ascii: "-")
        else { return nil }
        // No branch a digit: whether one is a letter is chance.
        var fault: UInt8 = 0
        func digits(_ range: Range<Int>) -> UInt64 {
            var word: UInt64 = 0
            for index in range {
                let byte = unsafe text[index]
                let isNoDigit: UInt8 = byte &- 0x30 > 9 ? 1 : 0
                let isNoLetter: UInt8 = (byte | 0x20) &- 0x61 > 5 ? 1 : 0
                fault |= isNoDigit & isNoLetter
                word = word << 4 | UInt64((byte & 15) &+ 9 &* (byte >> 6))
            }
            return word
        }
        high = digits(0..<8) << 32 | digits(9..<13) << 16 | digits(14..<18)
        low = digits(19..<23) << 48 | digits(24..<36)
        guard fault == 0 else { return nil }
    }

    /// 16 bytes in network order.
    var bytes: [UInt8] {
        [high, low].flatMap { word in
            (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(56 - 8 * $0)) }
        }
    }
}

/// A text's length in characters (Unicode scalars), and whether one of them is a control.
///
/// The text must be UTF-8.
func measure(_ text: UnsafeRawBufferPointer) -> (characters: Int, hasControl: Bool) {
    var characters = 0
    var hasControl = false
    var last: UInt8 = 0
    for index in 0..<text.count {
        let byte = unsafe text[index]
        if byte & 0xc0 != 0x80 { characters += 1 }
        if byte < 0x20 || byte == 0x7f || (last == 0xc2 && byte < 0xa0) { hasControl = true }
        last = byte
    }
    return (characters, hasControl)
}

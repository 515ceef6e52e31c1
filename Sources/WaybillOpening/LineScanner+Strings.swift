extension LineScanner {
    /// Scans a string from behind its opening quote, through its closing one.
    mutating func scanString() throws(LineFault) {
        canonical.append(UInt8(ascii: "s"))
        let lengthAt = canonical.count
        canonical.append(UInt32(0))
        var runStart = position
        while true {
            skipPlain()
            guard position < end else { throw LineFault(.json, "a string is not closed") }
            let next = byte(at: position)
            if next >= 0x80 {
                try skipSequence(next)
            } else if next == UInt8(ascii: "\"") {
                appendText(runStart..<position)
                position += 1
                canonical.store(UInt32(canonical.count - lengthAt - 4), at: lengthAt)
                return
            } else if next == UInt8(ascii: "\\") {
                appendText(runStart..<position)
                position += 1
                try scanEscape()
                runStart = position
            } else {
                throw LineFault(.json, "a string has a control character")
            }
        }
    }

    /// Skips ASCII that stands for itself, eight bytes at a time.
    private mutating func skipPlain() {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let highs: UInt64 = 0x8080_8080_8080_8080
        var next = position
        while next + 8 <= end {
            let word = word(at: next)
            let quote = word ^ (ones &* 0x22)
            let backslash = word ^ (ones &* 0x5c)
            let special =
                word | (quote &- ones) & ~quote | (backslash &- ones) & ~backslash
                | (word &- ones &* 0x20) & ~word
            guard special & highs == 0 else { break }
            next += 8
        }
        while next < end {
            let one = byte(at: next)
            if one < 0x20 || one >= 0x80 || one == 0x22 || one == 0x5c { break }
            next += 1
        }
        position = next
    }

    /// Skips one well-formed UTF-8 sequence (Unicode, table 3-7) that begins with `lead`.
    private mutating func skipSequence(_ lead: UInt8) throws(LineFault) {
        let fault = LineFault(.utf8, "a string is not UTF-8")
        let second: ClosedRange<UInt8>
        let count: Int
        switch lead {
        case 0xc2...0xdf: (second, count) = (0x80...0xbf, 2)
        case 0xe0: (second, count) = (0xa0...0xbf, 3)
        case 0xe1...0xec, 0xee...0xef: (second, count) = (0x80...0xbf, 3)
        case 0xed: (second, count) = (0x80...0x9f, 3)
        case 0xf0: (second, count) = (0x90...0xbf, 4)
        case 0xf1...0xf3: (second, count) = (0x80...0xbf, 4)
        case 0xf4: (second, count) = (0x80...0x8f, 4)
        default: throw fault
        }
        guard end - position >= count, second.contains(byte(at: position + 1)) else { throw fault }
        for index in 2..<max(2, count) where byte(at: position + index) & 0xc0 != 0x80 {
            throw fault
        }
        position += count
    }

    /// Scans an escape from behind its backslash.
    private mutating func scanEscape() throws(LineFault) {
        guard position < end else { throw LineFault(.json, "a string is not closed") }
        let letter = byte(at: position)
        position += 1
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): canonical.append(letter)
        case UInt8(ascii: "b"): canonical.append(UInt8(0x08))
        case UInt8(ascii: "f"): canonical.append(UInt8(0x0c))
        case UInt8(ascii: "n"): canonical.append(UInt8(0x0a))
        case UInt8(ascii: "r"): canonical.append(UInt8(0x0d))
        case UInt8(ascii: "t"): canonical.append(UInt8(0x09))
        case UInt8(ascii: "u"): try scanCodeUnit()
        default: throw LineFault(.json, "a string has an unknown escape")
        }
    }

    private mutating func scanCodeUnit() throws(LineFault) {
        let unit = try hexadecimal()
        switch unit {
        case 0:
            note(LineFault(.unstorable, "a string has the character U+0000"))
            appendScalar(unit)
        case 0xd800...0xdbff:
            if end - position >= 6, byte(at: position) == UInt8(ascii: "\\"),
                byte(at: position + 1) == UInt8(ascii: "u")
            {
                let before = position
                position += 2
                let low = try hexadecimal()
                if (0xdc00...0xdfff).contains(low) {
                    appendScalar(0x10000 + (unit - 0xd800) << 10 + (low - 0xdc00))
                    return
                }
                position = before
            }
            note(LineFault(.unstorable, "a string has half a surrogate pair"))
            appendScalar(unit)
        case 0xdc00...0xdfff:
            note(LineFault(.unstorable, "a string has half a surrogate pair"))
            appendScalar(unit)
        default: appendScalar(unit)
        }
    }

    private mutating func hexadecimal() throws(LineFault) -> UInt32 {
        guard end - position >= 4 else { throw LineFault(.json, "an escape is cut off") }
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = hexadecimalValue(byte(at: position)) else {
                throw LineFault(.json, "an escape has four hexadecimal digits")
            }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }

    /// Appends UTF-8, or three bytes in its manner for half a surrogate pair: such a line is
    /// rejected, but its keys are compared first.
    private mutating func appendScalar(_ value: UInt32) {
        func tail(_ shift: UInt32) -> UInt8 { UInt8(0x80 | value >> shift & 0x3f) }
        switch value {
        case ..<0x80: canonical.append(UInt8(value))
        case ..<0x800:
            canonical.append(UInt8(0xc0 | value >> 6))
            canonical.append(tail(0))
        case ..<0x10000:
            canonical.append(UInt8(0xe0 | value >> 12))
            canonical.append(tail(6))
            canonical.append(tail(0))
        default:
            canonical.append(UInt8(0xf0 | value >> 18))
            canonical.append(tail(12))
            canonical.append(tail(6))
            canonical.append(tail(0))
        }
    }
}

func hexadecimalValue(_ digit: UInt8) -> UInt8? {
    switch digit {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
    default: nil
    }
}

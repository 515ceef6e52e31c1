extension LineScanner {
    /// PostgreSQL's `numeric` keeps up to this many digits behind the point.
    private static let scaleMax = 16_383
    /// Beyond, the exponent is not counted: no such number is in range but zero.
    private static let exponentMax = 1_000_000_000

    /// Scans a number and writes it as an exact decimal.
    mutating func scanNumber() throws(LineFault) {
        let start = position
        let isNegative = byte(at: start) == UInt8(ascii: "-")
        if isNegative { position += 1 }
        let whole = try scanDigits("a value is not JSON")
        guard whole.count == 1 || byte(at: whole.lowerBound) != UInt8(ascii: "0") else {
            throw LineFault(.json, "a number begins with a zero")
        }
        var fraction = position..<position
        if position < end, byte(at: position) == UInt8(ascii: ".") {
            position += 1
            fraction = try scanDigits("a number has no digit behind the point")
        }
        let exponent = try scanExponent()
        let scale = fraction.count - exponent
        if scale > Self.scaleMax || exponent >= Self.exponentMax {
            note(LineFault(.unstorable, "a number has too many digits"))
        }
        append(isNegative: isNegative, whole: whole, fraction: fraction, scale: scale, from: start)
    }

    private mutating func scanDigits(_ fault: StaticString) throws(LineFault) -> Range<Int> {
        let start = position
        while position < end, isDigit(byte(at: position)) { position += 1 }
        guard position > start else { throw LineFault(.json, fault) }
        return start..<position
    }

    private mutating func scanExponent() throws(LineFault) -> Int {
        guard position < end, byte(at: position) | 0x20 == UInt8(ascii: "e") else { return 0 }
        position += 1
        guard position < end else { throw LineFault(.json, "a number has no exponent") }
        let sign = byte(at: position)
        if sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") { position += 1 }
        var value = 0
        for offset in try scanDigits("a number has no exponent") {
            value = min(Self.exponentMax, 10 * value + Int(byte(at: offset) - UInt8(ascii: "0")))
        }
        return sign == UInt8(ascii: "-") ? -value : value
    }

    private mutating func append(
        isNegative: Bool, whole: Range<Int>, fraction: Range<Int>, scale: Int, from start: Int
    ) {
        canonical.append(UInt8(ascii: "d"))
        let signAt = canonical.count
        canonical.append(UInt8(ascii: isNegative ? "-" : "+"))
        let powerAt = canonical.count
        canonical.append(UInt64(0))
        canonical.append(UInt32(0))
        let digitsAt = canonical.count
        var wholeDigits = whole
        var fractionDigits = fraction
        if byte(at: whole.lowerBound) == UInt8(ascii: "0") {
            wholeDigits = whole.upperBound..<whole.upperBound
            while let first = fractionDigits.first, byte(at: first) == UInt8(ascii: "0") {
                fractionDigits.removeFirst()
            }
        }
        appendText(wholeDigits)
        appendText(fractionDigits)
        var count = canonical.count
        while count > digitsAt, canonical.byte(at: count - 1) == UInt8(ascii: "0") { count -= 1 }
        let power = canonical.count - count - scale
        guard count > digitsAt else {
            canonical.truncate(to: signAt)
            canonical.append(UInt8(ascii: "0"))
            return
        }
        canonical.truncate(to: count)
        let bits = UInt64(bitPattern: Int64(power))
        canonical.store(UInt32(truncatingIfNeeded: bits >> 32), at: powerAt)
        canonical.store(UInt32(truncatingIfNeeded: bits), at: powerAt + 4)
        canonical.store(UInt32(count - digitsAt), at: powerAt + 8)
        checkRange(leadingPower: power + count - digitsAt - 1, from: start)
    }

    /// Notes a number that a double cannot hold, because it becomes infinite or zero there.
    private mutating func checkRange(leadingPower: Int, from start: Int) {
        guard leadingPower >= 308 || leadingPower <= -323 else { return }
        var isInRange = false
        if (-324...308).contains(leadingPower) {
            let text = (start..<position).map { byte(at: $0) }
            let value = Double(String(decoding: text, as: UTF8.self))
            isInRange = value.map { $0.isFinite && $0 != 0 } ?? false
        }
        if !isInRange { note(LineFault(.unstorable, "a number is beyond a double's range")) }
    }
}

func isDigit(_ byte: UInt8) -> Bool {
    byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9")
}

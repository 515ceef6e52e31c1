/// An RFC 3339 date-time with its offset.
struct DateTime: Equatable {
    /// Since 1970 in UTC; finer digits are cut off.
    let microseconds: Int64
    /// East of UTC.
    let offsetMinutes: Int

    /// Years 0001 to 9999, as written and in UTC. A leap second, which only the last minute of a month
    /// in UTC can have (RFC 3339, section 5.7), counts as the first second of the next one.
    init?(_ text: UnsafeRawBufferPointer) {
        unsafe self.init(Fields(text: text))
    }

    private init?(_ fields: consuming Fields) {
        var fields = unsafe fields
        guard let year = unsafe fields.number(4), unsafe fields.skip("-"),
            let month = unsafe fields.number(2), unsafe fields.skip("-"),
            let day = unsafe fields.number(2),
            unsafe fields.skip("T") || fields.skip("t") || fields.skip(" "),
            let hour = unsafe fields.number(2), unsafe fields.skip(":"),
            let minute = unsafe fields.number(2), unsafe fields.skip(":"),
            let second = unsafe fields.number(2), let fraction = unsafe fields.fraction(),
            let offset = unsafe fields.offset(), unsafe fields.isAtEnd,
            (1...9999).contains(year), (1...12).contains(month),
            (1...Self.days(inMonth: month, year: year)).contains(day),
            hour < 24, minute < 60, second <= 60
        else { return nil }
        let days = Self.daysSince1970(year: year, month: month, day: day)
        let seconds = days * 86_400 + hour * 3600 + (minute - offset) * 60 + second
        guard (Self.firstSecond...Self.lastSecond).contains(seconds) else { return nil }
        if second == 60 {
            // The month that begins then in UTC is this one or the next, whatever the offset.
            let first = days - day + 1
            let next = first + Self.days(inMonth: month, year: year)
            guard seconds == first * 86_400 || seconds == next * 86_400 else { return nil }
        }
        microseconds = Int64(seconds) * 1_000_000 + Int64(fraction)
        offsetMinutes = offset
    }

    private static let firstSecond = -62_135_596_800
    private static let lastSecond = 253_402_300_799

    private static func days(inMonth month: Int, year: Int) -> Int {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    /// Of the proleptic Gregorian calendar; the year begins in March, so that leap days are last.
    private static func daysSince1970(year: Int, month: Int, day: Int) -> Int {
        let shifted = month > 2 ? year : year - 1
        let monthFromMarch = (month + 9) % 12
        let dayOfYear = (153 * monthFromMarch + 2) / 5 + day - 1
        return 365 * shifted + shifted / 4 - shifted / 100 + shifted / 400 + dayOfYear - 719_468
    }
}

/// Reads fixed-width fields one after the other.
@unsafe private struct Fields {
    let text: UnsafeRawBufferPointer
    var position = 0

    init(text: UnsafeRawBufferPointer) {
        unsafe self.text = unsafe text
    }

    var isAtEnd: Bool { unsafe position == text.count }

    mutating func number(_ digits: Int) -> Int? {
        guard unsafe position + digits <= text.count else { return nil }
        var value = 0
        for index in unsafe position..<position + digits {
            let byte = unsafe text[index]
            guard isDigit(byte) else { return nil }
            value = 10 * value + Int(byte - UInt8(ascii: "0"))
        }
        unsafe position += digits
        return value
    }

    mutating func skip(_ character: Unicode.Scalar) -> Bool {
        guard unsafe position < text.count, unsafe text[position] == UInt8(ascii: character) else {
            return false
        }
        unsafe position += 1
        return true
    }

    /// Microseconds of an optional fraction; nil when a point has no digit after it.
    mutating func fraction() -> Int? {
        guard unsafe skip(".") else { return 0 }
        var value = 0
        var digits = 0
        while let digit = unsafe number(1) {
            if digits < 6 { value = 10 * value + digit }
            digits += 1
        }
        for _ in min(digits, 6)..<6 { value *= 10 }
        return digits > 0 ? value : nil
    }

    /// Minutes east of UTC; nil when there is no offset.
    mutating func offset() -> Int? {
        if unsafe skip("Z") || skip("z") { return 0 }
        let isWest = unsafe skip("-")
        guard unsafe isWest || skip("+"), let hours = unsafe number(2), unsafe skip(":"),
            let minutes = unsafe number(2), hours < 24, minutes < 60
        else { return nil }
        return (isWest ? -1 : 1) * (60 * hours + minutes)
    }
}

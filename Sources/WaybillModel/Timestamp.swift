#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// A point in time in whole microseconds since 1970-01-01T00:00:00Z, as PostgreSQL keeps it.
package struct Timestamp: Hashable, Sendable, Comparable {
    package let microseconds: Int64

    package init(microseconds: Int64) {
        self.microseconds = microseconds
    }

    /// Now, on the wall clock.
    package static var now: Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000)
    }

    package static func < (left: Timestamp, right: Timestamp) -> Bool {
        left.microseconds < right.microseconds
    }

    package func advanced(by duration: Duration) -> Timestamp {
        let parts = duration.components
        return Timestamp(
            microseconds: microseconds + parts.seconds * 1_000_000
                + parts.attoseconds / 1_000_000_000_000)
    }

    /// Whole seconds from `earlier` to this point, with a fraction.
    package func seconds(since earlier: Timestamp) -> Double {
        Double(microseconds - earlier.microseconds) / 1_000_000
    }
}

extension Timestamp: CustomStringConvertible {
    /// RFC 3339 in UTC with six decimals and `Z`.
    package var description: String {
        let dayLength: Int64 = 86_400_000_000
        var days = microseconds / dayLength
        var rest = microseconds % dayLength
        if rest < 0 {
            rest += dayLength
            days -= 1
        }
        let date = CivilDate(daysSince1970: days)
        let seconds = rest / 1_000_000
        guard (0...9999).contains(date.year) else {
            return Self.padded(date.year, 4)
                + Self.text(date, seconds, rest % 1_000_000).dropFirst(4)
        }
        return Self.text(date, seconds, rest % 1_000_000)
    }

    /// Of a year with four digits; of another one the last four.
    private static func text(_ date: CivilDate, _ seconds: Int64, _ microseconds: Int64) -> String {
        String(unsafeUninitializedCapacity: 27) { buffer in
            var position = 0
            func append(_ value: Int64, _ width: Int, then mark: Unicode.Scalar) {
                var rest = value.magnitude
                for place in stride(from: position + width - 1, through: position, by: -1) {
                    buffer[place] = UInt8(ascii: "0") + UInt8(rest % 10)
                    rest /= 10
                }
                position += width
                buffer[position] = UInt8(ascii: mark)
                position += 1
            }
            append(date.year, 4, then: "-")
            append(date.month, 2, then: "-")
            append(date.day, 2, then: "T")
            append(seconds / 3600, 2, then: ":")
            append(seconds / 60 % 60, 2, then: ":")
            append(seconds % 60, 2, then: ".")
            append(microseconds, 6, then: "Z")
            return 27
        }
    }

    private static func padded(_ value: Int64, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}

extension Timestamp {
    /// Reads an RFC 3339 date-time with offset; decimals beyond microseconds are cut off.
    ///
    /// Years 0001 to 9999, as written and in UTC. A leap second, which only the last minute of a month
    /// in UTC can have (RFC 3339, section 5.7), counts as the first second of the next one.
    package init?(rfc3339 text: some StringProtocol) {
        var fields = DigitReader(Array(text.utf8))
        guard let year = fields.number(4), fields.skip("-"), let month = fields.number(2),
            fields.skip("-"), let day = fields.number(2), fields.skipSeparator(),
            let hour = fields.number(2), fields.skip(":"), let minute = fields.number(2),
            fields.skip(":"), let second = fields.number(2),
            let fraction = fields.fraction(), let offset = fields.offset(), fields.isAtEnd,
            (1...9999).contains(year), (1...12).contains(month),
            (1...CivilDate.days(inMonth: month, year: year)).contains(day),
            hour < 24, minute < 60, second <= 60
        else { return nil }
        let days = CivilDate(year: year, month: month, day: day).daysSince1970
        let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset * 60
        guard Self.secondsWritten.contains(seconds),
            second < 60
                || seconds % 86_400 == 0 && CivilDate(daysSince1970: seconds / 86_400).day == 1
        else { return nil }
        self.init(microseconds: seconds * 1_000_000 + fraction)
    }
}

extension Timestamp {
    /// From the year 0001 to 9999.
    private static let secondsWritten: ClosedRange<Int64> = -62_135_596_800...253_402_300_799
}

extension Timestamp: Codable {
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let time = Timestamp(rfc3339: try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(
                in: container, debugDescription: "not an RFC 3339 time with offset")
        }
        self = time
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// A day of the proleptic Gregorian calendar.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
struct CivilDate {
    let year: Int64
    let month: Int64
    let day: Int64

    init(year: Int64, month: Int64, day: Int64) {
        self.year = year
        self.month = month
        self.day = day
    }

    init(daysSince1970 days: Int64) {
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra =
            (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * marchMonth + 2) / 5 + 1
        month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    }

    var daysSince1970: Int64 {
        let shiftedYear = month <= 2 ? year - 1 : year
        let era = (shiftedYear >= 0 ? shiftedYear : shiftedYear - 399) / 400
        let yearOfEra = shiftedYear - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }

    static func days(inMonth month: Int64, year: Int64) -> Int64 {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }
}

private struct DigitReader {
    let bytes: [UInt8]
    var position = 0

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    var isAtEnd: Bool { position == bytes.count }

    mutating func number(_ digits: Int) -> Int64? {
        guard position + digits <= bytes.count else { return nil }
        var value: Int64 = 0
        for byte in bytes[position..<position + digits] {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
            value = value * 10 + Int64(byte - UInt8(ascii: "0"))
        }
        position += digits
        return value
    }

    mutating func skip(_ character: Unicode.Scalar) -> Bool {
        guard position < bytes.count, bytes[position] == UInt8(ascii: character) else {
            return false
        }
        position += 1
        return true
    }

    mutating func skipSeparator() -> Bool {
        skip("T") || skip("t") || skip(" ")
    }

    /// Microseconds of an optional fraction; nil when a point has no digit after it.
    mutating func fraction() -> Int64? {
        guard skip(".") else { return 0 }
        var value: Int64 = 0
        var digits = 0
        while let digit = number(1) {
            if digits < 6 { value = value * 10 + digit }
            digits += 1
        }
        guard digits > 0 else { return nil }
        for _ in 0..<max(0, 6 - digits) { value *= 10 }
        return value
    }

    /// Minutes east of UTC; nil when there is no offset.
    mutating func offset() -> Int64? {
        if skip("Z") || skip("z") { return 0 }
        let isWest = skip("-")
        guard isWest || skip("+"), let hours = number(2), skip(":"), let minutes = number(2),
            hours < 24, minutes < 60
        else { return nil }
        return (isWest ? -1 : 1) * (hours * 60 + minutes)
    }
}

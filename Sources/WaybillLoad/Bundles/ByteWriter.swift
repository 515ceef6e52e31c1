internal import WaybillModel

/// Plain memory that grows at its end: what lines are written into, millions a minute.
///
/// Not an array, since an array asks at each append whether it is shared.
struct ByteWriter: ~Copyable {
    private var base: UnsafeMutablePointer<UInt8>
    private(set) var count = 0
    private var capacity: Int
    /// What may be written behind the end without asking, so that short texts are copied in one piece.
    private static let slack = 32

    init(capacity: Int = 64 << 10) {
        self.capacity = capacity
        base = .allocate(capacity: capacity + Self.slack)
    }

    deinit {
        base.deallocate()
    }

    mutating func removeAll() {
        count = 0
    }

    /// What was written from `start` on.
    func bytes(from start: Int = 0) -> [UInt8] {
        precondition(start >= 0 && start <= count)
        return Array(UnsafeBufferPointer(start: base + start, count: count - start))
    }

    @inline(__always)
    mutating func append(_ byte: UInt8) {
        reserve(1)
        base[count] = byte
        count += 1
    }

    @inline(__always)
    mutating func append(_ text: StaticString) {
        append(UnsafeRawPointer(text.utf8Start), count: text.utf8CodeUnitCount)
    }

    mutating func append(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { bytes in
            guard let start = bytes.baseAddress else { return }
            append(start, count: bytes.count)
        }
    }

    @inline(__always)
    mutating func append(_ bytes: UnsafeRawPointer, count added: Int) {
        reserve(added)
        UnsafeMutableRawPointer(base + count).copyMemory(from: bytes, byteCount: added)
        count += added
    }

    /// - Parameters:
    ///   - word: at least 16 readable bytes, the first of which are wanted.
    ///   - added: at most 16.
    @inline(__always)
    mutating func append(word: UnsafeRawPointer, count added: Int) {
        reserve(added)
        let target = UnsafeMutableRawPointer(base + count)
        target.storeBytes(of: word.loadUnaligned(as: UInt64.self), as: UInt64.self)
        target.storeBytes(
            of: word.loadUnaligned(fromByteOffset: 8, as: UInt64.self), toByteOffset: 8,
            as: UInt64.self)
        count += added
    }

    /// A whole number in decimal digits.
    mutating func append(decimal value: UInt64) {
        reserve(20)
        var digits = 1
        var bound = value / 10
        while bound > 0 {
            digits += 1
            bound /= 10
        }
        write(value, digits: digits)
    }

    /// A number with leading zeros, at most 20 digits.
    mutating func append(_ value: Int, digits: Int) {
        reserve(20)
        write(UInt64(value), digits: digits)
    }

    /// A decimal with a fixed number of digits behind its point; zero has no sign.
    mutating func append(scaled value: Int, decimals: Int) {
        var scale = 1
        for _ in 0..<decimals { scale *= 10 }
        if value < 0 { append(UInt8(ascii: "-")) }
        let magnitude = abs(value)
        append(decimal: UInt64(magnitude / scale))
        append(UInt8(ascii: "."))
        append(magnitude % scale, digits: decimals)
    }

    /// A UUID in lower case with hyphens, without quotes.
    mutating func append(_ high: UInt64, _ low: UInt64, isUpperCase: Bool = false) {
        reserve(36)
        let letters = UInt8(ascii: isUpperCase ? "A" : "a") - 10
        var place = count
        for index in 0..<32 {
            if index == 8 || index == 12 || index == 16 || index == 20 {
                base[place] = UInt8(ascii: "-")
                place += 1
            }
            let word = index < 16 ? high : low
            let digit = UInt8(truncatingIfNeeded: word >> UInt64(60 - 4 * (index & 15)) & 15)
            base[place] = digit < 10 ? UInt8(ascii: "0") + digit : letters + digit
            place += 1
        }
        count = place
    }

    /// Standard base64 with padding.
    ///
    /// - Parameter escapesSlash: writes `\/`, which JSON takes for the same.
    mutating func append(base64 bytes: [UInt8], escapesSlash: Bool = false) {
        Self.base64Digits.withUnsafeBufferPointer { digits in
            var position = 0
            while position < bytes.count {
                let rest = bytes.count - position
                let bits =
                    UInt32(bytes[position]) << 16
                    | (rest > 1 ? UInt32(bytes[position + 1]) << 8 : 0)
                    | (rest > 2 ? UInt32(bytes[position + 2]) : 0)
                for digit in 0..<4 {
                    let isPadding = digit > rest
                    let text =
                        isPadding
                        ? UInt8(ascii: "=") : digits[Int(bits >> UInt32(18 - 6 * digit) & 63)]
                    if escapesSlash, text == UInt8(ascii: "/") { append(UInt8(ascii: "\\")) }
                    append(text)
                }
                position += 3
            }
        }
    }

    private static let base64Digits = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    /// The caller has reserved the room.
    private mutating func write(_ value: UInt64, digits: Int) {
        var rest = value
        var place = count + digits
        count = place
        for _ in 0..<digits {
            place -= 1
            base[place] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
    }

    @inline(__always)
    private mutating func reserve(_ added: Int) {
        if count + added > capacity { grow(to: count + added) }
    }

    private mutating func grow(to wanted: Int) {
        let larger = max(wanted, 2 * capacity)
        let moved = UnsafeMutablePointer<UInt8>.allocate(capacity: larger + Self.slack)
        moved.update(from: base, count: count)
        base.deallocate()
        base = moved
        capacity = larger
    }
}

extension ByteWriter {
    /// A UUID in lower case with hyphens, without quotes.
    mutating func append<Kind>(_ id: Identifier<Kind>, isUpperCase: Bool = false) {
        append(id.high, id.low, isUpperCase: isUpperCase)
    }
}

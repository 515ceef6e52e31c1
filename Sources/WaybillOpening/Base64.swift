/// Standard base64 with padding (RFC 4648, section 4), strict: no other character, no missing
/// padding, no bits left over that are not zero.
enum Base64 {
    static func decode(_ text: UnsafeRawBufferPointer) -> [UInt8]? {
        guard text.count % 4 == 0 else { return nil }
        guard text.count > 0 else { return [] }
        let padding =
            unsafe text[text.count - 1] != UInt8(ascii: "=")
            ? 0 : text[text.count - 2] != UInt8(ascii: "=") ? 1 : 2
        let digitCount = text.count - padding
        var isValid = true
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: text.count / 4 * 3) {
            target, count in
            var bits: UInt32 = 0
            var position = 0
            for index in 0..<digitCount {
                let value = unsafe values[Int(text[index])]
                guard value < 64 else {
                    isValid = false
                    break
                }
                bits = bits << 6 | UInt32(value)
                guard index & 3 == 3 else { continue }
                unsafe target[position] = UInt8(truncatingIfNeeded: bits >> 16)
                unsafe target[position + 1] = UInt8(truncatingIfNeeded: bits >> 8)
                unsafe target[position + 2] = UInt8(truncatingIfNeeded: bits)
                position += 3
                bits = 0
            }
            if padding == 1 {
                unsafe target[position] = UInt8(truncatingIfNeeded: bits >> 10)
                unsafe target[position + 1] = UInt8(truncatingIfNeeded: bits >> 2)
                isValid = isValid && bits & 3 == 0
            } else if padding == 2 {
                unsafe target[position] = UInt8(truncatingIfNeeded: bits >> 4)
                isValid = isValid && bits & 15 == 0
            }
            count = text.count / 4 * 3 - padding
            if !isValid { count = 0 }
        }
        return isValid ? bytes : nil
    }

    /// The value of each digit; 255 for what is none.
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: 255, count: 256)
        let digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        for (value, digit) in digits.utf8.enumerated() {
            values[Int(digit)] = UInt8(value)
        }
        return values
    }()
}

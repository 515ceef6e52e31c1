/// A UUID that says what it identifies. Compared and sorted as its 16 bytes in network order.
package struct Identifier<Kind>: Hashable, Sendable {
    /// The first eight bytes, most significant first.
    package let high: UInt64
    /// The last eight bytes, most significant first.
    package let low: UInt64

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// Reads 8-4-4-4-12 hexadecimal digits in either case; nil for any other text.
    package init?(_ text: some StringProtocol) {
        var text = String(text)
        let parsed = text.withUTF8 { Self.parse($0) }
        guard let parsed else { return nil }
        self = parsed
    }

    /// Reads 36 ASCII bytes: 8-4-4-4-12 hexadecimal digits in either case.
    package init?(ascii bytes: some Collection<UInt8>) {
        let parsed = bytes.withContiguousStorageIfAvailable { Self.parse($0) }
        guard let parsed = parsed ?? Array(bytes).withUnsafeBufferPointer({ Self.parse($0) }) else {
            return nil
        }
        self = parsed
    }

    /// Reads 16 bytes in network order; nil for any other number of bytes.
    package init?(bytes: [UInt8]) {
        self.init(bytes: bytes[...])
    }

    /// Reads 16 bytes in network order; nil for any other number of bytes.
    package init?(bytes: ArraySlice<UInt8>) {
        guard bytes.count == 16 else { return nil }
        self = bytes.withUnsafeBytes { raw in
            Self(
                high: UInt64(bigEndian: raw.loadUnaligned(as: UInt64.self)),
                low: UInt64(bigEndian: raw.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
        }
    }

    /// The 16 bytes in network order.
    package var bytes: [UInt8] {
        [UInt8](unsafeUninitializedCapacity: 16) { buffer, count in
            for index in 0..<8 {
                let shift = UInt64(56 - 8 * index)
                buffer[index] = UInt8(truncatingIfNeeded: high >> shift)
                buffer[index + 8] = UInt8(truncatingIfNeeded: low >> shift)
            }
            count = 16
        }
    }

    /// A random identifier, version 4 of RFC 9562.
    package static func random() -> Identifier {
        var generator = SystemRandomNumberGenerator()
        return random(using: &generator)
    }

    /// A random identifier, version 4 of RFC 9562, from the given source.
    package static func random(using generator: inout some RandomNumberGenerator) -> Identifier {
        let high = generator.next() & 0xffff_ffff_ffff_0fff | 0x4000
        let low = generator.next() & 0x3fff_ffff_ffff_ffff | 0x8000_0000_0000_0000
        return Identifier(high: high, low: low)
    }

    /// An identifier that sorts by time, version 7 of RFC 9562.
    package static func timeOrdered(
        at time: Timestamp = .now, using generator: inout some RandomNumberGenerator
    ) -> Identifier {
        let milliseconds = UInt64(clamping: time.microseconds / 1000)
        let high = milliseconds << 16 | 0x7000 | generator.next() & 0x0fff
        let low = generator.next() & 0x3fff_ffff_ffff_ffff | 0x8000_0000_0000_0000
        return Identifier(high: high, low: low)
    }

    private static func parse(_ text: UnsafeBufferPointer<UInt8>) -> Identifier? {
        guard text.count == 36 else { return nil }
        var high: UInt64 = 0
        var low: UInt64 = 0
        var digits = 0
        for (index, byte) in text.enumerated() {
            if index == 8 || index == 13 || index == 18 || index == 23 {
                guard byte == UInt8(ascii: "-") else { return nil }
                continue
            }
            guard let value = Hexadecimal.value(of: byte) else { return nil }
            if digits < 16 {
                high = high << 4 | UInt64(value)
            } else {
                low = low << 4 | UInt64(value)
            }
            digits += 1
        }
        return Identifier(high: high, low: low)
    }
}

extension Identifier: Comparable {
    package static func < (left: Identifier, right: Identifier) -> Bool {
        left.high == right.high ? left.low < right.low : left.high < right.high
    }
}

extension Identifier: CustomStringConvertible {
    /// Lower case with hyphens.
    package var description: String {
        String(unsafeUninitializedCapacity: 36) { buffer in
            var position = 0
            for (index, byte) in bytes.enumerated() {
                if index == 4 || index == 6 || index == 8 || index == 10 {
                    buffer[position] = UInt8(ascii: "-")
                    position += 1
                }
                buffer[position] = Hexadecimal.digit(byte >> 4)
                buffer[position + 1] = Hexadecimal.digit(byte & 15)
                position += 2
            }
            return 36
        }
    }
}

extension Identifier: Codable {
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let identifier = Identifier(text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a UUID")
        }
        self = identifier
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

package enum DeviceKind {}
package enum BundleKind {}
package enum TransactionKind {}
package enum RequestKind {}
package enum DeadLetterKind {}

package typealias DeviceID = Identifier<DeviceKind>
package typealias BundleID = Identifier<BundleKind>
package typealias TransactionID = Identifier<TransactionKind>
package typealias RequestID = Identifier<RequestKind>
package typealias DeadLetterID = Identifier<DeadLetterKind>

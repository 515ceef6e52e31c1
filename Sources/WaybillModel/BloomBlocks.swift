/// A Bloom filter in blocks of one bit in each of eight words, as Apache Parquet's format has it: says
/// of a hash that it was never put in, or that it may have been.
package struct BloomBlocks: Sendable, Equatable {
    private var blocks: [SIMD8<UInt32>]

    /// Odd numbers from Parquet's format: each chooses a bit of its word.
    private static let factors: SIMD8<UInt32> = [
        0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b,
        0x9efc_4947, 0x5c6b_fb31,
    ]

    /// Room for so many at 16 bits each: one of 800 others looks as if it were among them.
    package init(itemsMax: Int) {
        blocks = Array(repeating: .zero, count: max(1, (itemsMax + 15) / 16))
    }

    /// Reads what ``bytes`` gave; nil for a number of bytes that is no filter's.
    package init?(_ bytes: [UInt8]) {
        guard !bytes.isEmpty, bytes.count.isMultiple(of: 32) else { return nil }
        blocks = bytes.withUnsafeBytes { raw in
            (0..<raw.count / 32).map { block in
                var words = SIMD8<UInt32>.zero
                for word in 0..<8 {
                    words[word] = UInt32(
                        littleEndian: raw.loadUnaligned(
                            fromByteOffset: 32 * block + 4 * word, as: UInt32.self))
                }
                return words
            }
        }
    }

    /// 32 bytes a block, words little-endian.
    package var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(32 * blocks.count)
        for block in blocks {
            for word in 0..<8 {
                withUnsafeBytes(of: block[word].littleEndian) { bytes.append(contentsOf: $0) }
            }
        }
        return bytes
    }

    /// False only for a hash that was never put in.
    package func contains(_ hash: UInt64) -> Bool {
        let bits = Self.bits(hash)
        return blocks[block(hash)] & bits == bits
    }

    package mutating func insert(_ hash: UInt64) {
        blocks[block(hash)] |= Self.bits(hash)
    }

    private func block(_ hash: UInt64) -> Int {
        Int(truncatingIfNeeded: ((hash >> 32) * UInt64(blocks.count)) >> 32)
    }

    private static func bits(_ hash: UInt64) -> SIMD8<UInt32> {
        let places = (factors &* UInt32(truncatingIfNeeded: hash)) &>> 27
        return SIMD8(repeating: 1) &<< places
    }
}

/// A set of sequences that lie close together, one bit each.
struct SequenceBits: Sendable, Equatable {
    /// Of the first bit; a multiple of 64.
    private(set) var base: UInt64
    private var words: [UInt64]

    /// - Parameter first: no lower sequence comes into the set.
    init(from first: UInt64) {
        base = first & ~63
        words = []
    }

    /// Reads what ``bytes`` gave.
    init(base: UInt64, _ bytes: [UInt8]) {
        self.base = base
        words = bytes.withUnsafeBytes { raw in
            (0..<raw.count / 8).map { word in
                UInt64(
                    littleEndian: raw.loadUnaligned(fromByteOffset: 8 * word, as: UInt64.self))
            }
        }
    }

    /// Words from ``base`` on, little-endian.
    var bytes: [UInt8] {
        words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } }
    }

    func contains(_ sequence: UInt64) -> Bool {
        guard let (word, bit) = place(sequence), word < words.count else { return false }
        return words[word] & bit != 0
    }

    mutating func insert(_ sequence: UInt64) {
        guard let (word, bit) = place(sequence) else { return }
        if word >= words.count {
            words.append(contentsOf: repeatElement(0, count: word + 1 - words.count))
        }
        words[word] |= bit
    }

    mutating func remove(_ sequence: UInt64) {
        guard let (word, bit) = place(sequence), word < words.count else { return }
        words[word] &= ~bit
    }

    /// The lowest one.
    var first: UInt64? {
        guard let word = words.firstIndex(where: { $0 != 0 }) else { return nil }
        return base + UInt64(64 * word + words[word].trailingZeroBitCount)
    }

    /// In rising order.
    var all: [UInt64] {
        words.enumerated().flatMap { index, word in
            (0..<64).compactMap { bit in
                word & (1 << UInt64(bit)) != 0 ? base + UInt64(64 * index + bit) : nil
            }
        }
    }

    /// The highest one.
    var last: UInt64? {
        guard let word = words.lastIndex(where: { $0 != 0 }) else { return nil }
        return base + UInt64(64 * word + 63 - words[word].leadingZeroBitCount)
    }

    var count: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }

    /// How many lower ones there are.
    func rank(of sequence: UInt64) -> Int {
        guard let (word, bit) = place(sequence) else { return 0 }
        let whole = words.prefix(word).reduce(0) { $0 + $1.nonzeroBitCount }
        return whole + (word < words.count ? (words[word] & (bit - 1)).nonzeroBitCount : 0)
    }

    private func place(_ sequence: UInt64) -> (word: Int, bit: UInt64)? {
        guard sequence >= base else { return nil }
        let distance = sequence - base
        return (Int(distance / 64), 1 << (distance % 64))
    }
}

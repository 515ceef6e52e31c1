/// SplitMix64: small, fast, and the same numbers for the same seed on every machine.
package struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    package init(seed: UInt64) {
        state = seed
    }

    /// An independent stream: what is drawn for one purpose does not move another's numbers.
    package init(seed: UInt64, purpose: UInt64, number: UInt64 = 0) {
        var mixed = SeededGenerator(seed: seed ^ purpose &* 0xd6e8_feb8_6659_fd93)
        mixed.state ^= mixed.next() &+ number &* 0xa076_1d64_78bd_642f
        state = mixed.next()
    }

    package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }

    /// At least 0, less than 1.
    package mutating func unit() -> Double {
        Double(next() >> 11) * 0x1p-53
    }
}

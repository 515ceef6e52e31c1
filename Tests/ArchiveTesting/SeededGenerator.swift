/// SplitMix64 (Steele, Lea, Flood 2014): the same seed gives the same numbers.
package struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    package init(seed: UInt64) {
        state = seed
    }

    package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
        return value ^ value >> 31
    }

    /// One of `0..<count`; cheaper than the exact distribution, and good enough for damage.
    package mutating func below(_ count: Int) -> Int {
        Int(truncatingIfNeeded: next() % UInt64(count))
    }

    /// One of a list that is not empty.
    package mutating func pick<Value>(_ values: [Value]) -> Value {
        values[below(values.count)]
    }

    /// True once in `count` times.
    package mutating func once(in count: Int) -> Bool {
        below(count) == 0
    }
}

package import WaybillModel

/// Ids of one run, made from numbers, so that an id gives its numbers back.
///
/// An id's 122 free bits are: the run (32), the bundle's number (40), the index (20), and a check (30)
/// by which ids of other origin are told apart. Ordered ids (version 8 of RFC 9562) ascend with number
/// and index; scattered ones (version 4) went through a permutation under the run's key, and have no
/// order.
package struct LoadID: Sendable {
    /// Where a transaction stands.
    package struct Place: Hashable, Sendable {
        /// Of the bundle in the run, from 0.
        package var number: Int
        /// In the bundle, from 0.
        package var index: Int

        package init(number: Int, index: Int) {
            self.number = number
            self.index = index
        }
    }

    package let runID: UInt32
    package let order: LoadPlan.IdentifierOrder
    private let keys: (UInt64, UInt64, UInt64, UInt64, UInt64)

    /// Bundles of a run are numbered below this.
    package static let numbersMax = 1 << 40
    /// Transactions of a bundle are numbered below this.
    package static let indexesMax = 1 << 20 - 1
    private static let bundleIndex = UInt64(indexesMax)
    private static let halfMask: UInt64 = 1 << 61 - 1
    private static let checkMask: UInt64 = 1 << 30 - 1

    package init(runID: UInt32, order: LoadPlan.IdentifierOrder) {
        self.runID = runID
        self.order = order
        var generator = SeededGenerator(seed: UInt64(runID), purpose: DrawPurpose.identifiers)
        keys = (
            generator.next(), generator.next(), generator.next(), generator.next(),
            generator.next()
        )
    }

    package func bundle(_ number: Int) -> BundleID {
        let words = make(UInt64(number), Self.bundleIndex)
        return BundleID(high: words.high, low: words.low)
    }

    package func transaction(_ place: Place) -> TransactionID {
        let words = make(UInt64(place.number), UInt64(place.index))
        return TransactionID(high: words.high, low: words.low)
    }

    /// Nil for a bundle of another run or origin.
    package func number(of id: BundleID) -> Int? {
        guard let place = read(id.high, id.low), place.index == Self.indexesMax else { return nil }
        return place.number
    }

    /// Nil for a transaction of another run or origin.
    package func place(of id: TransactionID) -> Place? {
        guard let place = read(id.high, id.low), place.index < Self.indexesMax else { return nil }
        return place
    }

    private func make(_ number: UInt64, _ index: UInt64) -> (high: UInt64, low: UInt64) {
        var left = UInt64(runID) << 29 | number >> 11
        var right = (number & 0x7ff) << 50 | index << 30 | check(number, index)
        var version: UInt64 = 8
        if order == .scattered {
            version = 4
            for key in [keys.0, keys.1, keys.2, keys.3] {
                (left, right) = (right, left ^ Self.mixed(right ^ key) & Self.halfMask)
            }
        }
        return (
            (left >> 13) << 16 | version << 12 | left >> 1 & 0xfff,
            1 << 63 | (left & 1) << 61 | right
        )
    }

    private func read(_ high: UInt64, _ low: UInt64) -> Place? {
        let version: UInt64 = order == .scattered ? 4 : 8
        guard high >> 12 & 0xf == version, low >> 62 == 2 else { return nil }
        var left = (high >> 16) << 13 | (high & 0xfff) << 1 | low >> 61 & 1
        var right = low & Self.halfMask
        if order == .scattered {
            for key in [keys.3, keys.2, keys.1, keys.0] {
                (left, right) = (right ^ Self.mixed(left ^ key) & Self.halfMask, left)
            }
        }
        let number = (left & (1 << 29 - 1)) << 11 | right >> 50
        let index = right >> 30 & Self.bundleIndex
        guard left >> 29 == UInt64(runID), right & Self.checkMask == check(number, index) else {
            return nil
        }
        return Place(number: Int(number), index: Int(index))
    }

    private func check(_ number: UInt64, _ index: UInt64) -> UInt64 {
        Self.mixed(keys.4 ^ (number << 20 | index)) & Self.checkMask
    }

    /// The finaliser of SplitMix64.
    private static func mixed(_ value: UInt64) -> UInt64 {
        var mixed = value
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }
}

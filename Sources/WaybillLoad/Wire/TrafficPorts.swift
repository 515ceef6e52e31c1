package import WaybillModel

/// What a bundle is to be.
package protocol RecipeSource: Sendable {
    func recipe(_ number: Int) -> BundleRecipe
}

/// Where the traffic takes sealed bundles from. Called on event loops: nothing here may block.
///
/// Each number is taken once, about in rising order (each of the few loops rises on its own), and as
/// soon as its turn has come, even when its device is busy: nobody ahead holds back the rest.
package protocol BundleSource: Sendable {
    /// The bundle if it lies ready, which it does not afterwards; nil: not yet.
    func take(_ number: Int) -> SealedBundle?

    /// Calls once, on any thread, when ``take(_:)`` has the bundle; at once where it has it already.
    func whenReady(_ number: Int, _ call: @escaping @Sendable () -> Void)

    /// Makes a bundle that was taken again, with the same bytes, and hands it over on any thread; nil
    /// where that failed.
    func sealAgain(_ number: Int, _ done: @escaping @Sendable (SealedBundle?) -> Void)
}

/// Who writes down what was sent and what came back. Called on event loops; times are of the run's
/// clock, in nanoseconds.
package protocol TrafficLedger: Sendable {
    /// The bundle is due. In the open models that is before it can be sent.
    func planned(_ number: Int, intended: Int64)

    /// The bytes of a bundle that is about to be sent for the first time; its receipt must tell this
    /// digest.
    func sealed(_ number: Int, digest: Digest256)

    /// The first byte of a try goes out; once for each try, also of sendings after the
    /// acknowledgement.
    func sent(_ number: Int, at time: Int64)

    /// The server has received it; once.
    func acknowledged(_ number: Int, at time: Int64)

    /// The server refused it for good; once. What is neither acknowledged nor refused at the end is
    /// unanswered.
    func refused(_ number: Int, code: String, at time: Int64)

    /// A receipt as it stood in the answer; nil where it is none of this run's, or unreadable.
    func receipt(device: Int, bytes: ArraySlice<UInt8>, at time: Int64) -> ReadReceipt?

    /// The number after which to ask for receipts: 0, or the highest that is known.
    func lastSequence(device: Int) -> Int64
}

/// What the ledger made of a receipt.
package struct ReadReceipt: Sendable, Equatable {
    /// The bundle's.
    package var number: Int
    /// The receipt's, in its device's chain.
    package var sequence: Int64
    /// Whether it is the bundle's first one.
    package var isFirst: Bool
    /// False: quarantined.
    package var isSettled: Bool
    package var counts: OutcomeCounts
    package var intended: Int64
    /// Of the first try's first byte.
    package var firstSent: Int64

    package init(
        number: Int, sequence: Int64, isFirst: Bool, isSettled: Bool, counts: OutcomeCounts,
        intended: Int64, firstSent: Int64
    ) {
        self.number = number
        self.sequence = sequence
        self.isFirst = isFirst
        self.isSettled = isSettled
        self.counts = counts
        self.intended = intended
        self.firstSent = firstSent
    }
}

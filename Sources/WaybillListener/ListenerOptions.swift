package import WaybillModel

/// How a pool of listeners takes and settles bundles.
package struct ListenerOptions: Sendable {
    /// Listeners at start.
    package var target = 2
    /// No target below this is taken.
    package var min = 0
    /// No target above this is taken.
    package var max = 256
    /// Automatic scaling within these bounds; nil for a fixed number.
    package var automatic: ClosedRange<Int>?
    /// Bundles a batch holds at most.
    package var batchBundlesMax = 256
    /// Zipped bytes a batch holds at most; a larger bundle is a batch of its own.
    package var batchBytesMax = 8 << 20
    /// Inflated bytes a batch keeps in memory; a bundle beyond that is streamed.
    package var batchInflatedBytesMax = 32 << 20
    /// How long a listener may keep a batch without a sign of life.
    package var leaseDuration: Duration = .seconds(300)
    /// Tries that a bundle's own errors may use up before it is quarantined.
    package var attemptsMax = 5
    /// How long a failing bundle may hold back its device's later ones; the next failure after that
    /// is the last.
    package var failingMax: Duration = .seconds(600)
    /// The first wait after a failure, at most; it doubles with each attempt.
    package var retryBase: Duration = .seconds(2)
    /// The first wait, at most, of a bundle that is given back for reasons not its own; it doubles
    /// each time.
    package var returnBase: Duration = .seconds(10)
    /// No such wait is longer.
    package var returnMax: Duration = .seconds(120)
    /// After which time a listener whose thread the system refused is asked for again.
    package var restartInterval: Duration = .seconds(1)
    /// What parts may hold.
    package var limits = Limits()

    package init() {}
}

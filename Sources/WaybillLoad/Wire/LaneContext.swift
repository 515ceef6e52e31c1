internal import NIOCore

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// What the parts of one event loop share.
///
/// `@unchecked`: what varies is touched on `loop` alone.
final class LaneContext: @unchecked Sendable {
    let loop: any EventLoop
    let partition: LanePartition
    let clock: RunClock
    let recipes: any RecipeSource
    let source: any BundleSource
    let ledger: any TrafficLedger
    let options: TrafficOptions
    /// No bundle has this number or a higher one.
    let bundlesMax: Int
    let stats = LaneStats()
    var random: SeededGenerator
    weak var uploads: UploadDesk?
    weak var receipts: ReceiptDesk?
    private var processorAtStart: Int64 = 0

    private static let purpose: UInt64 = 0x7265_7472_6965_7321

    init(
        loop: any EventLoop, partition: LanePartition, clock: RunClock, plan: LoadPlan,
        ports: TrafficPorts, options: TrafficOptions
    ) {
        self.loop = loop
        self.partition = partition
        self.clock = clock
        recipes = ports.recipes
        source = ports.source
        ledger = ports.ledger
        self.options = options
        bundlesMax = plan.bundles ?? .max
        random = SeededGenerator(
            seed: plan.seed, purpose: Self.purpose, number: UInt64(partition.lane))
    }

    /// The moment on the event loop's clock.
    func deadline(_ time: Int64) -> NIODeadline {
        .now() + .nanoseconds(time - clock.now())
    }

    func beginProcessorTime() {
        processorAtStart = Self.processorNanoseconds
    }

    /// Notes how much of a core the loop's thread has used.
    func noteProcessorTime() {
        stats.counters.loopNanoseconds = Self.processorNanoseconds - processorAtStart
    }

    /// Of the calling thread.
    private static var processorNanoseconds: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}

/// What the traffic uses of the rest of the harness.
package struct TrafficPorts: Sendable {
    package var recipes: any RecipeSource
    package var source: any BundleSource
    package var ledger: any TrafficLedger

    package init(
        recipes: any RecipeSource, source: any BundleSource, ledger: any TrafficLedger
    ) {
        self.recipes = recipes
        self.source = source
        self.ledger = ledger
    }
}

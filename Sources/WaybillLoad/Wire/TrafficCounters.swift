internal import Histogram
package import WaybillModel

/// What the traffic has counted up to now, warm-up included where nothing else is said.
package struct TrafficCounters: Sendable, Equatable {
    /// Bundles that were due.
    package var planned = 0
    package var acknowledged = 0
    package var refused = 0
    /// Neither, and given up.
    package var unanswered = 0
    /// Bundles with a receipt; ``quarantined`` among them.
    package var receipted = 0
    package var quarantined = 0
    package var outcomes = OutcomeCounts()
    /// Tries, sendings after the acknowledgement included.
    package var sends = 0
    /// Sendings after the acknowledgement.
    package var resent = 0
    /// Bundles that the server had lost.
    package var lostAndSentAgain = 0
    package var cuts = 0
    package var bytesSent = 0
    /// Uploads that waited for a bundle to be sealed.
    package var starved = 0
    /// What made devices try again to send, by code or kind; cuts on purpose not among them.
    package var retries: [String: Int] = [:]
    /// What made bundles end, by code.
    package var refusals: [String: Int] = [:]
    /// What kept readers from reading, by code or kind.
    package var readTroubles: [String: Int] = [:]
    /// Connections that could not be opened, by kind.
    package var connectTroubles: [String: Int] = [:]
    package var polls = 0
    /// First receipts of bundles that the traffic did not wait for.
    package var unexpectedReceipts = 0
    /// Of the threads that send and read, together.
    package var loopNanoseconds: Int64 = 0

    /// The measured time, on the run's clock; nil before it begins. The end is the plan's, or that of
    /// the last answer where the number of bundles ends the run.
    package var measuredSince: Int64?
    package var measuredUntil: Int64?
    /// In the measured time.
    package var acknowledgedMeasured = 0
    package var settledMeasured = 0
    package var transactionsMeasured = 0
    /// On the run's clock; of bundles that were due in the measured time.
    package var firstSettled: Int64?
    package var lastSettled: Int64?

    package init() {}

    package var errors: Int {
        [retries, readTroubles, connectTroubles].reduce(0) { $0 + $1.values.reduce(0, +) }
    }

    mutating func add(_ other: TrafficCounters) {
        for member: WritableKeyPath<TrafficCounters, Int> in [
            \.planned, \.acknowledged, \.refused, \.unanswered, \.receipted, \.quarantined, \.sends,
            \.resent, \.lostAndSentAgain, \.cuts, \.bytesSent, \.starved, \.polls,
            \.unexpectedReceipts,
            \.acknowledgedMeasured, \.settledMeasured, \.transactionsMeasured,
        ] {
            self[keyPath: member] += other[keyPath: member]
        }
        retries.merge(other.retries, uniquingKeysWith: +)
        refusals.merge(other.refusals, uniquingKeysWith: +)
        readTroubles.merge(other.readTroubles, uniquingKeysWith: +)
        connectTroubles.merge(other.connectTroubles, uniquingKeysWith: +)
        outcomes.add(other.outcomes)
        loopNanoseconds += other.loopNanoseconds
        measuredSince = [measuredSince, other.measuredSince].compactMap(\.self).min()
        measuredUntil = [measuredUntil, other.measuredUntil].compactMap(\.self).max()
        firstSettled = [firstSettled, other.firstSettled].compactMap(\.self).min()
        lastSettled = [lastSettled, other.lastSettled].compactMap(\.self).max()
    }

    /// As the report has them; rates are of the measured time.
    package var totals: LoadReport.Totals {
        var totals = LoadReport.Totals()
        totals.bundlesAcknowledged = acknowledged
        totals.bundlesRefused = refused
        totals.bundlesUnanswered = unanswered
        totals.bundlesSettled = receipted - quarantined
        totals.bundlesQuarantined = quarantined
        totals.resent = resent
        totals.cuts = cuts
        totals.retries = retries
        totals.outcomes = outcomes
        totals.bytesSent = bytesSent
        if let measuredSince, let measuredUntil, measuredUntil > measuredSince {
            let seconds = Double(measuredUntil - measuredSince) / 1e9
            totals.acknowledgedPerSecond = Double(acknowledgedMeasured) / seconds
            totals.settledPerSecond = Double(settledMeasured) / seconds
            totals.transactionsPerSecond = Double(transactionsMeasured) / seconds
        }
        return totals
    }
}

extension OutcomeCounts {
    var total: Int { accepted + duplicate + rejected + conflict }

    mutating func add(_ other: OutcomeCounts) {
        accepted += other.accepted
        duplicate += other.duplicate
        rejected += other.rejected
        conflict += other.conflict
    }
}

/// What happened since the sampler last asked.
package struct TrafficInterval: Sendable, Equatable {
    package var acknowledged = 0
    /// Bundles with their first receipt.
    package var settled = 0
    package var transactionsSettled = 0
    package var errors = 0
    /// Milliseconds, from the intended moment; nil where nothing was counted.
    package var ackP50: Double?
    package var ackP99: Double?
    package var settleP50: Double?
    package var settleP99: Double?
    package var loopNanoseconds: Int64 = 0

    package init() {}
}

/// What one event loop counts.
final class LaneStats {
    var counters = TrafficCounters()
    var latencies = LatencyBook()
    var interval = IntervalBook()
    private var sampled = TrafficCounters()
    private(set) var window: Range<Int64> = Int64.max..<Int64.max
    private var endsByCount = false

    /// Of one loop, for the sampler: the difference to the last time, and the histograms since.
    struct IntervalPart: Sendable {
        var before: TrafficCounters
        var after: TrafficCounters
        var book: IntervalBook
    }

    /// - Parameters:
    ///   - until: nil where a number of bundles alone ends the run.
    ///   - endsByCount: the measured time is over with the last answer, if that is sooner.
    func begin(since: Int64, until: Int64?, endsByCount: Bool) {
        window = since..<max(since, until ?? .max)
        self.endsByCount = endsByCount
        counters.measuredSince = since
        counters.measuredUntil = endsByCount ? nil : until
    }

    func planned() { counters.planned += 1 }

    func acknowledged(intended: Int64, firstSent: Int64, at now: Int64) {
        counters.acknowledged += 1
        ended(at: now)
        if window.contains(now) { counters.acknowledgedMeasured += 1 }
        interval.ack.record(LatencyBook.microseconds(now - intended))
        guard window.contains(intended) else { return }
        latencies.record(.ack, now - intended)
        latencies.record(.ackUncorrected, now - firstSent)
    }

    func refused(_ code: String, at now: Int64) {
        counters.refused += 1
        counters.refusals[code, default: 0] += 1
        ended(at: now)
    }

    private func ended(at now: Int64) {
        guard endsByCount, now >= window.lowerBound else { return }
        counters.measuredUntil = min(window.upperBound, max(now, counters.measuredUntil ?? now))
    }

    /// - Parameter time: when the bundle's device could know of the receipt.
    func receipted(_ receipt: ReadReceipt, at time: Int64) {
        counters.outcomes.add(receipt.counts)
        counters.receipted += 1
        if !receipt.isSettled { counters.quarantined += 1 }
        if window.contains(time) {
            counters.settledMeasured += 1
            counters.transactionsMeasured += receipt.counts.total
        }
        interval.settle.record(LatencyBook.microseconds(time - receipt.intended))
        guard window.contains(receipt.intended) else { return }
        latencies.record(.settle, time - receipt.intended)
        latencies.record(.settleUncorrected, time - receipt.firstSent)
        counters.firstSettled = min(time, counters.firstSettled ?? time)
        counters.lastSettled = max(time, counters.lastSettled ?? time)
    }

    func takeInterval() -> IntervalPart {
        let part = IntervalPart(before: sampled, after: counters, book: interval)
        sampled = counters
        interval.ack.reset()
        interval.settle.reset()
        return part
    }
}

extension TrafficInterval {
    init(_ parts: [LaneStats.IntervalPart]) {
        var (before, after) = (TrafficCounters(), TrafficCounters())
        var book = IntervalBook()
        for part in parts {
            before.add(part.before)
            after.add(part.after)
            book.add(part.book)
        }
        acknowledged = after.acknowledged - before.acknowledged
        settled = after.receipted - before.receipted
        transactionsSettled = after.outcomes.total - before.outcomes.total
        errors = after.errors - before.errors
        ackP50 = LatencyBook.percentile(50, of: book.ack)
        ackP99 = LatencyBook.percentile(99, of: book.ack)
        settleP50 = LatencyBook.percentile(50, of: book.settle)
        settleP99 = LatencyBook.percentile(99, of: book.settle)
        loopNanoseconds = after.loopNanoseconds - before.loopNanoseconds
    }
}

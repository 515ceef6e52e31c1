internal import WaybillThreads

/// Decides how many listeners there should be: no clock, threads or pool, only samples.
///
/// Up fast: doubled whenever all listeners are busy and work waits, as long as bundles are settled
/// and the last raise paid off. Down slowly: by a quarter, once none was needed for a while. Between
/// the two lies a wide band in which nothing changes, so that the number does not swing.
struct Autoscaler: Sendable, Equatable {
    /// What was seen at one moment.
    struct Sample: Sendable {
        var time: Deadline
        /// Bundles that could be handed out or wait for their device's turn.
        var waiting: Int
        /// Age of the oldest unsettled bundle.
        var oldestAge: Duration = .zero
        /// Listeners that hold a batch.
        var busy: Int
        /// Bundles settled since the pool began; never falls.
        var settled: Int
    }

    /// One in so many may stand between two batches while all count as busy.
    static let slackPart = 8
    /// All listeners are busy for so long before there are more of them.
    static let raiseAfter = Duration.seconds(2)
    /// A bundle that waited so long needs no further proof.
    static let oldAge = Duration.seconds(30)
    /// A raise is judged by the settling of so long a time.
    static let judgeAfter = Duration.seconds(3)
    /// Fewer bundles settled than this say nothing about a rate.
    static let judgedBundlesMin = 10
    /// A raise that settles less than so many times as much is taken back.
    static let gainMin = 1.1
    /// No raise for so long after one that was taken back; doubled each time.
    static let holdMin = Duration.seconds(30)
    static let holdMax = Duration.seconds(480)
    /// Listeners beyond need for so long become fewer.
    static let lowerAfter = Duration.seconds(30)
    /// An empty queue for so long ends the last listener, where the range allows it.
    static let restAfter = Duration.seconds(60)

    private struct Saturation: Equatable {
        let since: Deadline
        let settled: Int
    }

    private struct Trial: Equatable {
        let since: Deadline
        let previous: Int
        /// Bundles a second before the raise.
        let rate: Double
    }

    let range: ClosedRange<Int>
    private(set) var target: Int
    private var saturation: Saturation?
    /// A raise that has not been judged yet.
    private var trial: Trial?
    private var hold = holdMin
    private var holdUntil: Deadline?
    private var quietSince: Deadline
    private var busiest = 0
    private var emptySince: Deadline?
    private var lastSettled: Int?

    /// - Parameter target: as it is now; moved into the range.
    init(range: ClosedRange<Int>, target: Int, at time: Deadline) {
        self.range = range
        self.target = min(max(target, range.lowerBound), range.upperBound)
        quietSince = time
    }

    /// Takes a sample, in the order of their times; returns how many listeners there should be.
    mutating func decide(_ sample: Sample) -> Int {
        observe(sample)
        if target == 0 {
            if sample.waiting > 0, range.upperBound > 0 { change(to: 1, sample) }
            return target
        }
        if !takesBack(sample) {
            raise(sample)
            lower(sample)
        }
        return target
    }

    private mutating func observe(_ sample: Sample) {
        let isFull = target > 0 && sample.busy >= target - target / Self.slackPart
        if isFull, sample.waiting > 0 {
            saturation = saturation ?? Saturation(since: sample.time, settled: sample.settled)
        } else {
            saturation = nil
            // Unless work waits that the new ones cannot take, there is nothing to judge.
            if let trial, sample.waiting == 0 || sample.busy > trial.previous { self.trial = nil }
        }
        if sample.busy >= target {
            quietSince = sample.time
            busiest = 0
        } else {
            busiest = max(busiest, sample.busy)
        }
        let isEmpty = sample.waiting == 0 && sample.busy == 0 && sample.settled == lastSettled
        emptySince = isEmpty ? emptySince ?? sample.time : nil
        lastSettled = sample.settled
    }

    /// Judges the last raise once enough was seen; true if it was taken back.
    private mutating func takesBack(_ sample: Sample) -> Bool {
        guard let trial else { return false }
        guard let saturation else {
            // What waits, waits for its device's turn.
            guard sample.time.duration(since: trial.since) >= Self.judgeAfter else { return false }
            takeBack(trial, sample)
            return true
        }
        let seconds = sample.time.duration(since: saturation.since) / .seconds(1)
        let settled = sample.settled - saturation.settled
        guard seconds >= Self.judgeAfter / .seconds(1), settled > 0 else { return false }
        self.trial = nil
        if settled < Self.judgedBundlesMin || trial.rate == 0
            || Double(settled) / seconds >= trial.rate * Self.gainMin
        {
            hold = Self.holdMin
            return false
        }
        takeBack(trial, sample)
        return true
    }

    private mutating func takeBack(_ trial: Trial, _ sample: Sample) {
        change(to: trial.previous, sample)
        holdUntil = sample.time.advanced(by: hold)
        hold = min(hold * 2, Self.holdMax)
    }

    private mutating func raise(_ sample: Sample) {
        guard let saturation, trial == nil, target < range.upperBound else { return }
        if let holdUntil, sample.time < holdUntil { return }
        let duration = sample.time.duration(since: saturation.since)
        let isOld = sample.oldestAge >= Self.oldAge && duration > .zero
        let settled = sample.settled - saturation.settled
        // While nothing is settled, more of them would only wait for the same thing.
        guard duration >= Self.raiseAfter || isOld, settled > 0 else { return }
        let previous = target
        change(to: min(range.upperBound, target * 2), sample)
        trial = Trial(
            since: sample.time, previous: previous,
            rate: Double(settled) / (duration / .seconds(1)))
    }

    private mutating func lower(_ sample: Sample) {
        if target == 1 {
            guard range.lowerBound == 0, let emptySince,
                sample.time.duration(since: emptySince) >= Self.restAfter
            else { return }
            change(to: 0, sample)
        } else if sample.time.duration(since: quietSince) >= Self.lowerAfter {
            let needed = max(busiest, range.lowerBound, 1)
            let lowered = max(needed, target - max(1, target / 4))
            change(to: min(target, lowered), sample)
        }
    }

    private mutating func change(to target: Int, _ sample: Sample) {
        self.target = target
        saturation = nil
        trial = nil
        quietSince = sample.time
        busiest = 0
        emptySince = nil
    }
}

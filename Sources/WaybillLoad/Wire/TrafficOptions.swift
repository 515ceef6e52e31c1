/// What is not in the plan, because it says how a run is made, not what it does.
package struct TrafficOptions: Sendable, Equatable {
    /// Threads that send and read.
    package var loops = 1
    package var retry = RetryRule()
    /// How long an answer to an upload may take; large uploads get more.
    package var answerSeconds = 30.0
    /// How long ``Traffic/run(onPhase:)`` waits, after the last bundle was due, for what is unanswered.
    package var patienceSeconds = 120.0
    /// `wait` of a long poll while no other device waits to be read.
    package var pollSeconds = 5
    /// The shortest time between two polls of one device, so that reading does not become the load.
    package var readIntervalSeconds = 0.25
    /// An acknowledged bundle without a receipt is asked after, again and again at this interval.
    package var lossCheckSeconds = 30.0
    /// Bundles whose device is busy are kept up to here; beyond it they are sealed again.
    package var parkedBytesMax = 64 << 20

    package init() {}

    var readIntervalNanoseconds: Int64 { Int64(readIntervalSeconds * 1e9) }

    func answerSeconds(requestBytes: Int) -> Double {
        answerSeconds + Double(requestBytes) / 4096
    }
}

/// Where a run is.
package enum TrafficPhase: Sendable, Equatable {
    /// Bundles go out, and are in no figure.
    case warmUp
    /// The measured time began at this moment of the run's clock.
    case measured(since: Int64)
    /// No more bundles are due; the last answers are waited for.
    case draining
    case finished
}

package import WaybillModel

/// Times of one run: nanoseconds since its start on the monotonic clock.
package struct RunClock: Sendable {
    private let origin: ContinuousClock.Instant
    /// Wall time at nanosecond 0.
    package let startedAt: Timestamp

    package init() {
        origin = .now
        startedAt = .now
    }

    package func now() -> Int64 {
        let (seconds, attoseconds) = (ContinuousClock.now - origin).components
        return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
    }

    /// The moment as the monotonic clock has it.
    package func instant(_ nanoseconds: Int64) -> ContinuousClock.Instant {
        origin + .nanoseconds(nanoseconds)
    }

    /// The run's time of a moment of wall time, in nanoseconds; off by what the wall clock was set
    /// meanwhile.
    package func nanoseconds(of time: Timestamp) -> Int64 {
        (time.microseconds - startedAt.microseconds) * 1000
    }
}

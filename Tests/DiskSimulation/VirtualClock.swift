internal import WaybillModel
internal import WaybillThreads

/// Time that moves only when a simulation moves it.
final class VirtualClock: Sendable {
    private let state = Monitor<(now: Deadline, wall: Int64)>(
        (Deadline(nanoseconds: 1_000_000_000_000), 1_800_000_000_000_000))

    var now: Deadline { state.withLock { $0.now } }

    /// The time of day; goes on with the clock, but for jumps.
    var wall: Timestamp { state.withLock { Timestamp(microseconds: $0.wall) } }

    func advance(by duration: Duration) {
        state.withLock { state in
            state.now = state.now.advanced(by: duration)
            let parts = duration.components
            state.wall += parts.seconds * 1_000_000 + parts.attoseconds / 1_000_000_000_000
        }
    }

    func advance(to end: Deadline) { advance(by: end.duration(since: now)) }

    /// Somebody sets the machine's time of day; the monotonic clock does not care.
    func setWall(forward seconds: Int64) {
        state.withLock { $0.wall += seconds * 1_000_000 }
    }
}

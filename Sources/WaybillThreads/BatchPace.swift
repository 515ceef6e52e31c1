#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// Lets work gather for batches that cost nearly the same whatever is in them: while they hold more
/// than one piece, they begin at least an interval apart. Who comes alone never waits.
package struct BatchPace: Sendable {
    private let interval: Duration
    private var began = Deadline(nanoseconds: 0)
    private var lastCount = 0

    /// - Parameter interval: zero for no pause at all.
    package init(interval: Duration) {
        self.interval = interval
    }

    /// When the next batch may begin; a time that has passed, if at once.
    package var earliest: Deadline {
        lastCount > 1 ? began.advanced(by: interval) : began
    }

    /// Notes that a batch of so many pieces begins.
    package mutating func begin(_ count: Int, at now: Deadline = .now) {
        began = now
        lastCount = count
    }

    /// Blocks the calling thread until the next batch may begin. To be called when there is work.
    package func pause() {
        let left = earliest.remaining
        guard left > .zero else { return }
        let parts = left.components
        var time = timespec(
            tv_sec: Int(parts.seconds), tv_nsec: Int(parts.attoseconds / 1_000_000_000))
        // A signal that ends the sleep early costs a smaller batch.
        nanosleep(&time, nil)
    }
}

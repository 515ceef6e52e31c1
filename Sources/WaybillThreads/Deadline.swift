#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// A point on the monotonic clock: wall clock changes do not move it.
package struct Deadline: Sendable, Comparable {
    /// Nanoseconds on `CLOCK_MONOTONIC`.
    package let nanoseconds: UInt64

    package init(nanoseconds: UInt64) {
        self.nanoseconds = nanoseconds
    }

    /// Now, on the monotonic clock.
    package static var now: Deadline {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Deadline(nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
    }

    /// The point that lies `duration` ahead; one in the past counts as now.
    package static func after(_ duration: Duration) -> Deadline {
        now.advanced(by: duration)
    }

    /// This point moved by `duration`; never before zero, saturating at the far end.
    package func advanced(by duration: Duration) -> Deadline {
        let (seconds, attoseconds) = duration.components
        guard seconds >= 0, attoseconds >= 0 else { return self }
        let whole = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
        guard !whole.overflow else { return Deadline(nanoseconds: .max) }
        let sum = whole.partialValue.addingReportingOverflow(UInt64(attoseconds / 1_000_000_000))
        let end = nanoseconds.addingReportingOverflow(sum.partialValue)
        return Deadline(nanoseconds: sum.overflow || end.overflow ? .max : end.partialValue)
    }

    /// The point that lay `duration` before this one; not before zero.
    package func before(_ duration: Duration) -> Deadline {
        let (seconds, attoseconds) = duration.components
        guard seconds >= 0, attoseconds >= 0 else { return self }
        let whole = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
        let sum = whole.partialValue.addingReportingOverflow(UInt64(attoseconds / 1_000_000_000))
        guard !whole.overflow, !sum.overflow, sum.partialValue < nanoseconds else {
            return Deadline(nanoseconds: 0)
        }
        return Deadline(nanoseconds: nanoseconds - sum.partialValue)
    }

    package var hasPassed: Bool { self <= .now }

    /// Time left until this point; zero once it has passed.
    package var remaining: Duration {
        let current = Deadline.now
        return current < self
            ? .nanoseconds(Int64(clamping: nanoseconds - current.nanoseconds)) : .zero
    }

    /// Time from `earlier` to this point; zero when it is not earlier.
    package func duration(since earlier: Deadline) -> Duration {
        earlier < self
            ? .nanoseconds(Int64(clamping: nanoseconds - earlier.nanoseconds)) : .zero
    }

    package static func < (left: Deadline, right: Deadline) -> Bool {
        left.nanoseconds < right.nanoseconds
    }

    #if canImport(Glibc)
        var monotonicTime: timespec {
            timespec(
                tv_sec: Int(clamping: nanoseconds / 1_000_000_000),
                tv_nsec: Int(nanoseconds % 1_000_000_000))
        }
    #else
        var remainingTime: timespec {
            let left = remaining.components
            return timespec(
                tv_sec: Int(left.seconds), tv_nsec: Int(left.attoseconds / 1_000_000_000))
        }
    #endif
}

internal import WaybillThreads

/// Decides how long a batch gathers, so that a sync, which costs nearly the same for one record as for
/// many, covers many; without disk, clock or threads.
///
/// Whoever comes alone never waits. Of several senders, those that the last batch answered are
/// expected back beside those that came meanwhile; the wait for them ends with the last of them, or
/// after the interval since the last batch began, or, where syncs are slow, half of one after they were
/// answered.
struct Gathering: Sendable {
    private let interval: Duration
    private var began = Deadline(nanoseconds: 0)
    private var answered = Deadline(nanoseconds: 0)
    private var lastSync = Duration.zero
    /// How many records are worth waiting for.
    private(set) var expected = 1

    /// No wait after the answers is longer than this, however slow the disk is.
    private static let patienceMax = Duration.milliseconds(3)

    init(interval: Duration) {
        self.interval = interval
    }

    /// Notes that a batch begins.
    mutating func begin(at now: Deadline) {
        began = now
        // A batch that fails or has nothing to sync leaves nobody to wait for.
        expected = 1
    }

    /// Notes that a sync covers a batch of so many records, while `waiting` others came.
    mutating func sync(from start: Deadline, to end: Deadline, count: Int, waiting: Int) {
        answered = end
        lastSync = end.duration(since: start)
        expected = count + waiting
    }

    /// Notes that all whose records the sync covered have heard of it: nobody comes back before.
    mutating func answer(at now: Deadline) {
        answered = now
    }

    /// Until when the next batch may wait for more.
    var end: Deadline {
        guard expected > 1 else { return began }
        return max(
            began.advanced(by: interval),
            answered.advanced(by: min(lastSync / 2, Self.patienceMax)))
    }
}

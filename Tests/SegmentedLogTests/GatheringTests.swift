import Testing
import WaybillThreads

@testable import SegmentedLog

@Suite struct GatheringTests {
    private let start = Deadline(nanoseconds: 1_000_000_000)

    private func after(_ milliseconds: Int) -> Deadline {
        start.advanced(by: .milliseconds(milliseconds))
    }

    /// What is left of a batch that began and synced so.
    private func gathered(
        count: Int, waiting: Int, syncMilliseconds: Int
    ) -> Gathering {
        var gathering = Gathering(interval: .milliseconds(1))
        gathering.begin(at: start)
        gathering.sync(
            from: start, to: after(syncMilliseconds), count: count, waiting: waiting)
        return gathering
    }

    @Test func whoComesAloneNeverWaits() {
        let gathering = gathered(count: 1, waiting: 0, syncMilliseconds: 5)
        #expect(gathering.expected == 1)
        #expect(gathering.end == start)
    }

    @Test func expectsThoseWhoWereAnsweredBesideThoseWhoCameMeanwhile() {
        #expect(gathered(count: 3, waiting: 2, syncMilliseconds: 5).expected == 5)
    }

    @Test func waitsUntilTheIntervalIsOverWhereSyncsAreFast() {
        #expect(gathered(count: 2, waiting: 0, syncMilliseconds: 0).end == after(1))
    }

    @Test func waitsForHalfASlowSyncAndNeverForLong() {
        #expect(gathered(count: 2, waiting: 0, syncMilliseconds: 4).end == after(6))
        #expect(gathered(count: 2, waiting: 0, syncMilliseconds: 400).end == after(403))
    }

    @Test func waitsForNobodyBeforeHeIsAnswered() {
        var gathering = gathered(count: 2, waiting: 0, syncMilliseconds: 4)
        gathering.answer(at: after(7))
        #expect(gathering.end == after(9))
    }

    @Test func waitsForNobodyAfterABatchThatWasNotSynced() {
        var gathering = gathered(count: 9, waiting: 9, syncMilliseconds: 5)
        gathering.begin(at: after(7))
        #expect(gathering.expected == 1)
        #expect(gathering.end == after(7))
    }
}

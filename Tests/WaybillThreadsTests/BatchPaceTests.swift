import Testing

@testable import WaybillThreads

@Suite struct BatchPaceTests {
    private let start = Deadline(nanoseconds: 1_000_000)

    @Test func whoComesAloneNeverWaits() {
        var pace = BatchPace(interval: .seconds(3600))
        #expect(pace.earliest.hasPassed)
        pace.begin(1, at: start)
        #expect(pace.earliest == start)
        // Returns.
        pace.pause()
    }

    @Test func batchesOfSeveralBeginAnIntervalApart() {
        var pace = BatchPace(interval: .milliseconds(1))
        pace.begin(2, at: start)
        #expect(pace.earliest == Deadline(nanoseconds: 2_000_000))
        pace.begin(1, at: Deadline(nanoseconds: 2_000_000))
        #expect(pace.earliest == Deadline(nanoseconds: 2_000_000))
    }

    @Test func pausesUntilTheIntervalIsOver() {
        var pace = BatchPace(interval: .milliseconds(20))
        pace.begin(7)
        pace.pause()
        #expect(pace.earliest.hasPassed)
    }
}

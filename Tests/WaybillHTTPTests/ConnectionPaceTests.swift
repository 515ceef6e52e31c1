import NIOCore
import Testing

@testable import WaybillHTTP

/// Header deadline 10 s, body at least 1 KiB/s over 30 s; time is passed in.
@Suite struct ConnectionPaceTests {
    private let start = NIODeadline.now()

    private func at(_ milliseconds: Int64) -> NIODeadline { start + .milliseconds(milliseconds) }

    private func pace() -> ConnectionPace {
        ConnectionPace(limits: ConnectionLimits(), now: start)
    }

    @Test func aConnectionThatSaysNothingIsClosedInSilence() {
        var pace = pace()
        #expect(pace.deadline == at(10_000))
        #expect(pace.check(now: at(9999), drained: 0) == .wait)
        #expect(pace.check(now: at(10_000), drained: 0) == .close)
    }

    @Test func aHeadHasTenSecondsFromItsFirstByte() {
        var first = pace()
        first.headBegan(now: at(4000))
        first.headBegan(now: at(9000))
        #expect(first.check(now: at(10_000), drained: 0) == .refuse(.headTooSlow))
        var later = pace()
        later.requestEnded()
        #expect(later.check(now: at(1_000_000), drained: 0) == .wait)
        later.idleBegan(now: at(20_000))
        #expect(later.check(now: at(109_999), drained: 0) == .wait)
        later.headBegan(now: at(100_000))
        #expect(later.check(now: at(109_999), drained: 0) == .wait)
        #expect(later.check(now: at(110_000), drained: 0) == .refuse(.headTooSlow))
    }

    @Test func anIdleConnectionEndsLater() {
        var pace = pace()
        pace.idleBegan(now: start)
        #expect(pace.check(now: at(89_999), drained: 0) == .wait)
        #expect(pace.check(now: at(90_000), drained: 0) == .close)
    }

    @Test func aBodyNeedsThirtyKibibytesInEachWindow() {
        var pace = pace()
        pace.bodyBegan(now: start)
        pace.bodyCame(30 << 10)
        #expect(pace.check(now: at(30_000), drained: 0) == .wait)
        pace.bodyCame((30 << 10) - 1)
        #expect(pace.check(now: at(59_999), drained: 0) == .wait)
        #expect(pace.check(now: at(60_000), drained: 0) == .failBody(.bodyTooSlow))
    }

    @Test func nobodyIsBlamedWhileTheServerDoesNotRead() {
        var pace = pace()
        pace.bodyBegan(now: start)
        pace.holdUp()
        #expect(pace.check(now: at(30_000), drained: 0) == .wait)
        #expect(pace.check(now: at(60_000), drained: 0) == .failBody(.bodyTooSlow))
    }

    @Test func aBodyUnderWayHasTenSecondsWhenTheServerEnds() {
        var pace = pace()
        pace.bodyBegan(now: start)
        pace.quiesceBegan(now: at(1000))
        pace.quiesceBegan(now: at(5000))
        #expect(pace.deadline == at(11_000))
        pace.bodyCame(1 << 20)
        #expect(pace.check(now: at(10_999), drained: 0) == .wait)
        #expect(pace.check(now: at(11_000), drained: 0) == .failBody(.shuttingDown))
        // Its answer has a moment to go out.
        pace.requestEnded()
        pace.flushingBegan(now: at(11_000), drained: 0)
        #expect(pace.check(now: at(12_999), drained: 0) == .wait)
        #expect(pace.check(now: at(13_000), drained: 0) == .close)
    }

    @Test func anAnswerThatIsNotReadIsNotWaitedForWhenTheServerEnds() {
        var pace = pace()
        pace.requestEnded()
        pace.quiesceBegan(now: start)
        // One that is being made is.
        #expect(pace.check(now: at(10_000), drained: 0) == .wait)
        pace.writingStalled(now: at(11_000), drained: 0)
        #expect(pace.check(now: at(12_000), drained: 0) == .close)
    }

    @Test func aReaderOfAnswersHasToTakeAsMuch() {
        var pace = pace()
        pace.requestEnded()
        pace.writingStalled(now: start, drained: 1000)
        #expect(pace.check(now: at(30_000), drained: 1000 + (30 << 10)) == .wait)
        #expect(
            pace.check(now: at(60_000), drained: 1000 + (60 << 10) - 1) == .abort(.readerTooSlow))
        pace.writingWent()
        #expect(pace.deadline == .distantFuture)
    }

    @Test func theLastAnswerIsDrainedThenTheConnectionLingers() {
        var pace = pace()
        pace.flushingBegan(now: start, drained: 0)
        pace.writingWent()
        #expect(pace.check(now: at(30_000), drained: 5) == .abort(.readerTooSlow))
        pace.lingeringBegan(now: at(40_000))
        #expect(pace.check(now: at(41_999), drained: 5) == .wait)
        #expect(pace.check(now: at(42_000), drained: 5) == .close)
    }
}

import Testing
import WaybillThreads

@testable import WaybillIngress

/// One security event a source and class and interval, however many refusals there are.
@Suite struct RefusalLedgerTests {
    private let start = Deadline(nanoseconds: 1_000_000_000)

    private func at(_ seconds: Int) -> Deadline { start.advanced(by: .seconds(seconds)) }

    @Test func tellsTheFirstAtOnceAndTheOthersTogether() {
        var ledger = RefusalLedger(interval: .seconds(60))
        #expect(ledger.note("chunk", from: "a", at: start).map(\.count) == [1])
        for second in 1..<59 { #expect(ledger.note("chunk", from: "a", at: at(second)).isEmpty) }
        #expect(ledger.note("chunk", from: "b", at: at(59)).map(\.address) == ["b"])
        let told = ledger.note("chunk", from: "a", at: at(61))
        #expect(told == [RefusalLedger.Report(reason: "chunk", address: "a", count: 58)])
        // Quiet for two intervals: forgotten, and new when it comes back.
        #expect(ledger.note("host", from: "c", at: at(130)).count == 2)
        #expect(ledger.note("chunk", from: "a", at: at(300)).map(\.count) == [1])
    }

    @Test func aBurstThatStopsIsToldByTheClock() {
        var ledger = RefusalLedger(interval: .seconds(60))
        for _ in 0..<5 { _ = ledger.note("chunk", from: "a", at: start) }
        #expect(ledger.sweep(at: at(59)).isEmpty)
        #expect(
            ledger.sweep(at: at(60)) == [.init(reason: "chunk", address: "a", count: 4)])
        #expect(ledger.sweep(at: at(120)).isEmpty)
    }

    @Test func theRestIsToldAtTheEnd() {
        var ledger = RefusalLedger(interval: .seconds(60))
        for _ in 0..<5 { _ = ledger.note("chunk", from: "a", at: start) }
        _ = ledger.note("chunk", from: "b", at: start)
        #expect(ledger.takeRest() == [.init(reason: "chunk", address: "a", count: 4)])
        #expect(ledger.takeRest().isEmpty)
    }

    @Test func holdsNoMoreAddressesThanItMay() {
        var ledger = RefusalLedger(interval: .seconds(60), keysMax: 3)
        let reports = (0..<10).flatMap { ledger.note("chunk", from: "\($0)", at: start) }
        #expect(reports.map(\.address) == ["0", "1", "2", "others"])
    }
}

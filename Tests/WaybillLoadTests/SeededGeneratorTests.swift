import Testing
import WaybillLoad

@Suite struct SeededGeneratorTests {
    @Test func sameSeedAndPurposeGiveTheSameNumbers() {
        var first = SeededGenerator(seed: 7, purpose: 1, number: 3)
        var second = SeededGenerator(seed: 7, purpose: 1, number: 3)
        #expect((0..<100).map { _ in first.next() } == (0..<100).map { _ in second.next() })
    }

    @Test func purposesAndNumbersDoNotShareAStream() {
        var streams = [(1, 1), (1, 2), (2, 1), (2, 2)].map { purpose, number in
            SeededGenerator(seed: 7, purpose: UInt64(purpose), number: UInt64(number))
        }
        #expect(Set(streams.indices.map { streams[$0].next() }).count == 4)
    }

    @Test func unitStaysBelowOneAndFillsItsRange() {
        var generator = SeededGenerator(seed: 1)
        let drawn = (0..<10_000).map { _ in generator.unit() }
        #expect(drawn.allSatisfy { (0..<1).contains($0) })
        #expect(abs(drawn.reduce(0, +) / 10_000 - 0.5) < 0.02)
    }
}

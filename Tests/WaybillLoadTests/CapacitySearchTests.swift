import Testing
import WaybillLoad

@Suite struct CapacitySearchTests {
    /// Runs a search against a server that can do `capacity`.
    private func search(capacity: Double, from first: Double) -> (found: Double?, steps: Int) {
        var search = CapacitySearch(firstRate: first)
        var steps = 0
        while let rate = search.next, steps < 200 {
            search.record(rate: rate, isMet: rate <= capacity)
            steps += 1
        }
        return (search.bestGood, steps)
    }

    @Test(arguments: [(1000.0, 10.0), (1000, 1000), (1000, 900_000), (3.7, 500), (0.5, 0.2)])
    func findsTheCapacityWithinItsPrecision(capacity: Double, first: Double) throws {
        let (found, steps) = search(capacity: capacity, from: first)
        let rate = try #require(found)
        #expect(rate <= capacity)
        #expect(rate >= capacity / 1.06)
        #expect(steps < 60)
    }

    @Test func endsWithoutARateWhenNothingIsGood() {
        let (found, steps) = search(capacity: 0, from: 100)
        #expect(found == nil)
        #expect(steps < 60)
    }
}

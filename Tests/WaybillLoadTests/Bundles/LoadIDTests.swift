import Testing
import WaybillModel

@testable import WaybillLoad

@Suite struct LoadIDTests {
    @Test(arguments: LoadPlan.IdentifierOrder.allCases)
    func anIDGivesItsNumberAndIndexBack(order: LoadPlan.IdentifierOrder) {
        var generator = SeededGenerator(seed: 5)
        for _ in 0..<5_000 {
            let ids = LoadID(runID: UInt32(truncatingIfNeeded: generator.next()), order: order)
            let place = LoadID.Place(
                number: Int(generator.next() >> (24 + generator.next() % 40)),
                index: Int(generator.next() % 100_000))
            #expect(ids.place(of: ids.transaction(place)) == place)
            #expect(ids.number(of: ids.bundle(place.number)) == place.number)
        }
    }

    @Test(arguments: LoadPlan.IdentifierOrder.allCases)
    func idsAreWellFormedAndDistinct(order: LoadPlan.IdentifierOrder) {
        let ids = LoadID(runID: 7, order: order)
        var seen: Set<TransactionID> = []
        for number in 0..<200 {
            for index in 0..<20 {
                let id = ids.transaction(LoadID.Place(number: number, index: index))
                seen.insert(id)
                #expect(id.low >> 62 == 2)
                #expect(id.high >> 12 & 15 == (order == .ordered ? 8 : 4))
            }
        }
        #expect(seen.count == 4_000)
    }

    @Test func orderedOnesAscendAndScatteredOnesDoNot() {
        func ids(_ order: LoadPlan.IdentifierOrder) -> [TransactionID] {
            let ids = LoadID(runID: .max, order: order)
            return [0, 1, 2, 5_000, 1 << 30].flatMap { number in
                [0, 1, 2, 99_999].map { ids.transaction(.init(number: number, index: $0)) }
            }
        }
        #expect(ids(.ordered) == ids(.ordered).sorted())
        #expect(ids(.scattered) != ids(.scattered).sorted())
    }

    @Test(arguments: LoadPlan.IdentifierOrder.allCases)
    func idsOfOtherOriginAreNone(order: LoadPlan.IdentifierOrder) {
        let ids = LoadID(runID: 7, order: order)
        let other = LoadID(runID: 8, order: order)
        let place = LoadID.Place(number: 3, index: 4)
        #expect(ids.place(of: other.transaction(place)) == nil)
        #expect(ids.number(of: other.bundle(3)) == nil)
        let bundle = ids.bundle(3)
        #expect(ids.place(of: TransactionID(high: bundle.high, low: bundle.low)) == nil)
        var generator = SeededGenerator(seed: 6)
        for _ in 0..<2_000 {
            #expect(ids.place(of: .random(using: &generator)) == nil)
            let id = ids.transaction(place)
            let flipped = TransactionID(
                high: id.high, low: id.low ^ 1 << (generator.next() % 62))
            #expect(ids.place(of: flipped) == nil)
        }
    }
}

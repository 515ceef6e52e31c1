import Testing
import WaybillModel

@testable import WaybillStore

@Suite struct ReceiptFilterTests {
    private static func keys(_ count: Int) -> [BundleKey] {
        let device = DeviceID.random()
        return (0..<count).map { _ in BundleKey(deviceID: device, bundleID: .random()) }
    }

    @Test func forgetsNothingAndAsksForFewInVain() {
        // Four layers.
        let filter = ReceiptFilter(firstLayerMax: 1 << 12)
        let known = Self.keys(50_000)
        filter.insert(known)
        filter.noteComplete()
        #expect(known.allSatisfy { filter.mayHold($0) })
        let asked = Self.keys(20_000).count { filter.mayHold($0) }
        #expect(asked < 200)
    }

    @Test func knowsNothingBeforeItHasReadAll() {
        let filter = ReceiptFilter()
        let key = Self.keys(1)[0]
        #expect(filter.mayHold(key))
        filter.noteComplete()
        #expect(!filter.mayHold(key))
        filter.insert([key])
        #expect(filter.mayHold(key))
    }

    @Test func anotherNodesReceiptsAreAskedFor() {
        for isKnownBefore in [true, false] {
            let filter = ReceiptFilter()
            if isKnownBefore { #expect(filter.noteOtherNode()) }
            filter.noteComplete()
            #expect(filter.noteOtherNode() == !isKnownBefore)
            #expect(filter.mayHold(Self.keys(1)[0]))
        }
    }
}

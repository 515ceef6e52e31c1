import Testing

@testable import WaybillServer

@Suite struct DescriptorBudgetTests {
    @Test(arguments: [
        (1_000_000, 10_000), (10_070, 9_996), (64, 2), (120, 46), (75, 2), (77, 3),
    ])
    func connectionsGetWhatTheServerItselfDoesNotNeed(limit: Int, connections: Int) {
        let share = DescriptorBudget.share(of: limit, open: 40, planned: 10, wanted: 10_000)
        #expect(share == connections)
    }
}

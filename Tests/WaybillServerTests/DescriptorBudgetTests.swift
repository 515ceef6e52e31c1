import Testing

@testable import WaybillServer

@Suite struct DescriptorBudgetTests {
    /// A connection may hold two descriptors, and so may a listener: never more than there are.
    @Test(arguments: [
        (1_000_000, 10_000, 256), (20_512, 10_000, 256), (20_511, 9_999, 256), (1024, 256, 256),
        (1020, 255, 255), (90, 23, 22), (12, 3, 3), (8, 2, 2), (0, 2, 2), (-50, 2, 2),
    ])
    func connectionsAndListenersGetWhatTheServerItselfDoesNotNeed(
        free: Int, connections: Int, listeners: Int
    ) {
        let budget = DescriptorBudget(
            free: free, connections: 10_000, listeners: 256, listenersAtStart: 2)
        #expect(budget.connections == connections)
        #expect(budget.listeners == listeners)
        if free >= 8 { #expect(2 * (budget.connections + budget.listeners) <= free) }
    }

    @Test func listenersAtStartAreThereAndNoMoreThanMayBe() {
        let few = DescriptorBudget(free: 0, connections: 5, listeners: 20, listenersAtStart: 12)
        #expect(few.listeners == 12)
        let none = DescriptorBudget(free: 1000, connections: 5, listeners: 1, listenersAtStart: 0)
        #expect(none.listeners == 1)
        #expect(none.connections == 5)
    }
}

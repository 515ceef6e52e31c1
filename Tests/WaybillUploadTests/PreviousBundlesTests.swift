import Testing
import WaybillModel
import WaybillQueue

@testable import WaybillUpload

@Suite struct PreviousBundlesTests {
    private func key() -> BundleKey {
        BundleKey(deviceID: .random(), bundleID: .random())
    }

    private func standing() -> BundleStanding {
        BundleStanding(
            state: .settled, bundleDigest: .zero, partByteCounts: [1], receipt: "{}")
    }

    /// Runs `body` while the questions are asked.
    private func running(
        _ previous: PreviousBundles, _ body: @Sendable () async throws -> Void
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await previous.run() }
            while !previous.isRunning { try await Task.sleep(for: .milliseconds(1)) }
            try await body()
            group.cancelAll()
        }
    }

    @Test func asksForManyInOneRoundTrip() async throws {
        let history = MemoryHistory()
        let previous = PreviousBundles(source: history, patience: .seconds(60))
        let known = key()
        history.note(known, standing())
        try await running(previous) {
            history.freeze()
            let answers = try await withThrowingTaskGroup(of: Bool.self) { group in
                for index in 0..<100 {
                    group.addTask {
                        let asked = index == 50 ? known : key()
                        if case .settled = await previous.find(asked) { return true }
                        return false
                    }
                }
                group.addTask {
                    // The first question is out and frozen; the others gather for the next.
                    while history.questions.isEmpty {
                        try await Task.sleep(for: .milliseconds(1))
                    }
                    history.thaw()
                    return false
                }
                return try await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
            }
            #expect(answers == 1)
            #expect(history.questions.reduce(0, +) == 100)
            #expect(history.questions.count < 20)
        }
    }

    @Test func doesNotWaitForAFrozenDatabase() async throws {
        let history = MemoryHistory()
        let previous = PreviousBundles(source: history, patience: .milliseconds(20))
        try await running(previous) {
            history.freeze()
            guard case .unknown = await previous.find(key()) else {
                Issue.record("answered by a frozen database")
                return
            }
            let started = ContinuousClock.now
            for _ in 0..<100 { _ = await previous.find(key()) }
            #expect(ContinuousClock.now - started < .seconds(1))
            history.thaw()
            // Ends only if the thawed database is asked again.
            while !previous.isRunning { try await Task.sleep(for: .milliseconds(1)) }
        }
    }

    @Test func knowsNothingWithoutItsService() async {
        let previous = PreviousBundles(source: MemoryHistory())
        guard case .unknown = await previous.find(key()) else {
            Issue.record("an answer out of nothing")
            return
        }
    }

    @Test func answersUnknownWhenTheDatabaseFails() async throws {
        let history = MemoryHistory()
        let previous = PreviousBundles(source: history)
        try await running(previous) {
            history.fail()
            guard case .unknown = await previous.find(key()) else {
                Issue.record("an answer without a database")
                return
            }
        }
    }

    @Test func learnsWhatIsNewPieceByPieceAndAnswersInBetween() async throws {
        let history = MemoryHistory()
        history.teach(pieces: 100)
        let known = key()
        history.note(known, standing())
        let previous = PreviousBundles(source: history, patience: .seconds(60))
        #expect(previous.mayHold(key()))
        try await running(previous) {
            guard case .settled = await previous.find(known) else {
                Issue.record("not answered while it learns")
                return
            }
            while previous.mayHold(key()) { try await Task.sleep(for: .milliseconds(1)) }
            #expect(previous.mayHold(known))
        }
    }

    @Test func nobodyWaitsForAPieceThatTheDatabaseDoesNotGive() async throws {
        let history = MemoryHistory()
        history.teach(pieces: 1)
        history.freeze()
        let previous = PreviousBundles(source: history, patience: .milliseconds(20))
        try await running(previous) {
            guard case .unknown = await previous.find(key()) else {
                Issue.record("answered by a frozen database")
                return
            }
            history.thaw()
        }
    }
}

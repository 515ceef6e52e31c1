internal import Synchronization
package import WaybillModel

/// Where settled bundles are found: the database, seen from the upload.
package protocol SettledBundles: Sendable {
    /// Those of `keys` that have a receipt, in one round trip.
    ///
    /// - Throws: any error when it cannot tell.
    func find(_ keys: [BundleKey]) async throws -> [BundleKey: BundleStanding]
}

/// Asks for settled bundles on behalf of many requests at once, like a group commit.
///
/// One question is out at a time; what comes meanwhile goes into the next one. No answer in time
/// counts as not known, and while a late answer is out nobody waits for it: a dead or frozen
/// database slows nothing down.
package final class PreviousBundles: Sendable {
    /// What is known of a bundle that is not in the queue.
    package enum Answer: Sendable {
        case settled(BundleStanding)
        case never
        /// The database did not say.
        case unknown
    }

    private struct Waiting {
        let key: BundleKey
        let continuation: CheckedContinuation<Answer, Never>
    }

    private struct State {
        var isRunning = false
        var pending: [Waiting] = []
        /// Those whom the question that is out will answer.
        var asked: [Waiting] = []
        var questionNumber = 0
        var isOut = false
        var isLate = false
    }

    private let state = Mutex(State())
    private let source: any SettledBundles
    private let patience: Duration
    private let wakeUps: AsyncStream<Void>
    private let wakeUp: AsyncStream<Void>.Continuation

    /// Keys in one question.
    private static let keysMax = 512
    /// Requests that wait for the next question; more are told `unknown` at once.
    private static let pendingMax = 8192

    /// - Parameter patience: how long a question may take.
    package init(source: any SettledBundles, patience: Duration = .milliseconds(250)) {
        self.source = source
        self.patience = patience
        (wakeUps, wakeUp) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// True while ``run()`` asks.
    package var isRunning: Bool { state.withLock { $0.isRunning } }

    /// Looks one bundle up, together with everybody else's; waits for at most twice the patience.
    package func find(_ key: BundleKey) async -> Answer {
        await withCheckedContinuation { continuation in
            let isQueued = state.withLock { state in
                guard state.isRunning, !state.isLate, state.pending.count < Self.pendingMax else {
                    return false
                }
                state.pending.append(Waiting(key: key, continuation: continuation))
                return true
            }
            if isQueued { wakeUp.yield() } else { continuation.resume(returning: .unknown) }
        }
    }

    /// Asks until the task is cancelled. Run it once; without it every answer is `unknown`.
    package func run() async {
        state.withLock { $0.isRunning = true }
        await withDiscardingTaskGroup { group in
            for await _ in wakeUps {
                guard let (number, keys) = nextQuestion() else { continue }
                group.addTask { await self.ask(number, keys) }
                group.addTask { await self.expire(number) }
            }
            group.cancelAll()
        }
        let left = state.withLock { state in
            state.isRunning = false
            defer { state.pending = [] }
            return state.pending
        }
        for waiting in left { waiting.continuation.resume(returning: .unknown) }
    }

    private func nextQuestion() -> (number: Int, keys: [BundleKey])? {
        state.withLock { state in
            guard !state.isOut, !state.pending.isEmpty else { return nil }
            state.asked = Array(state.pending.prefix(Self.keysMax))
            state.pending.removeFirst(state.asked.count)
            state.isOut = true
            state.questionNumber += 1
            return (state.questionNumber, state.asked.map(\.key))
        }
    }

    private func ask(_ number: Int, _ keys: [BundleKey]) async {
        let found: [BundleKey: BundleStanding]?
        do {
            found = try await source.find(keys)
        } catch {
            // Whatever the reason is: the bundle is taken, and settling finds the receipt.
            found = nil
        }
        let asked = state.withLock { state in
            state.isOut = false
            state.isLate = false
            defer { state.asked = [] }
            return state.asked
        }
        for waiting in asked {
            let answer: Answer =
                if let found {
                    found[waiting.key].map { .settled($0) } ?? .never
                } else {
                    .unknown
                }
            waiting.continuation.resume(returning: answer)
        }
        wakeUp.yield()
    }

    private func expire(_ number: Int) async {
        // A cancelled sleep is the end of the service: nobody may be left waiting then either.
        try? await Task.sleep(for: patience)
        let abandoned = state.withLock { state -> [Waiting] in
            guard state.isOut, state.questionNumber == number else { return [] }
            state.isLate = true
            defer {
                state.asked = []
                state.pending = []
            }
            return state.asked + state.pending
        }
        for waiting in abandoned { waiting.continuation.resume(returning: .unknown) }
    }
}

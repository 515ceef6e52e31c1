package import WaybillModel
internal import WaybillThreads

/// Where settled bundles are found: the database, seen from the upload.
package protocol SettledBundles: Sendable {
    /// Those of `keys` that have a receipt, in one round trip; blocks. Asked by one thread.
    ///
    /// - Throws: any error when it cannot tell.
    func find(_ keys: [BundleKey]) throws -> [BundleKey: BundleStanding]

    /// False only if the bundle is not settled for certain; from memory, never blocks.
    func mayHold(_ key: BundleKey) -> Bool

    /// Does a piece of the work that lets ``mayHold(_:)`` say so, and returns whether more is left;
    /// blocks. Called by the thread that asks.
    ///
    /// - Throws: any error when it is to be tried again later.
    func learn() throws -> Bool
}

/// Asks for settled bundles on behalf of many requests at once, like a group commit.
///
/// One question is out at a time, on a thread of its own; what comes meanwhile goes into the next
/// one. No answer in time counts as not known, and while a late answer is out nobody waits for it: a
/// dead or frozen database slows nothing down.
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
        /// When the thread's round trip is late; nil while it is in none.
        var due: Deadline?
        var isLate = false
        /// Somebody looks when `due` comes.
        var isWatched = false
    }

    private let state = Monitor(State())
    private let source: any SettledBundles
    private let patience: Duration
    private let wakeUps: AsyncStream<Void>
    private let wakeUp: AsyncStream<Void>.Continuation

    /// Keys in one question.
    private static let keysMax = 512
    /// While several ask at a time, questions begin this far apart: one costs nearly the same for many
    /// keys as for one.
    private static let gatheringInterval = Duration.milliseconds(1)
    /// Between an error while learning and the next try.
    private static let learningPause = Duration.seconds(1)
    /// Requests that wait for the next question; more are told `unknown` at once.
    private static let pendingMax = 8192

    /// - Parameter patience: how long a question may take.
    package init(source: any SettledBundles, patience: Duration = .milliseconds(250)) {
        self.source = source
        self.patience = patience
        (wakeUps, wakeUp) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// False for a bundle that is new for certain, which most are: there is nothing to ask for.
    func mayHold(_ key: BundleKey) -> Bool { source.mayHold(key) }

    /// True while ``run()`` asks.
    package var isRunning: Bool { state.withLock { $0.isRunning } }

    /// Looks one bundle up, together with everybody else's; waits for at most twice the patience.
    package func find(_ key: BundleKey) async -> Answer {
        await withCheckedContinuation { continuation in
            let isQueued = state.update { state in
                guard state.isRunning, !state.isLate, state.pending.count < Self.pendingMax else {
                    return false
                }
                state.pending.append(Waiting(key: key, continuation: continuation))
                return true
            }
            if !isQueued { continuation.resume(returning: .unknown) }
        }
    }

    /// Asks until the task is cancelled. Run it once; without it every answer is `unknown`.
    ///
    /// - Throws: ``ThreadError`` without a thread.
    package func run() async throws {
        state.update { $0.isRunning = true }
        defer {
            abandon { state in
                state.isRunning = false
                return true
            }
        }
        _ = try NamedThread(name: "history") { [self] in askUntilStopped() }
        for await _ in wakeUps { await watch() }
    }

    // MARK: The thread

    private func askUntilStopped() {
        var pace = BatchPace(interval: Self.gatheringInterval)
        var learnAt: Deadline? = .now
        while true {
            let hasQuestion = hasQuestion(timeout: learnAt?.remaining)
            if hasQuestion == false { return }
            if learnAt?.hasPassed == true { learnAt = learn() }
            guard hasQuestion == true else { continue }
            pace.pause()
            guard let keys = nextQuestion() else { continue }
            pace.begin(keys.count)
            let found: [BundleKey: BundleStanding]?
            do {
                found = try source.find(keys)
            } catch {
                // Whatever the reason is: the bundle is taken, and settling finds the receipt.
                found = nil
            }
            let asked = state.withLock { state in
                endRoundTrip(&state)
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
        }
    }

    /// Waits until somebody asks; false when nobody will any more, nil after the timeout.
    private func hasQuestion(timeout: Duration?) -> Bool? {
        state.wait(timeout: timeout) { state -> Bool? in
            if !state.isRunning { return false }
            return state.pending.isEmpty ? nil : true
        }
    }

    /// Returns when to go on learning; nil when there is nothing left.
    private func learn() -> Deadline? {
        state.withLock { beginRoundTrip(&$0) }
        defer { state.withLock { endRoundTrip(&$0) } }
        do {
            return try source.learn() ? .now : nil
        } catch {
            // The database is away. Until it is back every bundle may be settled.
            return .after(Self.learningPause)
        }
    }

    private func nextQuestion() -> [BundleKey]? {
        state.withLock { state in
            guard !state.pending.isEmpty else { return nil }
            state.asked = Array(state.pending.prefix(Self.keysMax))
            state.pending.removeFirst(state.asked.count)
            beginRoundTrip(&state)
            return state.asked.map(\.key)
        }
    }

    private func beginRoundTrip(_ state: inout State) {
        state.due = .after(patience)
        if !state.isWatched { wakeUp.yield() }
        state.isWatched = true
    }

    private func endRoundTrip(_ state: inout State) {
        state.due = nil
        state.isLate = false
    }

    // MARK: The watch

    /// Tells those who wait too long, until nobody waits.
    private func watch() async {
        while let due = nextDue() {
            // A cancelled sleep is the end of the service, which tells everybody.
            guard (try? await Task.sleep(for: due.remaining)) != nil else { return }
            abandon { state in
                guard state.due == due else { return false }
                state.isLate = true
                return true
            }
        }
    }

    private func nextDue() -> Deadline? {
        state.withLock { state in
            let due = state.isLate ? nil : state.due
            state.isWatched = due != nil
            return due
        }
    }

    /// Tells all who wait that nothing is known, if `body` says so.
    private func abandon(_ body: (inout State) -> Bool) {
        let abandoned = state.update { state -> [Waiting] in
            guard body(&state) else { return [] }
            defer {
                state.asked = []
                state.pending = []
            }
            return state.asked + state.pending
        }
        for waiting in abandoned { waiting.continuation.resume(returning: .unknown) }
    }
}

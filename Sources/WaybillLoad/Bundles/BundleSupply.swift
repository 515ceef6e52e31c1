internal import DequeModule
internal import WaybillThreads

/// Sealed bundles, made by threads of their own ahead of demand, so that whoever sends never waits for
/// a key to be derived.
///
/// - Memory is bounded: beyond ``Options/bytesMax`` or ``Options/countMax`` the threads wait until
///   bundles are taken. A bundle that somebody waits for is made all the same.
/// - In advance: all bundles are sealed into a file first (``prepare()``), and read from it ahead of
///   demand. What the run needs beyond them is sealed as it goes.
package final class BundleSupply: BundleSource {
    package struct Options: Sendable {
        package var threads: Int
        /// Of bundles that lie ready.
        package var bytesMax: Int
        /// Bundles that lie ready.
        package var countMax: Int
        /// Where the file of bundles sealed in advance is made.
        package var spoolDirectory: String

        package init(
            threads: Int = 1, bytesMax: Int = 64 << 20, countMax: Int = 20_000,
            spoolDirectory: String = "/tmp"
        ) {
            self.threads = threads
            self.bytesMax = bytesMax
            self.countMax = countMax
            self.spoolDirectory = spoolDirectory
        }
    }

    /// How the supply stands.
    package struct Level: Sendable, Equatable {
        /// Bundles that lie ready, and their bytes.
        package var count = 0
        package var byteCount = 0
        /// How often a bundle was wanted before it was ready.
        package var starved = 0
        /// Bundles sealed in advance so far, and how many there are to be.
        package var inAdvance = 0
        package var inAdvanceMax = 0
    }

    let maker: BundleMaker
    let options: Options
    let state: Monitor<SupplyState>
    private let threads: [NamedThread]

    /// Starts the threads; they begin at once.
    ///
    /// - Throws: ``ThreadError``, and for a supply in advance what the system says of its file.
    package init(maker: BundleMaker, options: Options = Options()) throws {
        precondition(options.threads >= 1 && options.bytesMax > 0 && options.countMax > 0)
        self.maker = maker
        self.options = options
        let plan = maker.book.plan
        var first = SupplyState(total: plan.bundles, threads: options.threads)
        if plan.sealsInAdvance {
            first.spool = try BundleSpool(
                directory: options.spoolDirectory, count: plan.bundlesInAdvance)
        }
        let state = Monitor(first)
        self.state = state
        do throws(ThreadError) {
            var threads: [NamedThread] = []
            for number in 0..<options.threads {
                threads.append(
                    try NamedThread(name: "sealing-\(number)") {
                        SealingWork(maker: maker, options: options, state: state).run()
                    })
            }
            self.threads = threads
        } catch {
            state.update { $0.isStopped = true }
            throw error
        }
    }

    package func take(_ number: Int) -> SealedBundle? {
        let (bundle, wakes) = state.withLock { state -> (SealedBundle?, Bool) in
            guard let bundle = state.ready.removeValue(forKey: number) else { return (nil, false) }
            state.readyBytes -= bundle.byteCount
            guard state.isWaitingForRoom, state.hasHalfOfRoom(options) else {
                return (bundle, false)
            }
            state.isWaitingForRoom = false
            return (bundle, true)
        }
        if wakes { state.update { _ in } }
        return bundle
    }

    package func whenReady(_ number: Int, _ call: @escaping @Sendable () -> Void) {
        let isReady = state.update { state in
            guard state.ready[number] == nil else { return true }
            state.starved += 1
            state.waiters[number, default: []].append(call)
            state.highestWanted = max(state.highestWanted, number)
            // It was made before, or lies beyond the plan's end.
            if number < state.front || state.isBeyondTotal(number),
                !state.inWork.contains(number)
            {
                state.inWork.insert(number)
                state.wantedAlone.append(number)
            }
            return false
        }
        if isReady { call() }
    }

    package func sealAgain(_ number: Int, _ done: @escaping @Sendable (SealedBundle?) -> Void) {
        let isTaken = state.update { state in
            guard !state.isStopped else { return false }
            state.again.append(SupplyState.Again(number: number, done: done))
            return true
        }
        if !isTaken { done(nil) }
    }

    package var level: Level {
        state.withLock { state in
            Level(
                count: state.ready.count, byteCount: state.readyBytes, starved: state.starved,
                inAdvance: state.spool?.writtenCount ?? 0, inAdvanceMax: state.spool?.count ?? 0)
        }
    }

    /// Why the threads have given up; then nothing more becomes ready.
    package var failure: (any Error)? { state.withLock { $0.failure } }

    /// Returns when everything that is to be sealed in advance lies in the file; throws why not.
    package func prepare() async throws {
        try await withCheckedThrowingContinuation {
            (continuation: CheckedContinuation<Void, any Error>) in
            let outcome = state.withLock { state -> Result<Void, any Error>? in
                if let failure = state.failure { return .failure(failure) }
                guard state.isSealingInAdvance, !state.isStopped else { return .success(()) }
                state.preparing.append(continuation)
                return nil
            }
            if let outcome { continuation.resume(with: outcome) }
        }
    }

    /// Ends the threads after the batch that each works on. Nobody who waits is called any more, and
    /// those that want a bundle again get none.
    package func stop() async {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            let hasEnded = state.update { state in
                state.isStopped = true
                state.waiters = [:]
                guard state.threads > 0 else { return true }
                state.stopping.append(continuation)
                return false
            }
            if hasEnded { continuation.resume() }
        }
    }
}

extension LoadPlan {
    /// How many bundles the run will need; of a Poisson process, so many that it needs more once in a
    /// billion runs.
    var bundlesInAdvance: Int {
        if let bundles { return bundles }
        let mean = (arrivals.rate ?? 0) * (warmupSeconds + (durationSeconds ?? 0))
        return Int(arrivals.model == .poisson ? mean + 6 * mean.squareRoot() + 1 : mean + 1)
    }
}

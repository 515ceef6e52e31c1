internal import DequeModule
internal import WaybillThreads

/// What each thread of a ``BundleSupply`` does until it is stopped.
struct SealingWork: Sendable {
    let maker: BundleMaker
    let options: BundleSupply.Options
    let state: Monitor<SupplyState>

    func run() {
        let (book, options) = (maker.book, options)
        while true {
            let job = state.wait { $0.next(book, options) }
            do {
                switch job {
                case .make(let numbers): try make(numbers)
                case .spool(let numbers): try spool(numbers)
                case .again(let jobs): makeAgain(jobs)
                case .stop, nil: return end()
                }
            } catch {
                fail(error)
            }
        }
    }

    /// From the file what is in it; the rest is sealed.
    private func bundles(_ numbers: [Int]) throws -> [SealedBundle] {
        let (file, places) = state.withLock { state in
            (state.spool?.file, numbers.map { state.spool?.place($0) })
        }
        var bundles: [SealedBundle] = []
        var left: [Int] = []
        for (number, place) in zip(numbers, places) {
            if let file, let place {
                bundles.append(
                    try file.read(number, at: place, id: maker.book.bundleID(number)))
            } else {
                left.append(number)
            }
        }
        return left.isEmpty ? bundles : bundles + (try maker.seal(left))
    }

    private func make(_ numbers: [Int]) throws {
        let bundles = try bundles(numbers)
        let book = maker.book
        let calls = state.update { state in
            var calls: [@Sendable () -> Void] = []
            for bundle in bundles {
                state.ready[bundle.number] = bundle
                state.readyBytes += bundle.byteCount
                if state.inWork.remove(bundle.number) != nil {
                    state.inWorkBytes -= BatchSize.estimate(book, bundle.number)
                }
                calls += state.waiters.removeValue(forKey: bundle.number) ?? []
            }
            return calls
        }
        for call in calls { call() }
    }

    private func makeAgain(_ jobs: [SupplyState.Again]) {
        // Whoever asks is told that it failed; what fails now has failed the first time.
        let bundles = try? bundles(jobs.map(\.number))
        for job in jobs { job.done(bundles?.first { $0.number == job.number }) }
    }

    private func spool(_ numbers: [Int]) throws {
        let bundles = try maker.seal(numbers)
        guard let file = state.withLock({ $0.spool?.file }) else { return }
        var records: [(number: Int, place: BundleSpool.Place)] = []
        for bundle in bundles { records.append((bundle.number, try file.write(bundle))) }
        let written = records
        let preparing = state.update { state in
            for record in written { state.spool?.note(record.number, record.place) }
            guard !state.isSealingInAdvance else { return [CheckedContinuation<Void, any Error>]() }
            defer { state.preparing = [] }
            return state.preparing
        }
        for continuation in preparing { continuation.resume() }
    }

    private func fail(_ error: any Error) {
        let preparing = state.update { state in
            state.failure = state.failure ?? error
            state.isStopped = true
            defer { state.preparing = [] }
            return state.preparing
        }
        for continuation in preparing { continuation.resume(throwing: error) }
    }

    /// The last thread tells those who wait for the end, and those who wait for a bundle that will not
    /// come.
    private func end() {
        let left = state.update { state -> Left in
            state.threads -= 1
            var left = Left()
            guard state.threads == 0 else { return left }
            swap(&left.again, &state.again)
            swap(&left.stopping, &state.stopping)
            swap(&left.preparing, &state.preparing)
            state.ready = [:]
            state.readyBytes = 0
            state.spool = nil
            return left
        }
        for job in left.again { job.done(nil) }
        for continuation in left.preparing { continuation.resume(throwing: CancellationError()) }
        for continuation in left.stopping { continuation.resume() }
    }

    private struct Left: Sendable {
        var again: Deque<SupplyState.Again> = []
        var stopping: [CheckedContinuation<Void, Never>] = []
        var preparing: [CheckedContinuation<Void, any Error>] = []
    }
}

internal import Synchronization

/// Turns phases and samples into progress.
final class LoadWatch: Sendable {
    private struct State {
        var phase = LoadProgress.Phase.warmingUp
        var measuredSince: Int64 = 0
        var runSince: Int64 = 0
        var errors = 0
    }

    private let plan: LoadPlan
    private let clock: RunClock
    private let onProgress: @Sendable (LoadProgress) -> Void
    private let state: Mutex<State>

    init(plan: LoadPlan, clock: RunClock, onProgress: @escaping @Sendable (LoadProgress) -> Void) {
        self.plan = plan
        self.clock = clock
        self.onProgress = onProgress
        state = Mutex(State(runSince: clock.now()))
    }

    func entered(_ phase: TrafficPhase) {
        state.withLock { state in
            switch phase {
            case .warmUp: state.phase = .warmingUp
            case .measured(let since):
                state.phase = .measuring
                state.measuredSince = since
            case .draining, .finished: state.phase = .settling
            }
        }
    }

    /// - Parameter ledger: what has happened so far.
    func show(_ sample: LoadReport.Sample, ledger: LedgerTotals) {
        let state = state.withLock { state in
            state.errors += sample.errors
            return state
        }
        var progress = LoadProgress(phase: state.phase, share: share(state, ledger))
        progress.sample = sample
        progress.errors = state.errors
        onProgress(progress)
    }

    private func share(_ state: State, _ ledger: LedgerTotals) -> Double? {
        func elapsed(since start: Int64, of seconds: Double) -> Double {
            seconds > 0 ? min(1, Double(clock.now() - start) / 1e9 / seconds) : 1
        }
        switch state.phase {
        case .warmingUp: return elapsed(since: state.runSince, of: plan.warmupSeconds)
        case .measuring:
            if let bundles = plan.bundles {
                return min(1, Double(ledger.acknowledged + ledger.refused) / Double(bundles))
            }
            return elapsed(since: state.measuredSince, of: plan.durationSeconds ?? 0)
        case .settling:
            let acknowledged = max(1, ledger.acknowledged)
            return 1 - Double(ledger.open) / Double(acknowledged)
        default: return nil
        }
    }
}

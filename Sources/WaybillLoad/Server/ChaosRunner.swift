internal import Synchronization

/// What chaos does, without when. Each call returns when it is done.
package protocol ChaosEffects: Sendable {
    /// Brings the trouble.
    func begin(_ step: LoadPlan.ChaosStep) async throws

    /// Called about four times a second while the trouble lasts.
    func keepUp(_ step: LoadPlan.ChaosStep) async throws

    /// Takes the trouble away, and returns when all is as before: what ought to come back has come.
    func end(_ step: LoadPlan.ChaosStep) async throws
}

/// The measured time as chaos sees it.
package protocol ChaosTime: Sendable {
    /// Seconds since the measured time's start.
    func now() -> Double

    /// Waits for a second of the measured time; past ones are there at once.
    ///
    /// - Returns: false when the measured time is over.
    /// - Throws: `CancellationError`.
    func wait(until second: Double) async throws -> Bool
}

/// Carries a plan's chaos out while the run measures.
package final class ChaosRunner: Sendable {
    private let schedule: ChaosSchedule
    private let effects: any ChaosEffects
    private let time: any ChaosTime
    private let written = Mutex<[LoadReport.Mark]>([])
    private static let keepUpInterval = 0.25

    package init(_ schedule: ChaosSchedule, effects: any ChaosEffects, time: any ChaosTime) {
        self.schedule = schedule
        self.effects = effects
        self.time = time
    }

    /// What happened so far, in order of time; what lasts has no end yet.
    package var marks: [LoadReport.Mark] {
        written.withLock { $0 }.sorted { $0.second < $1.second }
    }

    /// Returns when nothing is left to do, or when the measured time is over and all trouble has been
    /// taken away.
    ///
    /// - Throws: ``ServerFailure`` and what else goes wrong; then the run's result counts for nothing.
    package func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for lane in schedule.lanes {
                group.addTask { try await self.run(lane) }
            }
            try await group.waitForAll()
        }
    }

    private func run(_ lane: ChaosSchedule.Lane) async throws {
        for due in schedule.dues(of: lane) {
            guard try await time.wait(until: due.second) else { return }
            try await carryOut(due)
        }
    }

    private func carryOut(_ due: ChaosSchedule.Due) async throws {
        let step = due.step
        let mark = open(step)
        try await effects.begin(step)
        let until = time.now() + due.holdSeconds
        var isOver = false
        while !isOver, time.now() < until {
            let next = min(time.now() + Self.keepUpInterval, until)
            isOver = try await !time.wait(until: next)
            if !isOver { try await effects.keepUp(step) }
        }
        try await effects.end(step)
        if ChaosSchedule.Lane(of: step.action) != .listeners { close(mark) }
    }

    private func open(_ step: LoadPlan.ChaosStep) -> Int {
        let mark = LoadReport.Mark(second: time.now(), text: step.text)
        return written.withLock { marks in
            marks.append(mark)
            return marks.count - 1
        }
    }

    private func close(_ mark: Int) {
        let now = time.now()
        written.withLock { $0[mark].endSecond = now }
    }
}

/// The measured time of a run that goes on until it is told to end.
package final class MeasuredTime: ChaosTime {
    private struct State {
        var isOver = false
        var sleepers: [Int: AsyncStream<Void>.Continuation] = [:]
        var nextSleeper = 0
    }

    private let clock: RunClock
    private let start: Int64
    private let state = Mutex(State())

    /// - Parameter start: of the measured time, in nanoseconds of the clock.
    package init(clock: RunClock, start: Int64) {
        self.clock = clock
        self.start = start
    }

    /// The measured time is over: nobody waits any longer.
    package func finish() {
        let sleepers = state.withLock { state in
            state.isOver = true
            defer { state.sleepers = [:] }
            return state.sleepers
        }
        for sleeper in sleepers.values { sleeper.finish() }
    }

    package func now() -> Double {
        Double(clock.now() - start) / 1e9
    }

    package func wait(until second: Double) async throws -> Bool {
        let (ends, sleeper) = AsyncStream.makeStream(of: Void.self)
        let key = state.withLock { state -> Int? in
            guard !state.isOver else { return nil }
            state.nextSleeper += 1
            state.sleepers[state.nextSleeper] = sleeper
            return state.nextSleeper
        }
        guard let key else { return false }
        defer { _ = state.withLock { $0.sleepers.removeValue(forKey: key) } }
        let instant = clock.instant(start + Int64(second * 1e9))
        let hasCome = try await withThrowingTaskGroup(of: Bool.self) { group in
            defer { group.cancelAll() }
            group.addTask {
                try await Task.sleep(until: instant, clock: .continuous)
                return true
            }
            group.addTask {
                for await _ in ends {}
                return false
            }
            return try await group.next() ?? false
        }
        try Task.checkCancellation()
        return hasCome
    }
}

/// When each of a plan's steps happens: pure, in seconds of the measured time.
///
/// Steps that would be in each other's way share a lane and follow one another; one that is due while
/// another lasts comes right after it. Lanes know nothing of each other: a server may be killed on a
/// full disk.
package struct ChaosSchedule: Sendable, Equatable {
    /// What cannot happen twice at a time.
    package enum Lane: Int, Sendable, CaseIterable {
        /// The server's process and its PostgreSQL, which a start needs.
        case server
        case listeners, disk, network
    }

    /// One thing to do.
    package struct Due: Sendable, Equatable {
        package var second: Double
        package var holdSeconds: Double
        package var step: LoadPlan.ChaosStep
    }

    /// Steps of each lane that has any.
    private let steps: [Lane: [LoadPlan.ChaosStep]]
    /// Nil: the measured time ends when somebody says so.
    private let durationSeconds: Double?

    package init(_ steps: [LoadPlan.ChaosStep], durationSeconds: Double?) {
        self.steps = Dictionary(grouping: steps) { Lane(of: $0.action) }
        self.durationSeconds = durationSeconds
    }

    package var lanes: [Lane] {
        Lane.allCases.filter { steps[$0] != nil }
    }

    /// What a lane does, in order of time; of steps at the same time the plan's first comes first.
    /// Without an end where a step repeats and the duration is not known.
    package func dues(of lane: Lane) -> some Sequence<Due> {
        let steps = steps[lane] ?? []
        var times = steps.map { Optional($0.atSeconds) }
        return AnySequence {
            AnyIterator {
                let pending = times.indices.filter { times[$0] != nil }
                let next = pending.min { (times[$0] ?? 0, $0) < (times[$1] ?? 0, $1) }
                guard let next, let second = times[next] else { return nil }
                if let durationSeconds, second >= durationSeconds { return nil }
                let step = steps[next]
                times[next] = step.everySeconds.map { second + max($0, Self.shortestInterval) }
                return Due(
                    second: second, holdSeconds: step.seconds ?? step.action.usualSeconds,
                    step: step)
            }
        }
    }

    /// A repetition without an interval would never let time pass.
    private static let shortestInterval = 0.1
}

extension ChaosSchedule.Lane {
    init(of action: LoadPlan.ChaosStep.Action) {
        self =
            switch action {
            case .killServer, .restartServer, .killPostgres: .server
            case .scale: .listeners
            case .fillDisk: .disk
            case .edge, .lossy, .tunnel: .network
            }
    }
}

extension LoadPlan.ChaosStep.Action {
    /// How long it lasts where the plan does not say; 0: as short as it goes.
    var usualSeconds: Double {
        switch self {
        case .killServer, .restartServer, .scale: 0
        case .killPostgres: 5
        case .fillDisk, .tunnel: 10
        case .edge, .lossy: 30
        }
    }

    /// Needs a network of the run's own.
    package var isNetwork: Bool { ChaosSchedule.Lane(of: self) == .network }
}

extension LoadPlan.ChaosStep {
    /// For people, in reports.
    var text: String {
        switch action {
        case .killServer: "kill -9 of the server"
        case .restartServer: "restart of the server"
        case .killPostgres: "kill -9 of PostgreSQL"
        case .scale: "\(count ?? 0) listeners"
        case .fillDisk: "disk full"
        case .edge: "EDGE"
        case .lossy: "lossy network"
        case .tunnel: "tunnel"
        }
    }
}

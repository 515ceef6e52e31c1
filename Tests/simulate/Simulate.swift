import DiskSimulation
import Dispatch
import Foundation
import Synchronization

/// Runs simulations: simulate [--seeds N] [--seed S] [--level probe|log|queue|damage] [--threads N] [--least N]
/// [--without-syncs] [--without-directory-syncs].
///
/// Prints what happened and which seeds failed; exits with 1 if any did, or if a kind of fault was hit
/// less often than `--least` says.
@main
enum Simulate {
    static func main() {
        fixHashing()
        Mutants.runIfAsked(CommandLine.arguments.dropFirst())
        guard let arguments = Arguments(CommandLine.arguments.dropFirst()) else {
            print(
                "usage: simulate [--seeds N] [--seed S] [--level probe|log|queue|damage] [--threads N] "
                    + "[--least N] [--without-syncs] [--without-directory-syncs]")
            exit(64)
        }
        let start = ContinuousClock.now
        let tally = run(arguments)
        let took = ContinuousClock.now - start
        print(tally.text(arguments, took: took))
        exit(tally.failures.isEmpty && tally.rare(arguments.least).isEmpty ? 0 : 1)
    }

    /// Dictionaries are in the same order every time: the seed alone decides.
    private static func fixHashing() {
        guard ProcessInfo.processInfo.environment["SWIFT_DETERMINISTIC_HASHING"] == nil else {
            return
        }
        setenv("SWIFT_DETERMINISTIC_HASHING", "1", 1)
        var arguments = CommandLine.arguments.map { strdup($0) }
        arguments.append(nil)
        execv("/proc/self/exe", arguments)
        print("simulate cannot run itself again: errno \(errno)")
        exit(71)
    }

    private static func run(_ arguments: Arguments) -> Tally {
        let tally = Mutex(Tally())
        let next = Atomic<UInt64>(arguments.first)
        let end = arguments.first + UInt64(arguments.seeds)
        DispatchQueue.concurrentPerform(iterations: arguments.threads) { _ in
            while true {
                let seed = next.wrappingAdd(1, ordering: .relaxed).oldValue
                guard seed < end else { return }
                for level in arguments.levels {
                    let run = Tally(level, seed: seed, plan: arguments.plan)
                    for failure in run.failures { print("\(level.rawValue): \(failure)") }
                    tally.withLock { $0.add(run) }
                }
            }
        }
        return tally.withLock { $0 }
    }
}

/// What is simulated.
enum Level: String, CaseIterable {
    case probe
    case log
    case queue
    case damage
}

struct Arguments {
    var seeds = 1000
    var first: UInt64 = 1
    var levels = Level.allCases
    var threads = ProcessInfo.processInfo.activeProcessorCount
    var least = 0
    var plan = SimulatedDisk.Plan()

    /// Nil for anything that is not understood.
    init?(_ arguments: ArraySlice<String>) {
        var rest = arguments
        while let name = rest.popFirst() {
            switch name {
            case "--without-syncs": plan.ignoresSyncs = true
            case "--without-directory-syncs": plan.ignoresDirectorySyncs = true
            case "--level":
                guard let level = rest.popFirst().flatMap(Level.init(rawValue:)) else { return nil }
                levels = [level]
            default:
                guard let value = rest.popFirst().flatMap({ UInt64($0) }) else { return nil }
                switch name {
                case "--seeds": seeds = Int(value)
                case "--seed":
                    first = value
                    seeds = 1
                case "--from": first = value
                case "--threads": threads = max(1, Int(value))
                case "--least": least = Int(value)
                default: return nil
                }
            }
        }
    }
}

/// What many runs came to.
struct Tally: Sendable {
    var runs: [Level: Int] = [:]
    var operations = 0
    var deliveries = 0
    var openings = 0
    var compactions = 0
    var settledOnFullDisk = 0
    /// Bundles that were damaged, and named.
    var losses = 0
    var counts = SimulatedDisk.Counts()
    var failures: [SimulationFailure] = []

    init() {}

    /// Runs one seed of a level.
    init(_ level: Level, seed: UInt64, plan: SimulatedDisk.Plan) {
        runs[level] = 1
        switch level {
        case .probe:
            do {
                try MutantProbes(seed: seed).run()
                try QueueProbes(seed: seed).run()
            } catch {
                fail(error, seed)
            }
        case .log:
            do {
                var simulation = try LogSimulation(seed: seed)
                simulation.plan = plan
                defer {
                    counts = simulation.disk.counts
                    operations = simulation.operation
                }
                try simulation.run()
            } catch {
                fail(error, seed)
            }
        case .queue:
            let simulation = QueueSimulation(seed: seed)
            simulation.plan = plan
            do {
                try simulation.run()
            } catch {
                fail(error, seed)
            }
            counts = simulation.disk.counts
            operations = simulation.operation
            deliveries = simulation.deliveries
            openings = simulation.openings
            compactions = simulation.compactions
            settledOnFullDisk = simulation.settledOnFullDisk
        case .damage:
            let simulation = DamageSimulation(seed: seed)
            do {
                try simulation.run()
            } catch {
                fail(error, seed)
            }
            counts = simulation.disk.counts
            operations = simulation.operation
            deliveries = simulation.deliveries
            losses = simulation.losses
            compactions = simulation.compactions
        }
    }

    private mutating func fail(_ error: any Error, _ seed: UInt64) {
        failures.append(
            error as? SimulationFailure
                ?? SimulationFailure(seed: seed, operation: 0, what: "\(error)"))
    }

    mutating func add(_ other: Tally) {
        runs.merge(other.runs, uniquingKeysWith: +)
        operations += other.operations
        deliveries += other.deliveries
        openings += other.openings
        compactions += other.compactions
        settledOnFullDisk += other.settledOnFullDisk
        losses += other.losses
        counts.add(other.counts)
        failures += other.failures
    }

    /// Kinds of faults that were hit less often than that.
    func rare(_ least: Int) -> [SimulatedDisk.Fault] {
        SimulatedDisk.Fault.allCases.filter { counts[$0] < least }
    }

    func text(_ arguments: Arguments, took: Duration) -> String {
        let levels = runs.sorted { $0.key.rawValue < $1.key.rawValue }
            .map { "\($0.value) of the \($0.key.rawValue)" }
        var lines = [
            "\(arguments.seeds) seeds from \(arguments.first) in \(took.components.seconds) s: "
                + levels.joined(separator: ", "),
            "  \(operations) operations, \(openings) openings of the queue, \(deliveries) deliveries, "
                + "\(compactions) segments written anew, \(settledOnFullDisk) settlements synced on a full disk, \(losses) damaged and named",
            "  \(counts.calls) calls of the disk: \(counts.reads) reads, \(counts.writes) writes, "
                + "\(counts.syncs) syncs, \(counts.directorySyncs) directory syncs",
        ]
        for fault in SimulatedDisk.Fault.allCases {
            lines.append("  \(fault.rawValue): \(counts[fault])")
        }
        for fault in rare(arguments.least) {
            lines.append("hit less than \(arguments.least) times: \(fault.rawValue)")
        }
        let seeds = Set(failures.map(\.seed)).sorted()
        lines.append(
            seeds.isEmpty
                ? "nothing was lost"
                : "\(seeds.count) seeds failed: "
                    + seeds.prefix(50).map(String.init).joined(separator: " "))
        return lines.joined(separator: "\n")
    }
}

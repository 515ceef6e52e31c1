import DiskSimulation
import Foundation
import Synchronization

/// Runs each mutant until a seed kills it: `simulate --mutants [--seeds N] [--threads N]`.
///
/// A mutant has a process of its own, for its switch is the process's: what kills it must be found by a
/// simulation or the order checker there, not by the end of the process.
enum Mutants {
    /// How a mutant ended.
    private enum End {
        case killed(by: String, seeds: Int)
        case survived(seeds: Int)
        case broke(status: Int32)
    }

    /// The end of a child that killed its mutant, or did not.
    private static let killedStatus: Int32 = 10
    private static let survivedStatus: Int32 = 11

    /// Takes over if the arguments ask for mutants.
    static func runIfAsked(_ arguments: ArraySlice<String>) {
        var rest = arguments
        var seeds = 2000
        var threads = ProcessInfo.processInfo.activeProcessorCount
        var name: String?
        guard let first = rest.popFirst(), first == "--mutants" || first == "--mutant" else {
            return
        }
        if first == "--mutant" { name = rest.popFirst() }
        while let option = rest.popFirst() {
            guard let value = rest.popFirst().flatMap({ Int($0) }), value > 0 else { break }
            switch option {
            case "--seeds": seeds = value
            case "--threads": threads = value
            default: break
            }
        }
        if let name { runOne(name, seeds: seeds) }
        runAll(seeds: seeds, threads: threads)
    }

    // MARK: One

    /// Runs one mutant in this process, and prints what killed it and after how many seeds.
    static func runOne(_ name: String, seeds: Int) -> Never {
        guard let mutant = Mutant.all.first(where: { $0.name == name }), mutant.begin() else {
            print("no mutant \(name): is this a build with WAYBILL_MUTANTS=1?")
            exit(64)
        }
        for seed in 1...UInt64(seeds) {
            for level in levels {
                _ = mutant.begin()
                guard let failure = failure(level, seed: seed) else { continue }
                Mutant.endAll()
                // What fails without the mutant too says nothing about it.
                if self.failure(level, seed: seed) != nil { continue }
                print("\(seed)\t\(level?.rawValue ?? "probe"): \(failure)")
                exit(killedStatus)
            }
        }
        print("\(seeds)\t")
        exit(survivedStatus)
    }

    /// What each seed runs; nil for the probe.
    private static var levels: [Level?] { [nil] + Level.allCases.map { $0 } }

    /// What a simulation notices, if anything.
    private static func failure(_ level: Level?, seed: UInt64) -> String? {
        guard let level else {
            do {
                try MutantProbes(seed: seed).run()
                return nil
            } catch {
                return error.what
            }
        }
        return Tally(level, seed: seed, plan: SimulatedDisk.Plan()).failures.first?.what
    }

    // MARK: All

    /// Prints the table; exits with 1 if a mutant survives, breaks the process, or has no call site.
    static func runAll(seeds: Int, threads: Int) -> Never {
        let start = ContinuousClock.now
        guard Mutant.all.first?.begin() == true else {
            print("this build has no mutants: set WAYBILL_MUTANTS=1")
            exit(64)
        }
        let ends = Mutex<[String: End]>([:])
        let next = Atomic(0)
        DispatchQueue.concurrentPerform(iterations: threads) { _ in
            while true {
                let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
                guard index < Mutant.all.count else { return }
                let name = Mutant.all[index].name
                let end = child(name, seeds: seeds)
                ends.withLock { $0[name] = end }
            }
        }
        let all = ends.withLock { $0 }
        let places = places()
        print("| call site | mutant | killed by | seeds |\n|---|---|---|---|")
        for mutant in Mutant.all {
            print(row(mutant, all[mutant.name], places[mutant.name] ?? []))
        }
        let alive = Mutant.all.filter { mutant in
            if case .killed = all[mutant.name] { places[mutant.name] == nil } else { true }
        }
        let seconds = (ContinuousClock.now - start).components.seconds
        print(
            "\(Mutant.all.count) mutants, \(alive.count) alive, in \(seconds) s"
                + alive.map { "\n  alive: " + $0.name }.joined())
        exit(alive.isEmpty ? 0 : 1)
    }

    private static func places() -> [String: [MutantCallSites.Call]] {
        do {
            let calls = try MutantCallSites.find(in: MutantCallSites.repository)
            return Dictionary(grouping: calls, by: \.mutant)
        } catch {
            print("the sources cannot be read: \(error)")
            exit(66)
        }
    }

    private static func row(
        _ mutant: Mutant, _ end: End?, _ places: [MutantCallSites.Call]
    ) -> String {
        let place = places.map { "`\($0.file)` `\($0.function)`" }.joined(separator: ", ")
        let (killer, seeds) =
            switch end {
            case .killed(let by, let seeds): (by, "\(seeds)")
            case .survived(let seeds): ("**survived**", "\(seeds)")
            case .broke(let status): ("**ended the process** (\(status))", "")
            case nil: ("**was not run**", "")
            }
        return "| \(place.isEmpty ? "none" : place) | \(mutant.name): \(mutant.change) "
            + "| \(killer) | \(seeds) |"
    }

    /// Runs a mutant in a process of its own.
    private static func child(_ name: String, seeds: Int) -> End {
        let process = Process()
        process.executableURL = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
        process.arguments = ["--mutant", name, "--seeds", "\(seeds)"]
        let output = Pipe()
        process.standardOutput = output
        do {
            try process.run()
            let data = try output.fileHandleForReading.readToEnd() ?? Data()
            process.waitUntilExit()
            // Further lines say what came before.
            let fields = String(decoding: data, as: UTF8.self).prefix { $0 != "\n" }
                .split(separator: "\t", maxSplits: 1)
            let count = fields.first.flatMap { Int($0) } ?? 0
            let what = fields.last ?? ""
            switch (process.terminationReason, process.terminationStatus) {
            case (.exit, killedStatus): return .killed(by: shortened(what), seeds: count)
            case (.exit, survivedStatus): return .survived(seeds: count)
            case (_, let status): return .broke(status: status)
            }
        } catch {
            return .broke(status: -1)
        }
    }

    /// Without the numbers that differ from seed to seed, and what a table cannot hold.
    private static func shortened(_ what: Substring) -> String {
        let text = what.replacing("|", with: "/").replacing(", after", with: "")
        return text.count > 110 ? text.prefix(107) + "…" : String(text)
    }
}

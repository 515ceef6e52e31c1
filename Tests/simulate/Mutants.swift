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
        guard let first = rest.popFirst(), first == "--mutants" || first == "--mutant" else {
            return
        }
        let name = first == "--mutant" ? rest.popFirst() : nil
        var seeds: ClosedRange<UInt64> = 1...2000
        var levels = Level.allCases
        var threads = ProcessInfo.processInfo.activeProcessorCount
        while let option = rest.popFirst(), let value = rest.popFirst() {
            switch (option, UInt64(value)) {
            case ("--seeds", let count?) where count > 0: seeds = 1...count
            case ("--seed", let seed?): seeds = seed...seed
            case ("--threads", let count?) where count > 0: threads = Int(count)
            case ("--level", _):
                guard let level = Level(rawValue: value) else { usage() }
                levels = [level]
            default: usage()
            }
        }
        if let name { runOne(name, seeds, levels) }
        runAll(seeds: Int(seeds.upperBound), threads: threads)
    }

    private static func usage() -> Never {
        print(
            "usage: simulate --mutants [--seeds N] [--threads N] | "
                + "--mutant NAME|none [--seeds N] [--seed S] [--level probe|log|queue|damage]")
        exit(64)
    }

    // MARK: One

    /// Runs one mutant in this process, or none. Says what it is about to do; the last line says what
    /// killed the mutant, and at which seed.
    private static func runOne(
        _ name: String, _ seeds: ClosedRange<UInt64>, _ levels: [Level]
    ) -> Never {
        let mutant = Mutant.all.first { $0.name == name }
        guard name == "none" || mutant?.begin() == true else {
            print("no mutant \(name): is this a build with WAYBILL_MUTANTS=1?")
            exit(64)
        }
        for seed in seeds {
            for level in levels {
                _ = mutant?.begin()
                report(seed, level.rawValue)
                guard let failure = failure(level, seed: seed) else { continue }
                Mutant.endAll()
                // What fails without the mutant too says nothing about it.
                if mutant != nil, self.failure(level, seed: seed) != nil { continue }
                let first = failure.prefix { $0 != "\n" }
                report(seed, "\(level.rawValue): \(first)")
                exit(killedStatus)
            }
        }
        report(seeds.upperBound, "")
        exit(survivedStatus)
    }

    /// One line, out at once: the process may not come to the next.
    private static func report(_ seed: UInt64, _ text: String) {
        print("\(seed)\t\(text)")
        fflush(nil)
    }

    /// What a simulation notices, if anything.
    private static func failure(_ level: Level, seed: UInt64) -> String? {
        // Probes are quick, and each run is one of many.
        let count: UInt64 = level == .probe ? 8 : 1
        for part in 0..<count {
            let tally = Tally(
                level, seed: (seed - 1) * count + 1 + part, plan: SimulatedDisk.Plan())
            if let failure = tally.failures.first { return failure.what }
        }
        return nil
    }

    // MARK: All

    /// Prints the table, each row when its mutant has ended; exits with 1 if a mutant survives, breaks
    /// the process, or has no call site.
    private static func runAll(seeds: Int, threads: Int) -> Never {
        let start = ContinuousClock.now
        guard Mutant.all.first?.begin() == true else {
            print("this build has no mutants: set WAYBILL_MUTANTS=1")
            exit(64)
        }
        let places = places()
        print("| call site | mutant | killed by | seeds |\n|---|---|---|---|")
        fflush(nil)
        let alive = Mutex<[String]>([])
        let next = Atomic(0)
        DispatchQueue.concurrentPerform(iterations: threads) { _ in
            while true {
                let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
                guard index < Mutant.all.count else { return }
                let mutant = Mutant.all[index]
                let end = child(mutant.name, seeds: seeds)
                alive.withLock { alive in
                    print(row(mutant, end, places[mutant.name] ?? []))
                    fflush(nil)
                    if case .killed = end, places[mutant.name] != nil { return }
                    alive.append(mutant.name)
                }
            }
        }
        let names = alive.withLock { $0.sorted() }
        let seconds = (ContinuousClock.now - start).components.seconds
        print(
            "\(Mutant.all.count) mutants, \(names.count) alive, in \(seconds) s"
                + names.map { "\n  alive: " + $0 }.joined())
        exit(names.isEmpty ? 0 : 1)
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
        _ mutant: Mutant, _ end: End, _ places: [MutantCallSites.Call]
    ) -> String {
        let place = places.map { "`\($0.file)` `\($0.function)`" }.joined(separator: ", ")
        let (killer, seeds) =
            switch end {
            case .killed(let by, let seeds): (by, "\(seeds)")
            case .survived(let seeds): ("**survived**", "\(seeds)")
            case .broke(let status): ("**ended the process** (\(status))", "")
            }
        return "| \(place.isEmpty ? "none" : place) | \(mutant.name): \(mutant.change) "
            + "| \(killer) | \(seeds) |"
    }

    /// Runs a mutant in a process of its own.
    private static func child(_ name: String, seeds: Int) -> End {
        let run = process(["--mutant", name, "--seeds", "\(seeds)"])
        let seed = run.seed
        switch (run.reason, run.status) {
        case (.exit, killedStatus): return .killed(by: shortened(run.text), seeds: seed)
        case (.exit, survivedStatus): return .survived(seeds: seed)
        case (.uncaughtSignal, let signal):
            // A server that ends at what it reads never starts again; unless it does without the mutant.
            let control = process(["--mutant", "none", "--seed", "\(seed)", "--level", run.text])
            guard control.reason == .exit, control.status == survivedStatus else {
                return .broke(status: signal)
            }
            return .killed(by: "\(run.text): the process ends (signal \(signal))", seeds: seed)
        case (_, let status): return .broke(status: status)
        }
    }

    /// Runs this program; the last line of what it printed.
    private static func process(
        _ arguments: [String]
    ) -> (reason: Process.TerminationReason, status: Int32, seed: Int, text: String) {
        let process = Process()
        process.executableURL = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
        process.arguments = arguments
        let output = Pipe()
        process.standardOutput = output
        do {
            try process.run()
            let data = try output.fileHandleForReading.readToEnd() ?? Data()
            process.waitUntilExit()
            let fields = String(decoding: data, as: UTF8.self).split(separator: "\n").last?
                .split(separator: "\t", maxSplits: 1)
            return (
                process.terminationReason, process.terminationStatus,
                fields?.first.flatMap { Int($0) } ?? 0, fields?.last.map(String.init) ?? ""
            )
        } catch {
            return (.exit, -1, 0, "")
        }
    }

    /// Without what a table cannot hold, and without what the queue held besides.
    private static func shortened(_ what: String) -> String {
        let end = what.firstRange(of: "; depth ")?.lowerBound ?? what.endIndex
        let text = what[..<end].replacing("|", with: "/").replacing(", after", with: "")
        return text.count > 110 ? String(text.prefix(107)) + "…" : String(text)
    }
}

import DiskSimulation
import Foundation

/// Runs simulations: simulate [--seeds N] [--seed S]. Prints what happened, and exits with 1 at the
/// first failure of each seed.
@main
enum Simulate {
    static func main() throws {
        var seeds = 1000
        var first: UInt64 = 1
        var rest = CommandLine.arguments.dropFirst()
        var plan = SimulatedDisk.Plan()
        while let name = rest.popFirst() {
            if name == "--without-syncs" { plan.ignoresSyncs = true; continue }
            if name == "--without-directory-syncs" { plan.ignoresDirectorySyncs = true; continue }
            guard let value = rest.popFirst() else { break }
            switch name {
            case "--seeds": seeds = Int(value) ?? seeds
            case "--seed":
                first = UInt64(value) ?? first
            default: break
            }
        }
        var failures = 0
        var totals = SimulatedDisk.Counts()
        for seed in first..<first + UInt64(seeds) {
            var simulation = try LogSimulation(seed: seed)
            simulation.plan = plan
            do {
                try simulation.run()
            } catch {
                failures += 1
                print(error)
            }
            totals.add(simulation.disk.counts)
        }
        print("\(seeds) seeds, \(totals)")
        print(failures == 0 ? "nothing was lost" : "\(failures) seeds failed")
        exit(failures == 0 ? 0 : 1)
    }
}

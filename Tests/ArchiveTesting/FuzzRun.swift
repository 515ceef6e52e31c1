internal import Foundation

/// How many random inputs a test tries, and from which seed.
///
/// `WAYBILL_TEST_FUZZ_INPUTS` says how many (a few thousand without it), `WAYBILL_TEST_SEED` where
/// to begin. Each input has a seed of its own, the first one's plus its number: what a failure
/// names, tried alone with one input, gives the same input again.
package struct FuzzRun: Sendable {
    package let firstSeed: UInt64
    package let inputCount: Int

    /// Prints the seed, so that a run that crashes can be had again.
    package init(_ name: String, inputCount standard: Int) {
        let environment = ProcessInfo.processInfo.environment
        firstSeed =
            environment["WAYBILL_TEST_SEED"].flatMap { UInt64($0) }
            ?? UInt64.random(in: 0...UInt64.max)
        inputCount = environment["WAYBILL_TEST_FUZZ_INPUTS"].flatMap { Int($0) } ?? standard
        print("fuzzing \(name): \(inputCount) inputs, WAYBILL_TEST_SEED=\(firstSeed)")
    }

    /// Calls `body` with each input's seed until it says that something was found.
    package func run(_ body: (_ seed: UInt64) throws -> Bool) rethrows {
        for index in 0..<inputCount {
            guard try body(firstSeed &+ UInt64(index)) else { return }
        }
    }
}

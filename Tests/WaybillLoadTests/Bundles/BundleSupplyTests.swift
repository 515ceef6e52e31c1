import Glibc
import Synchronization
import Testing
import WaybillModel

@testable import WaybillLoad

@Suite(.timeLimit(.minutes(1))) struct BundleSupplyTests {
    /// Waits for a bundle as the traffic does.
    private func bundle(_ number: Int, of supply: BundleSupply) async throws -> SealedBundle {
        if let bundle = supply.take(number) { return bundle }
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            supply.whenReady(number) { continuation.resume() }
        }
        return try #require(supply.take(number))
    }

    private func again(_ number: Int, of supply: BundleSupply) async -> SealedBundle? {
        await withCheckedContinuation { continuation in
            supply.sealAgain(number) { continuation.resume(returning: $0) }
        }
    }

    /// Polls: what is waited for happens on the supply's threads, which tell nobody.
    private func wait(until isTrue: () -> Bool) async throws {
        while !isTrue() { try await Task.sleep(for: .milliseconds(1)) }
    }

    private func plan(_ bundles: Int?, transactions: Int = 3) -> LoadPlan {
        var plan = BundleSupport.plan(
            seed: 6, mix: [.init(transactions: transactions), .init(transactions: 2, parts: 2)])
        plan.bundles = bundles
        return plan
    }

    @Test(arguments: [1, 3])
    func givesEachBundleAsTheMakerMakesIt(threads: Int) async throws {
        let maker = try BundleSupport.maker(plan(60))
        let supply = try BundleSupply(maker: maker, options: .init(threads: threads))
        let expected = try maker.seal(Array(0..<60))
        for number in 0..<60 {
            let bundle = try await bundle(number, of: supply)
            #expect(bundle.number == number)
            #expect(bundle.parts == expected[number].parts)
            #expect(bundle.digest == expected[number].digest)
        }
        #expect(supply.take(3) == nil, "each is taken once")
        await supply.stop()
    }

    @Test func staysWithinItsBoundsUntilBundlesAreTaken() async throws {
        let maker = try BundleSupport.maker(plan(nil))
        let supply = try BundleSupply(maker: maker, options: .init(threads: 2, countMax: 40))
        try await wait { supply.level.count == 40 }
        for _ in 0..<20 {
            try await Task.sleep(for: .milliseconds(1))
            #expect(supply.level.count == 40)
        }
        #expect(supply.level.starved == 0)
        for number in 0..<30 { #expect(supply.take(number) != nil) }
        // Below half it fills up again; where it did so before the last ones were taken, not once more.
        try await wait { supply.level.count > 20 }
        #expect(supply.level.count <= 40)
        _ = try await bundle(50, of: supply)
        await supply.stop()
        #expect(supply.level.byteCount == 0)
    }

    @Test func bytesAreBoundedToo() async throws {
        let maker = try BundleSupport.maker(plan(nil, transactions: 50))
        let supply = try BundleSupply(
            maker: maker, options: .init(threads: 2, bytesMax: 100_000, countMax: 100_000))
        try await wait { supply.level.byteCount >= 90_000 }
        let batches = 2 * 16 * 50 * 420
        for _ in 0..<20 {
            try await Task.sleep(for: .milliseconds(1))
            #expect(supply.level.byteCount < 100_000 + batches)
        }
        await supply.stop()
    }

    @Test func aBundleBeyondTheBoundIsMadeForWhoWaitsForIt() async throws {
        let maker = try BundleSupport.maker(plan(nil))
        let supply = try BundleSupply(maker: maker, options: .init(countMax: 10))
        try await wait { supply.level.count == 10 }
        let far = try await bundle(37, of: supply)
        #expect(far.id == maker.book.bundleID(37))
        #expect(supply.level.starved == 1)
        // Those on the way to it are there.
        #expect(supply.take(20) != nil)
        await supply.stop()
    }

    @Test func aBundleThatWasTakenIsMadeAgainWithTheSameBytes() async throws {
        let maker = try BundleSupport.maker(plan(8))
        let supply = try BundleSupply(maker: maker)
        let first = try await bundle(5, of: supply)
        #expect(await again(5, of: supply)?.parts == first.parts)
        await supply.stop()
        #expect(await again(5, of: supply) == nil)
    }

    @Test func whatLiesReadyIsToldAtOnce() async throws {
        let supply = try BundleSupply(maker: try BundleSupport.maker(plan(4)))
        try await wait { supply.level.count == 4 }
        let isCalled = Mutex(false)
        supply.whenReady(2) { isCalled.withLock { $0 = true } }
        let wasCalled = isCalled.withLock { $0 }
        #expect(wasCalled)
        #expect(supply.level.starved == 0)
        await supply.stop()
    }

    @Test(arguments: [1, 2])
    func sealsInAdvanceIntoAFileWithoutAName(threads: Int) async throws {
        var plan = plan(90)
        plan.sealsInAdvance = true
        let maker = try BundleSupport.maker(plan)
        let directory = "/tmp/waybill-spool-\(UInt64.random(in: .min ... .max))"
        try #require(mkdir(directory, 0o700) == 0)
        let supply = try BundleSupply(
            maker: maker,
            options: .init(threads: threads, countMax: 12, spoolDirectory: directory))
        // It can be removed: nothing is in it.
        #expect(rmdir(directory) == 0)
        try await supply.prepare()
        #expect(supply.level.inAdvance == 90)
        #expect(supply.level.inAdvanceMax == 90)
        let expected = try maker.seal(Array(0..<90))
        for number in 0..<90 {
            let bundle = try await bundle(number, of: supply)
            #expect(bundle.id == expected[number].id)
            #expect(bundle.parts == expected[number].parts)
            #expect(bundle.partDigests == expected[number].partDigests)
            #expect(bundle.digest == expected[number].digest)
        }
        #expect(await again(40, of: supply)?.parts == expected[40].parts)
        await supply.stop()
    }

    @Test func aSupplyThatCannotMakeItsFileDoesNotStart() throws {
        var plan = plan(9)
        plan.sealsInAdvance = true
        let maker = try BundleSupport.maker(plan)
        #expect(throws: (any Error).self) {
            try BundleSupply(
                maker: maker, options: .init(spoolDirectory: "/tmp/waybill-no-such-directory"))
        }
    }

    @Test func inAdvanceCountsWhatARateWillNeed() {
        var plan = LoadPlan()
        plan.arrivals = .init(model: .constant, rate: 100)
        plan.warmupSeconds = 1
        plan.durationSeconds = 9
        #expect(plan.bundlesInAdvance == 1_001)
        plan.arrivals.model = .poisson
        #expect((1_150...1_200).contains(plan.bundlesInAdvance))
        plan.bundles = 17
        #expect(plan.bundlesInAdvance == 17)
    }
}

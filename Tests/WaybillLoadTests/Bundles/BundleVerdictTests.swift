import Testing
import WaybillModel
import WaybillSealing

@testable import WaybillLoad

/// What is expected of a bundle, against the code of the server itself.
@Suite struct BundleVerdictTests {
    /// What was seen, so that a test that saw nothing fails.
    private struct Seen {
        var codes: Set<RejectionCode> = []
        var faults: Set<BundleFault> = []
        var outcomes = OutcomeCounts()
    }

    @Test(arguments: [1, 2, 3, 4, UInt64.random(in: 5 ... .max)])
    func eachLineBecomesWhatIsExpected(seed: UInt64) throws {
        print("seed of the bundles: \(seed)")
        let maker = try BundleSupport.maker(BundleSupport.plan(seed: seed))
        var server = JudgingServer(devices: maker.devices)
        var seen = Seen()
        for start in stride(from: 0, to: 1_000, by: 16) {
            for bundle in try maker.seal(Array(start..<start + 16)) {
                try judge(bundle, maker.book, &server, &seen)
            }
        }
        #expect(seen.codes == Set(RejectionCode.allCases).subtracting([.tooLong]))
        #expect(seen.faults == Set(BundleFault.allCases))
        #expect(seen.outcomes.accepted > 3_000)
        #expect(seen.outcomes.duplicate > 300)
        #expect(seen.outcomes.conflict > 300)
    }

    private func judge(
        _ bundle: SealedBundle, _ book: RecipeBook, _ server: inout JudgingServer,
        _ seen: inout Seen
    ) throws {
        let recipe = book.recipe(bundle.number)
        let expected = book.expectation(bundle.number, digest: bundle.digest)
        let rows = book.rows(bundle.number)
        if let fault = recipe.fault { seen.faults.insert(fault) }
        switch try server.receive(bundle, device: recipe.device) {
        case .refused:
            #expect(expected == nil)
            #expect(rows.isEmpty)
            #expect(recipe.fault?.isRefused == true)
        case .quarantined(let code):
            #expect(expected?.quarantine == code, "\(recipe)")
            #expect(rows.isEmpty)
            #expect(expected?.counts == OutcomeCounts())
            #expect(expected?.exceptions.isEmpty == true)
        case .settled(let counts, let exceptions, let stored):
            let expected = try #require(expected)
            #expect(expected.quarantine == nil)
            #expect(expected.counts == counts, "\(recipe)")
            #expect(expected.exceptions == exceptions, "\(recipe)")
            #expect(rows == stored, "\(recipe)")
            let total = counts.accepted + counts.duplicate + counts.rejected + counts.conflict
            #expect(total == book.shape(recipe).transactions)
            for row in rows {
                #expect(
                    book.row(.init(number: bundle.number, index: row.index)) == row)
            }
            seen.codes.formUnion(exceptions.compactMap(\.code))
            seen.outcomes.accepted += counts.accepted
            seen.outcomes.duplicate += counts.duplicate
            seen.outcomes.conflict += counts.conflict
        }
    }

    @Test func everyBadLineIsWhatItsNameSays() throws {
        var plan = BundleSupport.plan(seed: 8, mix: [.init(transactions: 400)])
        plan.faults.badLines = 1
        plan.faults.badBundles = 0
        let maker = try BundleSupport.maker(plan)
        var server = JudgingServer(devices: maker.devices)
        let bundle = try #require(try maker.seal([0]).first)
        guard case .settled(_, let exceptions, _) = try server.receive(bundle, device: 0) else {
            Issue.record("the bundle was not settled")
            return
        }
        var seen: Set<BadLine> = []
        let recipe = maker.book.recipe(0)
        for exception in exceptions {
            guard case .bad(let kind, let bearing) = maker.book.role(recipe, exception.index) else {
                Issue.record("no bad line at \(exception.index)")
                continue
            }
            seen.insert(kind)
            #expect(exception.code == kind.code, "\(kind)")
            let id = kind.showsID ? maker.book.ids.transaction(bearing) : nil
            #expect(exception.id == id, "\(kind)")
        }
        #expect(seen.count == BadLine.allCases.count)
    }

    @Test func aBundlesBytesFollowFromItsNumberAlone() throws {
        let plan = BundleSupport.plan(seed: 21)
        let maker = try BundleSupport.maker(plan)
        let numbers = Array(0..<48)
        let together = try maker.seal(numbers)
        for bundle in try maker.seal(numbers.reversed()) {
            #expect(together[bundle.number].parts == bundle.parts)
            #expect(together[bundle.number].digest == bundle.digest)
        }
        let again = try BundleSupport.maker(plan)
        for number in [47, 3, 20] {
            #expect(try again.seal([number]).first?.parts == together[number].parts)
        }
        let other = try BundleSupport.maker(plan, runID: 4)
        #expect(try other.seal([3]).first?.parts != together[3].parts)
        #expect(Set(together.map(\.digest)).count == 48)
    }

    @Test func digestsAreThoseOfTheBytes() throws {
        let maker = try BundleSupport.maker(
            BundleSupport.plan(seed: 1, mix: [.init(transactions: 7, parts: 3)]))
        let bundle = try #require(try maker.seal([12]).first)
        #expect(bundle.id == maker.book.bundleID(12))
        #expect(bundle.partDigests == bundle.parts.map { Digest256.of($0) })
        #expect(bundle.digest == Digest256.ofBundle(parts: bundle.partDigests))
    }
}

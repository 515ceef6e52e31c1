import Foundation
import Testing
import WaybillModel

@testable import WaybillLoad

@Suite struct ComparisonTests {
    /// Seconds that resemble their neighbours, and latencies; drawn anew for each seed.
    private func report(seed: UInt64, speed: Double = 1, slowness: Double = 1) -> LoadReport {
        var random = SampleRandom(seed: seed)
        var report = SampleReport.empty
        report.seconds = 150
        report.audit.bundles = 1
        var noise = 0.0
        for second in 1...150 {
            noise = 0.4 * noise + 0.05 * random.normal()
            var sample = LoadReport.Sample(second: Double(second))
            sample.acknowledged = Int(4000 * speed * (1 + noise))
            report.series.append(sample)
        }
        report.latencies = [
            SampleReport.latency(
                "ack", (0..<2000).map { _ in 5 * slowness * exp(0.5 * random.normal()) })
        ]
        return report
    }

    private func compare(
        _ a: LoadReport, _ b: LoadReport, resamples: Int = 120, tolerance: Double = 0
    ) -> Comparison {
        Comparison(
            a: ("a.json", a), b: ("b.json", b),
            settings: Comparison.Settings(resamples: resamples, tolerance: tolerance))
    }

    private func verdicts(_ comparison: Comparison) -> [String: Comparison.Verdict] {
        Dictionary(comparison.figures.map { ($0.name, $0.verdict) }) { first, _ in first }
    }

    @Test func oneDistributionDiffersFromItselfInOneOfTwentyTries() {
        var found: [String: Int] = [:]
        var wrong = 0
        for seed in 0..<200 as Range<UInt64> {
            let comparison = compare(report(seed: seed * 2 + 1), report(seed: seed * 2 + 2))
            for figure in comparison.figures
            where figure.verdict == .better || figure.verdict == .worse {
                found[figure.name, default: 0] += 1
            }
            if comparison.verdict == .better || comparison.verdict == .worse { wrong += 1 }
        }
        // 10 expected; 2 to 22 are four deviations.
        for name in [
            "acknowledged bundles", "acknowledging mean", "acknowledging p50", "acknowledging p99",
        ] {
            let count = found[name] ?? 0
            #expect((2...23).contains(count), "\(name): \(count) of 200")
        }
        #expect(found.count == 4)
        // Asked together, four figures are wrong no more often than one.
        #expect(wrong <= 23, "\(wrong) of 200")
    }

    @Test func tenPercentAreFound() {
        for seed in 0..<20 as Range<UInt64> {
            let a = report(seed: seed * 2 + 1001)
            let b = report(seed: seed * 2 + 1002, speed: 0.9, slowness: 1.1)
            let worse = compare(a, b)
            let found = verdicts(worse)
            for name in ["acknowledged bundles", "acknowledging mean", "acknowledging p50"] {
                #expect(found[name] == .worse, "\(name), seed \(seed)")
            }
            #expect(worse.verdict == .worse)
            let better = compare(b, a)
            #expect(verdicts(better)["acknowledging p50"] == .better)
            #expect(better.verdict == .better)
        }
    }

    @Test func whatIsToleratedIsNoDifference() {
        let a = report(seed: 1)
        let b = report(seed: 2, speed: 0.9, slowness: 1.1)
        #expect(compare(a, b, tolerance: 0.04).verdict == .worse)
        #expect(compare(a, b, tolerance: 0.3).verdict == .noDifferenceShown)
    }

    @Test func aRunIsNoDifferentFromItself() {
        let a = report(seed: 1)
        let comparison = compare(a, a)
        #expect(comparison.verdict == .noDifferenceShown)
        #expect(comparison.figures.allSatisfy { ($0.change ?? 0) == 0 })
        #expect(comparison.differences.isEmpty)
    }

    @Test func comparingAgainGivesTheSame() {
        let (a, b) = (report(seed: 1), report(seed: 2))
        #expect(compare(a, b) == compare(a, b))
    }

    @Test func intervalsHoldTheChange() throws {
        let comparison = compare(
            report(seed: 3), report(seed: 4, speed: 1.5, slowness: 0.8), resamples: 400)
        var compared = 0
        for figure in comparison.figures {
            guard let change = figure.change else { continue }
            compared += 1
            let (low, high) = (try #require(figure.changeLow), try #require(figure.changeHigh))
            #expect(low <= change && change <= high, "\(figure.name)")
            #expect(high - low < 0.5)
        }
        #expect(compared == 4)
    }

    @Test func warmUpAndWaitingAreNotCompared() {
        let a = report(seed: 1)
        var b = a
        for second in [-20, -1, 0, 170, 300] {
            var sample = LoadReport.Sample(second: Double(second))
            sample.acknowledged = 1_000_000
            b.series.append(sample)
        }
        #expect(compare(a, b).figures == compare(a, a).figures)
    }

    @Test func tellsWhatElseDiffers() {
        let a = report(seed: 1)
        var b = report(seed: 2)
        b.plan.arrivals = LoadPlan.Arrivals(model: .constant, rate: 900)
        b.plan.mix.append(LoadPlan.BundleShape(transactions: 100))
        b.machine.cores = 8
        b.generator.saturation = ["starved"]
        b.audit.add(Finding(kind: .lost, detail: ""))
        let comparison = compare(a, b)
        let paths = comparison.differences.map { $0.path }
        for path in [
            "plan.arrivals.model", "plan.arrivals.rate", "plan.mix[1].transactions",
            "machine.cores",
        ] { #expect(paths.contains(path)) }
        #expect(!paths.contains("plan.devices"))
        #expect(
            comparison.differences.first { $0.path == "machine.cores" }
                == Comparison.Difference(path: "machine.cores", a: "2", b: "8"))
        for word in ["saturated", "1 findings", "sets the rate"] {
            #expect(comparison.warnings.contains { $0.contains(word) }, "\(word)")
        }
    }

    @Test func whatIsMissingIsNotCompared() {
        let a = report(seed: 1)
        var b = report(seed: 2)
        b.series.removeLast(140)
        b.latencies[0].buckets.removeLast(b.latencies[0].buckets.count - 3)
        let comparison = compare(a, b)
        let notes = comparison.figures.compactMap { $0.note }
        #expect(notes.contains("fewer than 20 seconds"))
        #expect(notes.contains("too few bundles for this percentile"))
        #expect(notes.contains("not measured"))
        #expect(notes.contains("0 in one of the runs"))
        #expect(compare(SampleReport.empty, SampleReport.empty).verdict == .notCompared)
    }

    @Test func thePageHoldsBothRuns() throws {
        let a = SampleReport(seconds: 60, latencyCount: 1500).make()
        var b = SampleReport(seed: 2, seconds: 60, slowness: 1.4, latencyCount: 1500).make()
        b.machine.system = "<script>"
        let comparison = Comparison(
            a: ("<a>", a), b: ("b.json", b), settings: Comparison.Settings(resamples: 60))
        let page = try PageReader(comparison.html(a, b))
        #expect(!page.elements.contains("script"))
        #expect(page.texts.contains { $0.hasPrefix("<a>, 2026") })
        #expect(page.texts.contains("A: acknowledged"))
        #expect(page.texts.contains("B: acknowledged"))
        #expect(page.texts.contains("machine.system"))
        #expect(page.texts.contains { $0.hasPrefix("✗ B is worse than A") })
        #expect(page.elements.isDisjoint(with: ["link", "img", "iframe"]))
        let empty = SampleReport.empty
        _ = try PageReader(compare(empty, empty).html(empty, empty))
    }
}

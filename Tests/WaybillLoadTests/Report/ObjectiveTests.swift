import Testing

@testable import WaybillLoad

@Suite struct ObjectiveTests {
    private func report() -> LoadReport {
        var report = SampleReport.empty
        report.plan.lateSeconds = 60
        for (factor, name) in ["ack", "ack_uncorrected", "settle", "settle_uncorrected"]
            .enumerated()
        {
            let scale = Double(factor + 1)
            report.latencies.append(
                LoadReport.Latency(
                    name: name, count: 10, mean: 12 * scale, p50: 10 * scale, p90: 20 * scale,
                    p99: 30 * scale, p999: 40 * scale, max: 50 * scale,
                    buckets: [[50 * scale, 10]]))
        }
        report.audit.bundles = 100
        for (index, kind) in Finding.Kind.allCases.enumerated() {
            report.audit.counts[kind.rawValue] = index + 1
        }
        report.totals.bundlesAcknowledged = 90
        report.totals.retries = ["429": 6, "connection": 2]
        report.totals.bundlesUnanswered = 2
        report.totals.acknowledgedPerSecond = 300
        report.totals.settledPerSecond = 200
        report.totals.transactionsPerSecond = 7000
        for bytes in [100, nil, 300, 200] {
            var sample = LoadReport.Sample(second: 1)
            sample.serverBytes = bytes.map { $0 * 1_048_576 }
            report.series.append(sample)
        }
        return report
    }

    /// Each figure with the text of its exact value, one a little below and one a little above.
    private static let edges: [(name: String, at: String, below: String, above: String)] = {
        var edges: [(String, String, String, String)] = []
        for (factor, histogram) in [
            "ack", "ack_uncorrected", "settle", "settle_uncorrected",
        ].enumerated() {
            for (statistic, value) in [
                ("p50", 10), ("p90", 20), ("p99", 30), ("p999", 40), ("max", 50), ("mean", 12),
            ] {
                let value = value * (factor + 1)
                edges.append(
                    (
                        "\(histogram)_\(statistic)", "\(value)ms", "\(value - 1).99ms",
                        "\(value).01ms"
                    ))
            }
        }
        for (index, kind) in Finding.Kind.allCases.enumerated() {
            edges.append((kind.rawValue, "\(index + 1)", "\(index)", "\(index + 2)"))
        }
        return edges + [
            ("findings", "28", "27", "29"), ("errors", "10", "9", "11"),
            ("error_rate", "10%", "9.99%", "10.01%"), ("ack_rate", "300/s", "299", "300.5/s"),
            ("settle_rate", "200", "199.9/s", "200.1"), ("tx_rate", "7000/s", "6999", "7001"),
            ("server_rss", "300MiB", "299MiB", "0.5GiB"),
        ]
    }()

    @Test func theEdgesNameEveryFigure() {
        #expect(Set(Self.edges.map { $0.name }) == Set(ObjectiveFigure.all.map { $0.name }))
    }

    @Test(arguments: edges.map { $0.name })
    func judgesEachFigureAtItsEdge(name: String) throws {
        let report = report()
        let edge = try #require(Self.edges.first { $0.name == name })
        let cases: [(String, at: Bool, below: Bool, above: Bool)] = [
            ("<", false, false, true), ("<=", true, false, true), (">", false, true, false),
            (">=", true, true, false), ("==", true, false, false),
        ]
        for (relation, at, below, above) in cases {
            for (limit, expected) in [(edge.at, at), (edge.below, below), (edge.above, above)] {
                let text = "\(name)\(relation)\(limit)"
                let verdict = try Objective(text).judge(report)
                #expect(verdict.isMet == expected, "\(text)")
                #expect(verdict.objective == text)
                #expect(verdict.measured != nil)
            }
        }
    }

    @Test(arguments: [
        ("ack_p99<250us", 0.25), ("ack_p99 < 2 s", 2000), ("ack_p99<=1.5min", 90_000),
        ("ack_p99>20ms", 20), ("error_rate<0.01", 0.01), ("error_rate<1%", 0.01),
        ("server_rss<2GiB", 2_147_483_648), ("lost==0", 0), ("tx_rate>=1000/s", 1000),
    ])
    func readsUnits(text: String, limit: Double) throws {
        let objective = try Objective(text)
        #expect(abs(objective.limit - limit) < 1e-9 * max(1, limit))
    }

    @Test(arguments: [
        "", "lost", "lost=0", "lost=<0", "lost==", "lost==-1", "lost==0ms", "lost==1.2.3",
        "lost==.5", "lost==1.", "lost==nan", "lost==0x10", "lost==1e3", "ack_p99<2", "ack_p99<2h",
        "ack_p99<2MiB", "server_rss<300", "server_rss<300MB", "error_rate<1/s", "lose==0",
        "p99<2s", "<2s", "lost==0 or so", "lost==٣", "ack_p99<>2s",
    ])
    func refusesWhatItDoesNotUnderstand(text: String) {
        #expect(throws: ReportFault.self) { try Objective(text) }
    }

    @Test func listsWhatThereIs() {
        func reason(_ text: String) -> String {
            do {
                return "\(try Objective(text))"
            } catch {
                return error.description
            }
        }
        #expect(reason("lose==0").contains("settle_uncorrected_p999"))
        #expect(reason("lose==0").contains("server_rss"))
        #expect(reason("ack_p99<2").contains("us, µs, ms, s, min"))
        #expect(reason("server_rss<1MB").contains("MiB, GiB"))
        #expect(reason("lost=0").contains("<, <=, >, >=, =="))
    }

    @Test func whatTheRunDoesNotHaveIsNotMet() throws {
        let names = ["ack_p99<1min", "settle_max>=0s", "lost==0", "findings==0", "late==0"]
        for text in names + ["server_rss<100GiB", "error_rate<100%"] {
            let verdict = try Objective(text).judge(SampleReport.empty)
            #expect(!verdict.isMet, "\(text)")
            #expect(verdict.measured == nil, "\(text)")
        }
        // Lateness needs a limit: without one no bundle can be late.
        var audited = report()
        audited.plan.lateSeconds = nil
        #expect(try !Objective("late<100").judge(audited).isMet)
        #expect(try Objective("lost<100").judge(audited).isMet)
    }

    @Test func tellsAllFaultsAtOnce() {
        let (objectives, faults) = Objective.parse(["lost==0", "x", "ack_p99<2", "errors<5"])
        #expect(objectives.map { $0.text } == ["lost==0", "errors<5"])
        #expect(faults.count == 2)
    }

    @Test func showsWhatWasMeasuredInItsUnit() {
        func text(_ objective: String, _ measured: Double?) -> String {
            ObjectiveVerdict(objective: objective, measured: measured, isMet: true).measuredText
        }
        #expect(text("settle_p99<2s", 1234) == "1.23 s")
        #expect(text("lost==0", 1234) == "1,234")
        #expect(text("error_rate<1%", 0.0123) == "1.23 %")
        #expect(text("server_rss<1GiB", 262_144_000) == "250 MiB")
        #expect(text("ack_rate>1", 4177.4) == "4,177/s")
        #expect(text("of_the_future<3", 2) == "2")
        #expect(text("lost==0", nil) == "not measured")
    }
}

internal import WaybillModel

extension ReportPage {
    /// Percentiles of each histogram.
    func writeLatencies(_ page: inout MarkupWriter) {
        page.element("h2", text: "Percentiles")
        guard !report.latencies.isEmpty else {
            page.element("p", ["class": "nothing"], text: "Nothing was measured.")
            return
        }
        page.table(
            [
                .text("latency"), .number("bundles"), .number("mean"), .number("p50"),
                .number("p90"), .number("p99"), .number("p99.9"), .number("max"),
            ],
            report.latencies.map { latency in
                let figures = [
                    latency.mean, latency.p50, latency.p90, latency.p99, latency.p999, latency.max,
                ]
                return [Self.latencyName(latency.name), FigureText.count(latency.count)]
                    + figures.map { latency.count > 0 ? FigureText.milliseconds($0) : "–" }
            })
    }

    /// The marks of the drawings, by their numbers.
    func writeMarks(_ page: inout MarkupWriter) {
        let marks = TimeCharts.marks(report)
        guard !marks.isEmpty else { return }
        page.element("h2", text: "What was done to the server")
        page.table(
            [.number("no."), .number("at"), .number("until"), .text("what")],
            marks.map {
                [
                    String($0.number), AxisScale.clock($0.start),
                    $0.end.map { AxisScale.clock($0) } ?? "", $0.text,
                ]
            })
    }

    /// Counts of the whole run.
    func writeTotals(_ page: inout MarkupWriter) {
        let totals = report.totals
        page.element("h2", text: "Counts")
        var rows = [
            ("bundles acknowledged", totals.bundlesAcknowledged),
            ("bundles settled", totals.bundlesSettled),
            ("bundles quarantined", totals.bundlesQuarantined),
            ("bundles refused for good", totals.bundlesRefused),
            ("bundles without an answer", totals.bundlesUnanswered),
            ("bundles sent again on purpose", totals.resent),
            ("connections cut on purpose", totals.cuts),
            ("transactions accepted", totals.outcomes.accepted),
            ("transactions duplicate", totals.outcomes.duplicate),
            ("transactions rejected", totals.outcomes.rejected),
            ("transactions in conflict", totals.outcomes.conflict),
        ].map { ($0.0, FigureText.count($0.1)) }
        rows.append(("bytes sent", FigureText.bytes(Double(totals.bytesSent))))
        for (code, count) in totals.retries.sorted(by: { $0.key < $1.key }) {
            rows.append(("retried: \(code)", FigureText.count(count)))
        }
        page.list(rows)
    }

    /// Whether it was the generator that was slow.
    func writeGenerator(_ page: inout MarkupWriter) {
        let generator = report.generator
        page.element("h2", text: "The generator itself")
        page.element(
            "p",
            text: generator.saturation.isEmpty
                ? "It was not saturated: the figures are the server's."
                : "It was saturated: " + generator.saturation.joined(separator: "; ") + ".")
        page.list([
            ("uploads that waited for sealing", FigureText.count(generator.starved)),
            ("delay of sending, p99", FigureText.milliseconds(generator.sendDelayP99)),
            ("event loops' share of a core", FigureText.percent(generator.loopCPU)),
        ])
    }

    /// What the run was made on.
    func writeMachine(_ page: inout MarkupWriter) {
        let machine = report.machine
        page.element("h2", text: "Machine")
        page.list([
            ("processor", machine.processor), ("cores", String(machine.cores)),
            ("memory", FigureText.bytes(Double(machine.memoryBytes))), ("system", machine.system),
        ])
    }

    /// The whole plan.
    func writePlan(_ page: inout MarkupWriter) {
        page.element("h2", text: "Plan")
        do {
            let yaml = try report.plan.yaml()
            page.element("pre", text: yaml)
        } catch {
            // What cannot be written as YAML can still be listed.
            page.list(FlatValues.of(report.plan).map { ($0.path, $0.text) })
        }
    }
}

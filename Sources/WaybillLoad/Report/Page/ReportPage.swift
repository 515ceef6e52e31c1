extension LoadReport {
    /// The report as one HTML file without scripts and without anything outside of itself.
    package var html: String {
        ReportPage(report: self).html
    }
}

/// One run as a page: the verdict first, then how it went, then all that belongs to it.
struct ReportPage {
    let report: LoadReport

    var html: String {
        Page.html(title: title) { page in
            page.element("h1", text: title)
            page.element("p", ["class": "sub"], text: summary)
            writeVerdict(&page)
            writeWarnings(&page)
            writeObjectives(&page)
            writeFindings(&page)
            writeFigures(&page)
            writeCharts(&page)
            writeLatencies(&page)
            writeMarks(&page)
            writeTotals(&page)
            writeGenerator(&page)
            writeMachine(&page)
            writePlan(&page)
        }
    }

    private var title: String {
        "Load run of " + FigureText.minute(report.startedAt)
    }

    private var summary: String {
        let plan = report.plan
        let arrivals =
            switch plan.arrivals.model {
            case .closed: "as fast as \(FigureText.count(plan.connections)) connections go"
            case .constant:
                "\(FigureText.number(plan.arrivals.rate ?? 0)) bundles/s at equal intervals"
            case .poisson:
                "\(FigureText.number(plan.arrivals.rate ?? 0)) bundles/s at random (Poisson)"
            }
        return "\(FigureText.seconds(report.seconds)) measured · "
            + "\(FigureText.count(plan.devices)) devices · \(arrivals)"
            + (plan.chaos.isEmpty ? "" : " · with chaos")
    }

    private func writeFigures(_ page: inout MarkupWriter) {
        let totals = report.totals
        let settled = report.latency("settle").flatMap { $0.count > 0 ? $0.p99 : nil }
        let acknowledged = report.latency("ack").flatMap { $0.count > 0 ? $0.p99 : nil }
        let backlog = report.series.compactMap(\.backlog).max()
        let memory = report.series.compactMap(\.serverBytes).max()
        page.element("h2", text: "How it went")
        page.tiles(
            [
                MarkupWriter.Tile(
                    figure: FigureText.number(totals.acknowledgedPerSecond),
                    label: "bundles acknowledged /s"),
                MarkupWriter.Tile(
                    figure: FigureText.number(totals.settledPerSecond), label: "bundles settled /s"),
                MarkupWriter.Tile(
                    figure: FigureText.number(totals.transactionsPerSecond),
                    label: "transactions /s"),
                MarkupWriter.Tile(
                    figure: acknowledged.map(FigureText.milliseconds) ?? "–",
                    label: "acknowledged, p99"),
                MarkupWriter.Tile(
                    figure: settled.map(FigureText.milliseconds) ?? "–", label: "settled, p99"),
                MarkupWriter.Tile(
                    figure: FigureText.count(totals.errors), label: "errors that were retried"),
                MarkupWriter.Tile(
                    figure: backlog.map { FigureText.count($0) } ?? "–", label: "largest backlog"),
                MarkupWriter.Tile(
                    figure: memory.map { FigureText.bytes(Double($0)) } ?? "–",
                    label: "server's memory, at most"),
            ], isSmall: true)
    }

    private func writeCharts(_ page: inout MarkupWriter) {
        let charts = TimeCharts([TimeCharts.Run(name: "", report: report)])
        var all = [charts.bundles, charts.transactions, charts.latencies]
        all.append(
            LatencyCharts.percentiles(
                "Latency by percentile",
                note: "Corrected: from the moment at which the plan wanted the bundle sent. "
                    + "Uncorrected: from its first byte. Both axes logarithmic.",
                Self.curves(report)))
        for (name, title, colour) in [
            ("ack", "Latencies of acknowledging (corrected)", 1),
            ("settle", "Latencies of settling (corrected)", 2),
        ] {
            if let latency = report.latency(name) {
                all.append(LatencyCharts.histogram(title, latency, colour: colour))
            }
        }
        all += [
            charts.backlog, charts.listeners, charts.errors, charts.memory, charts.processors,
            charts.sealedAhead,
        ]
        page.figures(all)
    }

    private static func curves(_ report: LoadReport) -> [LatencyCharts.Curve] {
        let wanted: [(String, Chart.Style)] = [
            ("ack", Chart.Style(colour: 1)),
            ("ack_uncorrected", Chart.Style(colour: 1, isDashed: true)),
            ("settle", Chart.Style(colour: 2)),
            ("settle_uncorrected", Chart.Style(colour: 2, isDashed: true)),
        ]
        return wanted.compactMap { name, style in
            report.latency(name).map {
                LatencyCharts.Curve(name: latencyName(name), latency: $0, style: style)
            }
        }
    }

    /// A histogram's name for people.
    static func latencyName(_ name: String) -> String {
        switch name {
        case "ack": "acknowledged, corrected"
        case "ack_uncorrected": "acknowledged, uncorrected"
        case "settle": "settled, corrected"
        case "settle_uncorrected": "settled, uncorrected"
        default: name
        }
    }
}

extension Comparison {
    /// Both runs laid on each other, as one HTML file without anything outside of itself.
    ///
    /// - Parameters:
    ///   - first: the report that A was.
    ///   - second: the report that B was.
    package func html(_ first: LoadReport, _ second: LoadReport) -> String {
        ComparisonPage(comparison: self, first: first, second: second).html
    }
}

/// Two runs as a page.
struct ComparisonPage {
    let comparison: Comparison
    let first: LoadReport
    let second: LoadReport

    var html: String {
        Page.html(title: "Two load runs compared") { page in
            page.element("h1", text: "Two load runs compared")
            page.list([("A", Self.name(comparison.a)), ("B", Self.name(comparison.b))])
            page.verdict(
                Self.mood(comparison.verdict), comparison.headline,
                [
                    "Intervals are bootstrapped from what happened within these two runs; how far "
                        + "apart two runs of the same program lie, only more runs can tell."
                ])
            writeDifferences(&page)
            writeFigures(&page)
            writeCharts(&page)
        }
    }

    private static func name(_ side: Comparison.Side) -> String {
        "\(side.name), \(FigureText.minute(side.startedAt)), "
            + FigureText.seconds(side.seconds)
    }

    static func mood(_ verdict: Comparison.Verdict) -> MarkupWriter.Mood {
        switch verdict {
        case .better: .good
        case .worse: .bad
        case .noDifferenceShown: .plain
        case .notCompared: .warn
        }
    }

    private func writeDifferences(_ page: inout MarkupWriter) {
        if !comparison.warnings.isEmpty {
            page.verdict(.warn, "Read with care.", comparison.warnings)
        }
        guard !comparison.differences.isEmpty else {
            page.element("p", text: "Plan and machine are the same.")
            return
        }
        page.element("h2", text: "What else differs")
        page.element(
            "p", text: "The runs are not alike in these, any of which may be the reason.")
        page.table(
            [.text(""), .text("A"), .text("B")],
            comparison.differences.map { [$0.path, $0.a ?? "–", $0.b ?? "–"] })
    }

    private func writeFigures(_ page: inout MarkupWriter) {
        page.element("h2", text: "Figures")
        page.element("div", ["class": "scroll"]) { page in
            page.element("table") { page in
                page.element("thead") { page in
                    page.element("tr") { page in
                        for title in ["figure", "A", "B", "change", "95 % interval", ""] {
                            let isNumber = ["A", "B", "change"].contains(title)
                            page.element("th", ["class": isNumber ? "n" : ""], text: title)
                        }
                        page.element("th", text: "verdict")
                    }
                }
                page.element("tbody") { page in
                    for figure in comparison.figures { writeRow(figure, &page) }
                }
            }
        }
        page.element(
            "p", ["class": "note"],
            text: "* Holds as well when all figures are asked at once; the verdict above rests on "
                + "these.")
    }

    private func writeRow(_ figure: Comparison.Figure, _ page: inout MarkupWriter) {
        let mood = Self.mood(figure.verdict)
        page.element("tr") { page in
            page.element("td", text: figure.name)
            page.element("td", ["class": "n"], text: figure.text(figure.a))
            page.element("td", ["class": "n"], text: figure.text(figure.b))
            page.element(
                "td", ["class": "n"], text: figure.change.map(FigureText.change) ?? "–")
            page.element("td", text: figure.intervalText)
            page.element("td") { writeForest(figure, &$0) }
            page.element(
                "td", ["class": mood.rawValue],
                text: (figure.verdict == .notCompared ? "" : mood.sign) + figure.verdict.text
                    + (figure.isSure ? " *" : ""))
        }
    }

    /// The largest change that the intervals' drawings must hold, at most doubling.
    private var reach: Double {
        let ends = comparison.figures.flatMap { [$0.changeLow, $0.changeHigh].compactMap { $0 } }
        return min(1, max(0.02, (ends.map(abs).max() ?? 0) * 1.05))
    }

    private func writeForest(_ figure: Comparison.Figure, _ page: inout MarkupWriter) {
        guard let low = figure.changeLow, let high = figure.changeHigh, let change = figure.change
        else { return }
        let reach = reach
        func x(_ value: Double) -> Double { 110 + min(max(value / reach, -1), 1) * 105 }
        page.element("svg", ["class": "forest", "viewBox": "0 0 220 22"]) { page in
            page.element("title", text: "\(figure.name): \(figure.intervalText)")
            page.empty("path", ["class": "zero", "d": "M110 1V21"])
            page.empty("path", ["class": "l s1", "d": "M\(drawn(x(low))) 11H\(drawn(x(high)))"])
            page.empty("path", ["class": "l s1", "d": "M\(drawn(x(low))) 7V15"])
            page.empty("path", ["class": "l s1", "d": "M\(drawn(x(high))) 7V15"])
            page.empty("circle", ["class": "f1", "cx": drawn(x(change)), "cy": "11", "r": "3.5"])
        }
    }

    private func writeCharts(_ page: inout MarkupWriter) {
        page.element("h2", text: "Over time")
        let charts = TimeCharts([
            TimeCharts.Run(name: "A", report: first), TimeCharts.Run(name: "B", report: second),
        ])
        page.figures([charts.acknowledged, charts.transactions, charts.slowest, charts.backlog])
        page.element("h2", text: "Latency by percentile")
        page.figures(
            [("ack", "Acknowledging"), ("settle", "Settling")].map { name, title in
                LatencyCharts.percentiles(
                    title, note: "Corrected. Both axes logarithmic.",
                    [("A", first, 1), ("B", second, 2)].compactMap { side, report, colour in
                        report.latency(name).map {
                            LatencyCharts.Curve(
                                name: side, latency: $0, style: Chart.Style(colour: colour))
                        }
                    })
            })
    }
}

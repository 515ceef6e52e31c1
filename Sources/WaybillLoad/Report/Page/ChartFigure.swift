extension MarkupWriter {
    /// Each chart in which there is something to be seen, and which there are none of.
    mutating func figures(_ charts: [Chart]) {
        for chart in charts where !chart.isEmpty { figure(chart) }
        let missing = charts.filter { $0.isEmpty }.map { $0.title }
        guard !missing.isEmpty else { return }
        element(
            "p", ["class": "nothing"],
            text: "Not measured: " + missing.joined(separator: ", ") + ".")
    }

    /// A chart with its title and legend, drawn for a page and for a phone; the style sheet shows
    /// one of the two.
    private mutating func figure(_ chart: Chart) {
        element("figure") { page in
            page.element("figcaption") { page in
                page.element("h3", text: chart.title)
                if let note = chart.note { page.element("p", ["class": "note"], text: note) }
            }
            page.legend(chart.lines)
            for frame in ChartFrame.all { ChartDrawing(chart, frame).draw(into: &page) }
        }
    }

    private mutating func legend(_ lines: [Chart.Line]) {
        guard lines.count > 1 else { return }
        element("ul", ["class": "legend"]) { page in
            for line in lines {
                page.element("li") { page in
                    page.element(
                        "svg", ["class": "key", "viewBox": "0 0 28 10", "aria-hidden": "true"]
                    ) { $0.empty("path", ["class": line.style.cssClass, "d": "M1 5H27"]) }
                    page.write(line.name)
                }
            }
        }
    }
}

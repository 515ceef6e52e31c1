/// Draws a chart as SVG.
struct ChartDrawing {
    private let chart: Chart
    private let frame: ChartFrame
    private let labels: MarkLabels
    /// Where the plot begins, below labels and names of phases.
    private let top: Double

    init(_ chart: Chart, _ frame: ChartFrame) {
        self.chart = chart
        self.frame = frame
        labels = MarkLabels(
            chart.marks.map {
                MarkLabels.Place(
                    x: frame.left + chart.x.scale.place($0.start) * frame.plotWidth,
                    number: $0.number, text: $0.text)
            }, right: frame.width - 2, rows: frame.labelRows, numbersOnly: frame.numbersOnly)
        top = Double(labels.rows) * MarkLabels.rowHeight + 27
    }

    /// The whole `svg` element.
    func draw(into page: inout MarkupWriter) {
        let height = top + frame.plotHeight + frame.bottom
        page.element(
            "svg",
            [
                "class": frame.name, "viewBox": "0 0 \(drawn(frame.width)) \(drawn(height))",
                "role": "img", "aria-label": chart.title,
            ]
        ) { page in
            drawPhases(&page)
            drawAxes(&page)
            drawMarks(&page)
            drawBars(&page)
            for line in chart.lines { draw(line, &page) }
            drawTooltips(&page)
        }
    }

    private var bottom: Double { top + frame.plotHeight }

    private func x(_ value: Double) -> Double {
        frame.left + chart.x.scale.place(value) * frame.plotWidth
    }

    private func y(_ value: Double) -> Double {
        bottom - chart.y.scale.place(value) * frame.plotHeight
    }

    private func drawPhases(_ page: inout MarkupWriter) {
        for phase in chart.phases {
            let (left, right) = (x(phase.start), x(phase.end))
            page.element(
                "rect",
                [
                    "class": "phase", "x": drawn(left), "y": drawn(top),
                    "width": drawn(max(0, right - left)), "height": drawn(frame.plotHeight),
                ]
            ) { $0.element("title", text: phase.name) }
            guard Double(phase.name.count) * MarkLabels.characterWidth < right - left - 4 else {
                continue
            }
            page.element(
                "text",
                [
                    "class": "phasename", "x": drawn((left + right) / 2), "y": drawn(top + 13),
                    "text-anchor": "middle",
                ], text: phase.name)
        }
    }

    private func drawAxes(_ page: inout MarkupWriter) {
        for tick in chart.y.ticks(most: frame.yTicks) {
            let place = y(tick.value)
            page.empty(
                "path",
                [
                    "class": tick.label.isEmpty ? "grid minor" : "grid",
                    "d":
                        "M\(drawn(frame.left)) \(drawn(place))H\(drawn(frame.width - frame.right))",
                ])
            text(tick.label, x: frame.left - 6, y: place + 4, anchor: "end", "tick", &page)
        }
        for tick in chart.x.ticks(most: frame.xTicks) {
            let place = x(tick.value)
            page.empty(
                "path",
                [
                    "class": tick.label.isEmpty ? "grid minor" : "grid",
                    "d": "M\(drawn(place)) \(drawn(top))V\(drawn(bottom + 4))",
                ])
            // A name at the drawing's end is pulled in, so that nothing of it is cut off.
            let half = Double(tick.label.count) * MarkLabels.characterWidth / 2
            let centre = min(place, frame.width - half - 1)
            text(tick.label, x: centre, y: bottom + 18, anchor: "middle", "tick", &page)
        }
        page.empty(
            "path",
            [
                "class": "axis",
                "d": "M\(drawn(frame.left)) \(drawn(top))V\(drawn(bottom))"
                    + "H\(drawn(frame.width - frame.right))",
            ])
        text(
            chart.x.title, x: frame.left + frame.plotWidth / 2, y: bottom + 36, anchor: "middle",
            "axisname", &page)
        text(chart.y.title, x: 2, y: top - 13, anchor: "start", "axisname", &page)
    }

    private func text(
        _ text: String, x: Double, y: Double, anchor: String, _ style: String,
        _ page: inout MarkupWriter
    ) {
        guard !text.isEmpty else { return }
        page.element(
            "text", ["class": style, "x": drawn(x), "y": drawn(y), "text-anchor": anchor],
            text: text)
    }

    private func drawMarks(_ page: inout MarkupWriter) {
        var heads: [Int: MarkLabels.Label] = [:]
        for label in labels.labels { heads[label.mark] = label }
        for (index, mark) in chart.marks.enumerated() {
            let start = x(mark.start)
            let title = Self.tooltip(mark)
            page.element("g", ["class": "mark"]) { page in
                page.element("title", text: title)
                if let end = mark.end, x(end) > start {
                    page.empty(
                        "rect",
                        [
                            "class": "band", "x": drawn(start), "y": drawn(top),
                            "width": drawn(x(end) - start), "height": drawn(frame.plotHeight),
                        ])
                }
                var lineTop = top
                if let label = heads[index] {
                    let head = Double(label.row) * MarkLabels.rowHeight + 2
                    // Below a label that was moved over its own line.
                    lineTop = label.x > start ? head : head + 13
                    text(label.text, x: label.x, y: head + 10, anchor: "start", "label", &page)
                }
                page.empty(
                    "path", ["d": "M\(drawn(start)) \(drawn(lineTop))V\(drawn(bottom))"])
            }
        }
    }

    private static func tooltip(_ mark: Chart.Mark) -> String {
        let start = AxisScale.clock(mark.start)
        let time = mark.end.map { "\(start) to \(AxisScale.clock($0))" } ?? start
        return "\(mark.number) at \(time): \(mark.text)"
    }

    private func drawBars(_ page: inout MarkupWriter) {
        for bar in chart.bars where bar.value > 0 {
            let (left, right, head) = (x(bar.low), x(bar.high), y(bar.value))
            // At least a hair, so that one bundle in a million is seen.
            let height = max(1, bottom - head)
            page.element(
                "rect",
                [
                    "class": "bar f\(bar.style.colour)", "x": drawn(left + 0.5),
                    "y": drawn(bottom - height), "width": drawn(max(1, right - left - 1)),
                    "height": drawn(height),
                ]
            ) { $0.element("title", text: bar.text) }
        }
    }

    private func draw(_ line: Chart.Line, _ page: inout MarkupWriter) {
        let outline = line.outlined(columns: Int(frame.plotWidth / 2), chart.x.scale.place)
        drawEnvelope(outline.envelope, line, &page)
        let points = outline.points
        var path = ""
        var isOpen = false
        for (index, point) in points.enumerated() {
            guard let value = point.y else {
                isOpen = false
                continue
            }
            let (pointX, pointY) = (drawn(x(point.x)), y(value))
            if !isOpen {
                path += "M\(pointX) \(drawn(pointY))"
                // A value with a gap on both sides is a dot.
                let isAlone = index + 1 == points.count || points[index + 1].y == nil
                if isAlone { path += "h0.1" }
            } else if line.isStepped {
                path += "H\(pointX)V\(drawn(pointY))"
            } else {
                path += "L\(pointX) \(drawn(pointY))"
            }
            isOpen = true
        }
        guard !path.isEmpty else { return }
        page.element("path", ["class": line.style.cssClass, "d": path]) {
            $0.element("title", text: line.name)
        }
    }

    /// From the lowest to the highest value of each column of pixels.
    private func drawEnvelope(
        _ envelope: [Chart.Line.Outline.Reach], _ line: Chart.Line, _ page: inout MarkupWriter
    ) {
        guard !envelope.isEmpty else { return }
        let path = envelope.map { reach in
            "M\(drawn(x(reach.x))) \(drawn(y(reach.low) + 0.5))V\(drawn(y(reach.high) - 0.5))"
        }.joined()
        page.element("path", ["class": "reach s\(line.style.colour)", "d": path]) {
            $0.element("title", text: line.name)
        }
    }

    /// Strips across the plot; each tells the values of its part of the x axis.
    private func drawTooltips(_ page: inout MarkupWriter) {
        guard frame.tooltips > 0, !chart.lines.isEmpty else { return }
        var found = [[ClosedRange<Double>?]](
            repeating: Array(repeating: nil, count: chart.lines.count), count: frame.tooltips)
        var places = [ClosedRange<Double>?](repeating: nil, count: frame.tooltips)
        for (index, line) in chart.lines.enumerated() {
            for point in line.points {
                guard let value = point.y else { continue }
                let strip = min(
                    frame.tooltips - 1,
                    Int(chart.x.scale.place(point.x) * Double(frame.tooltips)))
                found[strip][index] = Self.extended(found[strip][index], value)
                places[strip] = Self.extended(places[strip], point.x)
            }
        }
        let width = frame.plotWidth / Double(frame.tooltips)
        for (strip, values) in found.enumerated() {
            guard let place = places[strip] else { continue }
            page.element(
                "rect",
                [
                    "class": "tip", "x": drawn(frame.left + Double(strip) * width),
                    "y": drawn(top), "width": drawn(width), "height": drawn(frame.plotHeight),
                ]
            ) { $0.element("title", text: tooltip(place, values)) }
        }
    }

    private func tooltip(_ place: ClosedRange<Double>, _ values: [ClosedRange<Double>?]) -> String {
        var lines = [Self.text(place, chart.x)]
        for (line, range) in zip(chart.lines, values) {
            guard let range else { continue }
            lines.append("\(line.name): \(Self.text(range, chart.y))")
        }
        return lines.joined(separator: "\n")
    }

    private static func text(_ range: ClosedRange<Double>, _ axis: Chart.Axis) -> String {
        let (low, high) = (axis.name(range.lowerBound), axis.name(range.upperBound))
        return low == high ? low : "\(low) to \(high)"
    }

    private static func extended(_ range: ClosedRange<Double>?, _ value: Double)
        -> ClosedRange<Double>
    {
        guard let range else { return value...value }
        return min(range.lowerBound, value)...max(range.upperBound, value)
    }
}

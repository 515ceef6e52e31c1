internal import Foundation

/// The drawings of how latencies are distributed.
enum LatencyCharts {
    struct Curve {
        var name: String
        var latency: LoadReport.Latency
        var style: Chart.Style
    }

    /// Latency by the share of bundles that were at least as fast; each nine as wide as the last.
    static func percentiles(_ title: String, note: String?, _ curves: [Curve]) -> Chart {
        let counted = curves.filter { $0.latency.count > 0 && !$0.latency.buckets.isEmpty }
        let most = counted.map { $0.latency.count }.max() ?? 1
        let nines = min(7, max(2, log10(Double(most)) + 0.31))
        let lines = counted.map { curve in
            Chart.Line(
                name: curve.name, style: curve.style, points: points(curve.latency))
        }
        let values = lines.flatMap { line in line.points.compactMap { $0.y } }
        return Chart(
            title: title, note: note,
            x: Chart.Axis(
                scale: .nines(nines), title: "Share of bundles at least as fast", kind: .nines),
            y: Chart.Axis(
                scale: .logarithmic(around: values), title: "latency", kind: .milliseconds),
            lines: lines)
    }

    private static func points(_ latency: LoadReport.Latency) -> [Chart.Line.Point] {
        let counts = HistogramCounts(latency)
        guard let first = counts.values.first else { return [] }
        // Nothing is drawn at 1, which lies infinitely far to the right.
        let end = 1 - 0.5 / Double(counts.total)
        var points = [Chart.Line.Point(x: 0, y: first > 0 ? first : nil)]
        var below = 0
        for (value, count) in zip(counts.values, counts.counts) {
            below += count
            points.append(
                Chart.Line.Point(
                    x: min(end, Double(below) / Double(counts.total)), y: value > 0 ? value : nil))
        }
        return points
    }

    private static let barsMax = 60

    /// How many bundles took how long.
    static func histogram(_ title: String, _ latency: LoadReport.Latency, colour: Int) -> Chart {
        let counts = HistogramCounts(latency)
        let scale = AxisScale.logarithmic(around: counts.values)
        var bars: [Chart.Bar] = []
        if case .logarithmic(let low, let high) = scale, counts.total > 0 {
            var bins = [Int](repeating: 0, count: barsMax)
            for (value, count) in zip(counts.values, counts.counts) {
                // A bucket's value is its upper end, which belongs to the bar below it.
                let bin = Int(scale.place(value * 0.999_9) * Double(barsMax))
                bins[min(barsMax - 1, bin)] += count
            }
            let factor = pow(high / low, 1 / Double(barsMax))
            for (index, count) in bins.enumerated() where count > 0 {
                let start = low * pow(factor, Double(index))
                let share = Double(count) / Double(counts.total)
                bars.append(
                    Chart.Bar(
                        low: start, high: start * factor, value: share,
                        style: Chart.Style(colour: colour),
                        text: "\(FigureText.milliseconds(start)) to "
                            + "\(FigureText.milliseconds(start * factor)): "
                            + "\(FigureText.count(count)) bundles, \(FigureText.percent(share))"))
            }
        }
        return Chart(
            title: title, note: nil,
            x: Chart.Axis(scale: scale, title: "latency (logarithmic)", kind: .milliseconds),
            y: Chart.Axis(
                scale: .linear(above: bars.map { $0.value }), title: "share of bundles",
                kind: .percent),
            bars: bars)
    }
}

/// The drawings over time of one run or of two.
struct TimeCharts {
    /// A run's name, empty when there is only one, and what was measured.
    struct Run {
        var name: String
        var report: LoadReport
    }

    private let runs: [Run]
    private let axis: Chart.Axis
    private let phases: [Chart.Phase]
    private let marks: [Chart.Mark]

    init(_ runs: [Run]) {
        self.runs = runs
        let seconds = runs.flatMap { run in run.report.series.map { $0.second } }
        let measured = runs.map { $0.report.seconds }
        let low = min(0, seconds.min() ?? 0)
        let high = max(seconds.max() ?? 0, measured.max() ?? 0, low + 1)
        axis = Chart.Axis(
            scale: .linear(low: low, high: high), title: "Time since the measured time began",
            kind: .seconds)
        var phases: [Chart.Phase] = []
        if low < 0 { phases.append(Chart.Phase(start: low, end: 0, name: "warm-up")) }
        if let end = measured.max(), end > 0, high > end {
            phases.append(Chart.Phase(start: end, end: high, name: "waiting for receipts"))
        }
        self.phases = phases
        // Marks of two runs lie on each other and say nothing any more.
        marks = runs.count == 1 ? runs.flatMap { Self.marks($0.report) } : []
    }

    /// What was done to the server, by time and numbered.
    static func marks(_ report: LoadReport) -> [Chart.Mark] {
        report.marks.sorted { $0.second < $1.second }.enumerated().map { index, mark in
            Chart.Mark(
                number: index + 1, start: mark.second, end: mark.endSecond, text: mark.text)
        }
    }

    /// A quantity of each sample and how it is drawn.
    struct Quantity {
        var name: String
        var colour: Int
        var isDashed = false
        var isStepped = false
        var value: (LoadReport.Sample) -> Double?
    }

    /// One line for each quantity of each run. Of two runs, the colour says which and the dashes
    /// what; so no more than two quantities can be told apart then.
    func chart(
        _ title: String, note: String? = nil, unit: String, kind: Chart.Axis.Kind,
        isLogarithmic: Bool = false, _ quantities: [Quantity]
    ) -> Chart {
        var lines: [Chart.Line] = []
        for (number, run) in runs.enumerated() {
            for (index, quantity) in quantities.enumerated() {
                let style =
                    runs.count == 1
                    ? Chart.Style(colour: quantity.colour, isDashed: quantity.isDashed)
                    : Chart.Style(colour: number + 1, isDashed: index > 0)
                let name = run.name.isEmpty ? quantity.name : "\(run.name): \(quantity.name)"
                let points = run.report.series.map {
                    Chart.Line.Point(
                        x: $0.second, y: Self.drawable(quantity.value($0), isLogarithmic))
                }
                lines.append(
                    Chart.Line(
                        name: name, style: style, points: points, isStepped: quantity.isStepped))
            }
        }
        lines.removeAll { line in line.points.allSatisfy { $0.y == nil } }
        let values = lines.flatMap { line in line.points.compactMap { $0.y } }
        let scale: AxisScale =
            isLogarithmic
            ? .logarithmic(around: values) : .linear(above: values, isBinary: kind == .bytes)
        return Chart(
            title: title, note: note, x: axis,
            y: Chart.Axis(scale: scale, title: unit, kind: kind), lines: lines, phases: phases,
            marks: marks)
    }

    private static func drawable(_ value: Double?, _ isLogarithmic: Bool) -> Double? {
        guard let value, value.isFinite, !isLogarithmic || value > 0 else { return nil }
        return value
    }
}

extension TimeCharts {
    /// What the shades mean.
    private static func legend(closeSeconds: Bool) -> String {
        "Grey: warm-up before 0, waiting for receipts at the end. Orange: something was done to "
            + "the server; numbers as in the table below."
            + (closeSeconds
                ? " Where seconds lie too close to be drawn, the line is their mean and the band "
                    + "reaches from the lowest to the highest." : "")
    }

    /// Acknowledged and settled bundles of each second.
    var bundles: Chart {
        chart(
            "Bundles per second",
            note: Self.legend(closeSeconds: runs.contains { $0.report.series.count > 300 }),
            unit: "bundles/s", kind: .number,
            [
                Quantity(name: "acknowledged", colour: 1) { Double($0.acknowledged) },
                Quantity(name: "settled", colour: 2, isDashed: true) { Double($0.settled) },
            ])
    }

    /// Acknowledged bundles alone, which two runs can be laid on each other with.
    var acknowledged: Chart {
        chart(
            "Acknowledged bundles per second", unit: "bundles/s", kind: .number,
            [Quantity(name: "acknowledged", colour: 1) { Double($0.acknowledged) }])
    }

    /// Transactions whose outcome was told in each second.
    var transactions: Chart {
        chart(
            "Transactions settled per second", unit: "transactions/s", kind: .number,
            [
                Quantity(name: "transactions", colour: 3) { Double($0.transactionsSettled) }
            ])
    }

    /// Half and the slowest hundredth of each second.
    var latencies: Chart {
        chart(
            "Latency over time",
            note: "Of each second alone: half of the bundles (p50) and 99 of 100 (p99) were at "
                + "least as fast. Logarithmic.",
            unit: "latency", kind: .milliseconds, isLogarithmic: true,
            [
                Quantity(name: "acknowledged p50", colour: 1, isDashed: true) { $0.ackP50 },
                Quantity(name: "acknowledged p99", colour: 1) { $0.ackP99 },
                Quantity(name: "settled p50", colour: 2, isDashed: true) { $0.settleP50 },
                Quantity(name: "settled p99", colour: 2) { $0.settleP99 },
            ])
    }

    /// The slowest hundredth alone, which two runs can be laid on each other with.
    var slowest: Chart {
        chart(
            "Latency over time, p99", note: "Of each second alone. Logarithmic.",
            unit: "latency", kind: .milliseconds, isLogarithmic: true,
            [
                Quantity(name: "acknowledged p99", colour: 1) { $0.ackP99 },
                Quantity(name: "settled p99", colour: 2) { $0.settleP99 },
            ])
    }

    /// The server's queue.
    var backlog: Chart {
        chart(
            "Backlog", note: "Bundles that are acknowledged and not yet settled.",
            unit: "bundles", kind: .number,
            [Quantity(name: "backlog", colour: 4) { $0.backlog.map(Double.init) }])
    }

    /// How many worked on it.
    var listeners: Chart {
        chart(
            "Listeners", unit: "listeners", kind: .number,
            [
                Quantity(name: "listeners", colour: 3, isStepped: true) {
                    $0.listeners.map(Double.init)
                }
            ])
    }

    /// Resident memory of the server.
    var memory: Chart {
        chart(
            "The server's memory", note: "Resident, without its PostgreSQL.", unit: "resident",
            kind: .bytes,
            [Quantity(name: "server", colour: 1) { $0.serverBytes.map(Double.init) }])
    }

    /// Processor time of both sides.
    var processors: Chart {
        chart(
            "Processor time", note: "100 % is one core.", unit: "of one core", kind: .percent,
            [
                Quantity(name: "server", colour: 1) { $0.serverCPU },
                Quantity(name: "generator", colour: 2) { $0.generatorCPU },
            ])
    }

    /// Answers and broken connections that made a device try again.
    var errors: Chart {
        chart(
            "Errors per second",
            note: "Answers and broken connections that made a device try again.",
            unit: "errors/s", kind: .number,
            [Quantity(name: "errors", colour: 2) { Double($0.errors) }])
    }

    /// The generator's store.
    var sealedAhead: Chart {
        chart(
            "Bundles sealed ahead",
            note: "What the generator had ready to send; at 0 it was the generator that was slow.",
            unit: "bundles", kind: .number,
            [Quantity(name: "sealed", colour: 4) { $0.sealedAhead.map(Double.init) }])
    }
}

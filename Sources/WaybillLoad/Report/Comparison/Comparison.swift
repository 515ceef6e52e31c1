package import WaybillModel

/// Two runs side by side: what changed from A to B, and whether chance alone could explain it.
package struct Comparison: Encodable, Sendable, Equatable {
    package var a: Side
    package var b: Side
    /// What else is not the same; where there is anything, the runs may differ for that reason.
    package var differences: [Difference]
    /// What makes one of the runs doubtful.
    package var warnings: [String]
    package var figures: [Figure]
    package var verdict: Verdict

    /// One of the two runs.
    package struct Side: Encodable, Sendable, Equatable {
        /// Where it came from.
        package var name: String
        package var startedAt: Timestamp
        /// The measured time.
        package var seconds: Double

        enum CodingKeys: String, CodingKey {
            case name, seconds
            case startedAt = "started_at"
        }
    }

    /// One value of plan or machine; nil where a side has none.
    package struct Difference: Encodable, Sendable, Equatable {
        /// As in `plan.arrivals.rate`.
        package var path: String
        package var a: String?
        package var b: String?
    }

    package enum Verdict: String, Encodable, Sendable {
        case better, worse
        case noDifferenceShown = "no_difference_shown"
        case notCompared = "not_compared"
    }

    /// One figure of both runs.
    package struct Figure: Encodable, Sendable, Equatable {
        package var name: String
        package var unit: Unit
        package var a: Double?
        package var b: Double?
        /// (B - A) / A.
        package var change: Double?
        /// Ends of the interval that holds ``change`` with 95 %.
        package var changeLow: Double?
        package var changeHigh: Double?
        /// By that interval.
        package var verdict: Verdict
        /// The verdict holds as well when all figures are asked at once, where one of twenty would
        /// show a difference by chance; the comparison's verdict rests on these alone.
        package var isSure: Bool
        /// Why it was not compared.
        package var note: String?

        package enum Unit: String, Encodable, Sendable {
            case perSecond = "/s"
            case milliseconds = "ms"
        }

        enum CodingKeys: String, CodingKey {
            case name, unit, a, b, change, verdict, note
            case changeLow = "change_low"
            case changeHigh = "change_high"
            case isSure = "is_sure"
        }
    }

    /// How it is compared.
    package struct Settings: Sendable {
        /// Samples drawn again.
        package var resamples = 10_000
        package var seed: UInt64 = 1
        /// Changes smaller than this share are no difference, however sure they are.
        package var tolerance = 0.0

        package init(resamples: Int = 10_000, seed: UInt64 = 1, tolerance: Double = 0) {
            self.resamples = resamples
            self.seed = seed
            self.tolerance = tolerance
        }
    }

    /// - Parameters:
    ///   - a: what B is measured against, with its name.
    ///   - settings: the same ones give the same answer.
    package init(
        a: (name: String, report: LoadReport), b: (name: String, report: LoadReport),
        settings: Settings = Settings()
    ) {
        self.a = Side(
            name: a.name, startedAt: a.report.startedAt, seconds: a.report.seconds)
        self.b = Side(
            name: b.name, startedAt: b.report.startedAt, seconds: b.report.seconds)
        differences = Self.differences(a.report, b.report)
        warnings = Self.warnings("A", a.report) + Self.warnings("B", b.report)
        figures = FigureComparison(settings: settings).figures(a.report, b.report)
        verdict = Self.verdict(figures)
    }

    private static func differences(_ a: LoadReport, _ b: LoadReport) -> [Difference] {
        difference("plan", FlatValues.of(a.plan), FlatValues.of(b.plan))
            + difference("machine", FlatValues.of(a.machine), FlatValues.of(b.machine))
    }

    private static func difference(
        _ prefix: String, _ a: [(path: String, text: String)], _ b: [(path: String, text: String)]
    ) -> [Difference] {
        let (left, right) = (
            Dictionary(a.map { ($0.path, $0.text) }) { first, _ in first },
            Dictionary(b.map { ($0.path, $0.text) }) { first, _ in first }
        )
        return Set(left.keys).union(right.keys).sorted().filter { left[$0] != right[$0] }.map {
            Difference(path: "\(prefix).\($0)", a: left[$0], b: right[$0])
        }
    }

    private static func warnings(_ name: String, _ report: LoadReport) -> [String] {
        var warnings: [String] = []
        if !report.generator.saturation.isEmpty {
            warnings.append(
                "the generator of \(name) was saturated: "
                    + report.generator.saturation.joined(separator: "; "))
        }
        if report.audit.isEmpty {
            warnings.append("\(name) was not audited")
        } else if !report.audit.isClean {
            let count = report.audit.counts.values.reduce(0, +)
            warnings.append("the audit of \(name) has \(FigureText.count(count)) findings")
        }
        if report.plan.arrivals.model != .closed {
            warnings.append(
                "the plan of \(name) sets the rate: its throughput tells only whether the server "
                    + "kept up")
        }
        return warnings
    }

    private static func verdict(_ figures: [Figure]) -> Verdict {
        guard figures.contains(where: { $0.verdict != .notCompared }) else { return .notCompared }
        let sure = figures.filter { $0.isSure }
        if sure.contains(where: { $0.verdict == .worse }) { return .worse }
        return sure.contains { $0.verdict == .better } ? .better : .noDifferenceShown
    }
}

extension Comparison.Verdict {
    /// For people.
    package var text: String {
        switch self {
        case .better: "better"
        case .worse: "worse"
        case .noDifferenceShown: "no difference shown"
        case .notCompared: "not compared"
        }
    }
}

extension Comparison.Figure {
    /// A value with its unit, for people.
    package func text(_ value: Double?) -> String {
        guard let value else { return "–" }
        return switch unit {
        case .perSecond: FigureText.number(value) + "/s"
        case .milliseconds: FigureText.milliseconds(value)
        }
    }

    /// The change's interval, for people.
    package var intervalText: String {
        guard let changeLow, let changeHigh else { return note ?? "–" }
        return "\(FigureText.change(changeLow)) to \(FigureText.change(changeHigh))"
    }
}

extension Comparison {
    /// One sentence for people.
    package var headline: String {
        func names(_ verdict: Verdict) -> String {
            figures.filter { $0.isSure && $0.verdict == verdict }.map { $0.name }
                .joined(separator: ", ")
        }
        switch verdict {
        case .better: return "B is better than A: \(names(.better))."
        case .worse:
            let better = names(.better)
            return "B is worse than A: \(names(.worse))."
                + (better.isEmpty ? "" : " Better: \(better).")
        case .noDifferenceShown: return "No difference between A and B was shown."
        case .notCompared: return "There is nothing to compare."
        }
    }
}

/// Compares figure by figure.
struct FigureComparison {
    let settings: Comparison.Settings

    /// Fewer seconds are too few blocks to learn from how much they differ.
    static let secondsMin = 20
    /// A quantile with fewer values beyond it moves with each of them.
    static let beyondMin = 10.0

    /// Samples of a figure of one run.
    private struct Side {
        var value: Double
        var resampled: [Double]
    }

    private enum Source {
        case series(KeyPath<LoadReport.Sample, Int>)
        case quantile(String, Double)
        case mean(String)
    }

    private struct Question {
        var name: String
        var unit: Comparison.Figure.Unit
        var source: Source
    }

    private static var questions: [Question] {
        var questions = [
            Question(
                name: "acknowledged bundles", unit: .perSecond, source: .series(\.acknowledged)),
            Question(
                name: "settled transactions", unit: .perSecond,
                source: .series(\.transactionsSettled)),
        ]
        for (name, histogram) in [("acknowledging", "ack"), ("settling", "settle")] {
            questions.append(
                Question(
                    name: "\(name) mean", unit: .milliseconds, source: .mean(histogram)))
            for (quantile, share) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
                questions.append(
                    Question(
                        name: "\(name) \(quantile)", unit: .milliseconds,
                        source: .quantile(histogram, share)))
            }
        }
        return questions
    }

    func figures(_ a: LoadReport, _ b: LoadReport) -> [Comparison.Figure] {
        let resampling = Resampling(count: max(1, settings.resamples), seed: settings.seed)
        var compared: [(question: Question, sides: Result<(Side, Side), Reason>)] = []
        for (number, question) in Self.questions.enumerated() {
            let purpose = UInt64(number) * 2
            let left = Self.side(question.source, a, resampling, purpose)
            let right = Self.side(question.source, b, resampling, purpose + 1)
            compared.append((question, left.flatMap { left in right.map { (left, $0) } }))
        }
        let asked = compared.count { (_, sides) in
            if case .success = sides { true } else { false }
        }
        return compared.map { question, sides in
            switch sides {
            case .success((let left, let right)): figure(question, left, right, asked: asked)
            case .failure(let reason):
                Comparison.Figure(
                    name: question.name, unit: question.unit,
                    a: Self.value(question.source, a), b: Self.value(question.source, b),
                    verdict: .notCompared, isSure: false, note: reason.text)
            }
        }
    }

    private struct Reason: Error {
        var text: String
    }

    private static func measured(_ report: LoadReport, _ path: KeyPath<LoadReport.Sample, Int>)
        -> [Double]
    {
        report.series.filter { $0.second > 0 && $0.second <= report.seconds + 0.5 }
            .map { Double($0[keyPath: path]) }
    }

    private static func histogram(_ report: LoadReport, _ name: String) -> HistogramCounts? {
        report.latency(name).map(HistogramCounts.init)
    }

    private static func value(_ source: Source, _ report: LoadReport) -> Double? {
        switch source {
        case .series(let path):
            let values = measured(report, path)
            return values.isEmpty ? nil : values.reduce(0, +) / Double(values.count)
        case .quantile(let name, let share): return histogram(report, name)?.quantile(share)
        case .mean(let name): return histogram(report, name)?.mean
        }
    }

    private static func side(
        _ source: Source, _ report: LoadReport, _ resampling: Resampling, _ purpose: UInt64
    ) -> Result<Side, Reason> {
        guard let value = value(source, report) else {
            return .failure(Reason(text: "not measured"))
        }
        guard value > 0 else { return .failure(Reason(text: "0 in one of the runs")) }
        switch source {
        case .series(let path):
            let values = measured(report, path)
            guard values.count >= secondsMin else {
                return .failure(Reason(text: "fewer than \(secondsMin) seconds"))
            }
            return .success(
                Side(value: value, resampled: resampling.means(of: values, purpose: purpose)))
        case .quantile(let name, let share):
            guard let histogram = histogram(report, name),
                Double(histogram.total) * (1 - share) >= beyondMin * 0.999
            else { return .failure(Reason(text: "too few bundles for this percentile")) }
            return .success(
                Side(
                    value: value,
                    resampled: resampling.quantiles(share, of: histogram, purpose: purpose)))
        case .mean(let name):
            guard let histogram = histogram(report, name), Double(histogram.total) >= beyondMin
            else { return .failure(Reason(text: "too few bundles")) }
            return .success(
                Side(value: value, resampled: resampling.means(of: histogram, purpose: purpose)))
        }
    }

    private func figure(_ question: Question, _ a: Side, _ b: Side, asked: Int)
        -> Comparison.Figure
    {
        let changes = zip(a.resampled, b.resampled).map { left, right in
            // A widened mean may fall below 0; it then stands for a very small one.
            right / max(left, a.value * 1e-6) - 1
        }.sorted()
        let interval = Self.interval(changes, doubt: 0.05)
        // Bonferroni: the doubt is shared out among all figures that are asked.
        let narrow = Self.interval(changes, doubt: 0.05 / Double(max(1, asked)))
        let verdict = verdict(interval, question.unit)
        return Comparison.Figure(
            name: question.name, unit: question.unit, a: a.value, b: b.value,
            change: b.value / a.value - 1, changeLow: interval.lowerBound,
            changeHigh: interval.upperBound, verdict: verdict,
            isSure: verdict != .noDifferenceShown && self.verdict(narrow, question.unit) == verdict)
    }

    /// The percentile interval: what is left when half of the doubt is cut off at each end.
    private static func interval(_ sorted: [Double], doubt: Double) -> ClosedRange<Double> {
        let cut = min(Int(Double(sorted.count) * doubt / 2), (sorted.count - 1) / 2)
        return sorted[cut]...sorted[sorted.count - 1 - cut]
    }

    private func verdict(_ change: ClosedRange<Double>, _ unit: Comparison.Figure.Unit)
        -> Comparison.Verdict
    {
        let isMore = change.lowerBound > settings.tolerance
        let isLess = change.upperBound < -settings.tolerance
        guard isMore || isLess else { return .noDifferenceShown }
        return isMore == (unit == .perSecond) ? .better : .worse
    }
}

/// A figure of a run that an objective can limit.
package struct ObjectiveFigure: Sendable, Equatable {
    /// As it is written in objectives.
    package let name: String
    package let dimension: Dimension
    private let source: Source

    /// What a figure counts, and in what ``Objective/limit`` and ``ObjectiveVerdict/measured`` are.
    package enum Dimension: Sendable, Equatable {
        /// Milliseconds.
        case time
        /// Just a number.
        case count
        /// 0 to 1.
        case share
        /// Per second.
        case rate
        case bytes

        /// The units that may be written, with what they are multiplied by.
        var units: [(name: String, scale: Double)] {
            switch self {
            case .time: [("us", 0.001), ("µs", 0.001), ("ms", 1), ("s", 1000), ("min", 60_000)]
            case .count: [("", 1)]
            case .share: [("%", 0.01), ("", 1)]
            case .rate: [("/s", 1), ("", 1)]
            case .bytes: [("MiB", 1_048_576), ("GiB", 1_073_741_824)]
            }
        }
    }

    private enum Source: Sendable, Equatable {
        case latency(histogram: String, Statistic)
        case findings(Finding.Kind)
        case allFindings, errors, errorShare
        case acknowledgedRate, settledRate, transactionRate
        case serverBytes
    }

    private enum Statistic: String, CaseIterable {
        case p50, p90, p99, p999, max, mean
    }

    /// Nil when there is no such figure.
    package init?(_ name: String) {
        guard let figure = Self.all.first(where: { $0.name == name }) else { return nil }
        self = figure
    }

    private init(_ name: String, _ dimension: Dimension, _ source: Source) {
        self.name = name
        self.dimension = dimension
        self.source = source
    }

    /// All there are.
    package static let all: [ObjectiveFigure] = {
        var all: [ObjectiveFigure] = []
        for histogram in ["ack", "ack_uncorrected", "settle", "settle_uncorrected"] {
            for statistic in Statistic.allCases {
                all.append(
                    ObjectiveFigure(
                        "\(histogram)_\(statistic.rawValue)", .time,
                        .latency(histogram: histogram, statistic)))
            }
        }
        for kind in Finding.Kind.allCases {
            all.append(ObjectiveFigure(kind.rawValue, .count, .findings(kind)))
        }
        return all + [
            ObjectiveFigure("findings", .count, .allFindings),
            ObjectiveFigure("errors", .count, .errors),
            ObjectiveFigure("error_rate", .share, .errorShare),
            ObjectiveFigure("ack_rate", .rate, .acknowledgedRate),
            ObjectiveFigure("settle_rate", .rate, .settledRate),
            ObjectiveFigure("tx_rate", .rate, .transactionRate),
            ObjectiveFigure("server_rss", .bytes, .serverBytes),
        ]
    }()

    /// The names, for people.
    package static let listing = all.map(\.name).joined(separator: ", ")

    /// The figure in its own unit; nil where the run has none: a latency that nothing was counted
    /// in, findings without an audit, lateness without a limit in the plan, memory of a server that
    /// the run did not start.
    package func value(in report: LoadReport) -> Double? {
        switch source {
        case .latency(let histogram, let statistic):
            Self.latency(report, histogram, statistic)
        case .findings(.late) where report.plan.lateSeconds == nil: nil
        case .findings(let kind): report.audit.isEmpty ? nil : Double(report.audit.count(kind))
        case .allFindings:
            report.audit.isEmpty ? nil : Double(report.audit.counts.values.reduce(0, +))
        case .errors: Double(report.totals.errors)
        case .errorShare: report.totals.errorShare
        case .acknowledgedRate: report.totals.acknowledgedPerSecond
        case .settledRate: report.totals.settledPerSecond
        case .transactionRate: report.totals.transactionsPerSecond
        case .serverBytes: report.series.compactMap(\.serverBytes).max().map(Double.init)
        }
    }

    private static func latency(
        _ report: LoadReport, _ histogram: String, _ statistic: Statistic
    ) -> Double? {
        guard let latency = report.latency(histogram), latency.count > 0 else { return nil }
        return switch statistic {
        case .p50: latency.p50
        case .p90: latency.p90
        case .p99: latency.p99
        case .p999: latency.p999
        case .max: latency.max
        case .mean: latency.mean
        }
    }
}

extension AuditReport {
    /// Nothing was looked at: that there are no findings then says nothing.
    package var isEmpty: Bool { bundles == 0 && receipts == 0 && rows == nil }
}

extension LoadReport {
    /// The histogram of that name.
    package func latency(_ name: String) -> Latency? {
        latencies.first { $0.name == name }
    }
}

extension LoadReport.Totals {
    /// Answers and broken connections that made a device try again, and uploads that were given up.
    package var errors: Int { retries.values.reduce(0, +) + bundlesUnanswered }

    /// Of all tries that ended; nil when there was none.
    package var errorShare: Double? {
        let tries = errors + bundlesAcknowledged + bundlesRefused
        return tries > 0 ? Double(errors) / Double(tries) : nil
    }
}

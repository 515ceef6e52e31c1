internal import WaybillLoad
internal import WaybillModel

/// What `waybill load run` prints at its end.
struct LoadSummary {
    let report: LoadReport

    var text: String {
        let totals = report.totals
        var lines = [AuditWords.verdict(report.audit), ""]
        var figures = TextTable(["", "MEASURED"], numericColumns: [1])
        figures.add(["bundles acknowledged", "\(totals.bundlesAcknowledged)"])
        figures.add(["  per second", Self.rate(totals.acknowledgedPerSecond)])
        figures.add(["bundles settled", "\(totals.bundlesSettled)"])
        figures.add(["  per second", Self.rate(totals.settledPerSecond)])
        figures.add(["transactions settled per second", Self.rate(totals.transactionsPerSecond)])
        let outcomes = totals.outcomes
        figures.add(["transactions accepted", "\(outcomes.accepted)"])
        figures.add(["  duplicate", "\(outcomes.duplicate)"])
        figures.add(["  rejected", "\(outcomes.rejected)"])
        figures.add(["  conflict", "\(outcomes.conflict)"])
        if totals.bundlesQuarantined > 0 {
            figures.add(["bundles quarantined", "\(totals.bundlesQuarantined)"])
        }
        if totals.bundlesRefused > 0 {
            figures.add(["bundles refused", "\(totals.bundlesRefused)"])
        }
        if totals.bundlesUnanswered > 0 {
            figures.add(["bundles without an answer", "\(totals.bundlesUnanswered)"])
        }
        figures.add(["bundles sent again", "\(totals.resent)"])
        figures.add(["connections cut", "\(totals.cuts)"])
        figures.add(["errors that were tried again", "\(totals.retries.values.reduce(0, +))"])
        lines.append(figures.text)
        lines.append(latencyTable)
        for verdict in report.objectives {
            let measured = verdict.measured.map { "\($0)" } ?? "no such figure in this run"
            lines.append(
                "\(verdict.isMet ? "met    " : "NOT MET") \(verdict.objective) (\(measured))")
        }
        for reason in report.generator.saturation {
            lines.append("the generator was saturated: \(reason)")
        }
        for finding in report.audit.findings.prefix(20) { lines.append(AuditWords.line(finding)) }
        return lines.joined(separator: "\n")
    }

    private var latencyTable: String {
        var table = TextTable(
            ["LATENCY", "P50", "P90", "P99", "P99.9", "MAX"], numericColumns: [1, 2, 3, 4, 5])
        for latency in report.latencies {
            table.add(
                [latency.name.replacing("_", with: " ")]
                    + [latency.p50, latency.p90, latency.p99, latency.p999, latency.max]
                    .map(LoadProgressLine.milliseconds))
        }
        return table.text
    }

    private static func rate(_ value: Double) -> String {
        value < 100 ? "\((value * 10).rounded() / 10)" : "\(Int(value.rounded()))"
    }
}

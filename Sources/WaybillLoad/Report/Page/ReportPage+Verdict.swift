extension ReportPage {
    /// What the audit and the objectives say, in large figures.
    func writeVerdict(_ page: inout MarkupWriter) {
        let mood: MarkupWriter.Mood =
            report.audit.isClean ? (isFullyAudited ? .good : .warn) : .bad
        page.verdict(mood, headline, audited.isEmpty ? [] : [audited])
        page.tiles(Finding.Kind.allCases.map(tile))
        let unmet = report.objectives.filter { !$0.isMet }
        guard !report.objectives.isEmpty else { return }
        page.verdict(
            unmet.isEmpty ? .good : .bad, objectives(unmet.count),
            unmet.map { "\($0.objective): \($0.measuredText)" })
    }

    /// Receipts and rows were both looked at.
    private var isFullyAudited: Bool { !report.audit.isEmpty && report.audit.rows != nil }

    private var headline: String {
        let audit = report.audit
        guard !audit.isEmpty else { return "Not audited: whether anything was lost is not known." }
        guard !audit.isClean else {
            return audit.rows == nil
                ? "The receipts tell of nothing lost, doubled or altered; the rows were not looked at."
                : "Nothing lost, nothing doubled, nothing altered."
        }
        let found = Finding.Kind.allCases.filter { audit.count($0) > 0 }.map {
            "\(FigureText.count(audit.count($0))) \(Self.name($0))"
        }
        return found.joined(separator: ", ") + "."
    }

    private var audited: String {
        let audit = report.audit
        guard !audit.isEmpty else { return "" }
        let receipts =
            "\(FigureText.count(audit.bundles)) bundles and \(FigureText.count(audit.receipts)) "
            + "receipts were audited, \(FigureText.count(audit.receiptsVerified)) of them verified "
            + "with signature, hash and chain. "
        guard let rows = audit.rows else {
            return receipts + "No database was given, so no row was looked at."
        }
        return receipts + "\(FigureText.count(rows)) rows in the database were compared with "
            + "what was sent"
            + (audit.rowsExpected.map { "; \(FigureText.count($0)) were expected." } ?? ".")
    }

    private func objectives(_ unmet: Int) -> String {
        let count = report.objectives.count
        if unmet == 0 {
            return count == 1 ? "The objective is met." : "All \(count) objectives are met."
        }
        return "\(unmet) of \(count) objectives \(unmet == 1 ? "is" : "are") not met."
    }

    private func tile(_ kind: Finding.Kind) -> MarkupWriter.Tile {
        if report.audit.isEmpty {
            return MarkupWriter.Tile(figure: "–", label: Self.name(kind))
        }
        let count = report.audit.count(kind)
        if kind == .late, count == 0, report.plan.lateSeconds == nil {
            return MarkupWriter.Tile(figure: "–", label: "late (no limit was set)")
        }
        return MarkupWriter.Tile(
            figure: FigureText.count(count), label: Self.name(kind),
            mood: count == 0 ? .good : .bad)
    }

    /// A kind for people.
    static func name(_ kind: Finding.Kind) -> String {
        switch kind {
        case .lost: "lost"
        case .duplicated: "doubled"
        case .altered: "altered"
        case .unexpected: "unexpected"
        case .outOfOrder: "out of order"
        case .late: "late"
        case .forged: "forged"
        }
    }

    /// What makes the figures doubtful.
    func writeWarnings(_ page: inout MarkupWriter) {
        if !report.generator.saturation.isEmpty {
            page.verdict(
                .warn, "The generator was saturated: figures may be its own, not the server's.",
                report.generator.saturation)
        }
        let totals = report.totals
        if totals.bundlesUnanswered > 0 {
            page.verdict(
                .warn,
                "\(FigureText.count(totals.bundlesUnanswered)) bundles had no answer when the run "
                    + "ended.", [])
        }
        if report.series.isEmpty {
            page.verdict(.warn, "The run ended before anything was measured.", [])
        }
    }

    /// Each objective and what was measured.
    func writeObjectives(_ page: inout MarkupWriter) {
        guard !report.objectives.isEmpty else { return }
        page.element("h2", text: "Objectives")
        page.table(
            [.text("objective"), .number("measured"), .text("")],
            report.objectives.map {
                [$0.objective, $0.measuredText, $0.isMet ? "met" : "not met"]
            }, mood: { report.objectives[$0].isMet ? .good : .bad })
    }

    /// What was found, each with its ids.
    func writeFindings(_ page: inout MarkupWriter) {
        let audit = report.audit
        guard !audit.findings.isEmpty || !audit.isClean else { return }
        page.element("h2", text: "Findings")
        page.table(
            [
                Column(title: "kind"), .id("transaction"), .id("bundle"), .id("device"),
                .text("what was found"),
            ],
            audit.findings.map {
                [
                    Self.name($0.kind), $0.transaction ?? "", $0.bundle ?? "", $0.device ?? "",
                    $0.detail,
                ]
            })
        let rest = audit.counts.values.reduce(0, +) - audit.findings.count
        if rest > 0 {
            page.element(
                "p", ["class": "note"],
                text: "And \(FigureText.count(rest)) more, which are counted and not listed.")
        }
    }

    private typealias Column = MarkupWriter.Column
}

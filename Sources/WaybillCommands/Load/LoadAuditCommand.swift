internal import ArgumentParser
internal import WaybillLoad

struct LoadAuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit",
        abstract: "Audit a run again: later, or after a backup was restored.",
        discussion: """
            `waybill load run --report-dir DIR` leaves the ledger of what was sent, and all receipts, \
            in DIR/ledger. They are compared with the rows as they are now.
            """)

    @Argument(help: "The ledger's directory.")
    var ledger: String

    @Option(help: "Where the rows are; without it, receipts alone are audited.")
    var databaseUrl: String?

    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await reporting {
            let audit = try await LedgerAudit.run(
                directory: ledger, connectionString: databaseUrl)
            try output.show(audit) {
                ([AuditWords.verdict(audit)] + audit.findings.map(AuditWords.line))
                    .joined(separator: "\n")
            }
            guard audit.isClean else {
                throw CommandFailure(.checkNotMet, "the audit found faults")
            }
        }
    }
}

/// An audit for people.
enum AuditWords {
    /// In one line.
    static func verdict(_ audit: AuditReport) -> String {
        let counts = Finding.Kind.allCases.map { kind in
            "\(audit.count(kind)) \(kind.rawValue.replacing("_", with: " "))"
        }
        let rows = audit.rows.map { "\($0) rows" } ?? "no rows looked at (give --database-url)"
        return "audit: \(audit.receiptsVerified) receipts verified, \(rows): "
            + counts.joined(separator: ", ")
    }

    static func line(_ finding: Finding) -> String {
        let ids = [
            finding.transaction.map { "transaction \($0)" },
            finding.bundle.map { "bundle \($0)" }, finding.device.map { "device \($0)" },
        ].compactMap { $0 }
        let kind = finding.kind.rawValue.replacing("_", with: " ")
        return "\(kind): \(ids.joined(separator: ", ")): \(finding.detail)"
    }
}

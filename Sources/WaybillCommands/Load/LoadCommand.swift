internal import ArgumentParser

struct LoadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "load", abstract: "Load a server, and audit what it did with what it took.",
        discussion: """
            Simulated devices enrol, seal, upload, read and confirm receipts. Afterwards every \
            receipt and every row of the database is compared with what was sent: lost, doubled or \
            altered transactions are named.

              waybill load --devices 100 --duration 60
              waybill load --plan clinic.yaml --report-dir out --slo 'settle_p99<2s'
              waybill load compare before/report.json after/report.json
            """,
        subcommands: [
            LoadRunCommand.self, LoadPlanCommand.self, LoadAuditCommand.self,
            LoadReportCommand.self, LoadCompareCommand.self, LoadLimitsCommand.self,
        ],
        defaultSubcommand: LoadRunCommand.self)
}

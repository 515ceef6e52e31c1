internal import ArgumentParser
internal import WaybillLoad

struct LoadReportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Make the page and the table again from a run's saved report.")

    @Argument(help: "The JSON report of a run; - is standard input.")
    var report: String

    @Option(help: "Where the page goes, one file with all plots; - is standard output.")
    var html: String?

    @Option(help: "Where the figures of each second go; - is standard output.")
    var csv: String?

    func validate() throws {
        guard html != nil || csv != nil else {
            throw ValidationError("give --html or --csv or both")
        }
        guard html != "-" || csv != "-" else {
            throw ValidationError("only one of --html and --csv can go to standard output")
        }
    }

    func run() async throws {
        try await reporting {
            let report = try ReportFile.read(report)
            if let html { try ReportFile.write(report.html, to: html) }
            if let csv { try ReportFile.write(report.csv, to: csv) }
        }
    }
}

internal import ArgumentParser
internal import WaybillLoad

struct LoadCompareCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "Say whether run B was better or worse than run A.",
        discussion: """
            Throughput and latency with the interval that holds the change with 95 %, by bootstrap. \
            What differs in plan or machine is told. Exits with 2 when B is worse.
            """)

    @Argument(help: "The JSON report that B is measured against.")
    var a: String

    @Argument(help: "The JSON report of the other run.")
    var b: String

    @Option(help: "Where a page with both runs' plots goes; - is standard output.")
    var html: String?

    @Option(help: "Changes of fewer percent are no difference, however sure they are.")
    var tolerance = 0.0

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard tolerance >= 0, tolerance < 100 else {
            throw ValidationError("--tolerance must be from 0 to less than 100")
        }
    }

    func run() async throws {
        try await reporting {
            let (first, second) = (try ReportFile.read(a), try ReportFile.read(b))
            let comparison = Comparison(
                a: (a, first), b: (b, second),
                settings: Comparison.Settings(tolerance: tolerance / 100))
            if let html {
                try ReportFile.write(comparison.html(first, second), to: html)
            }
            if html != "-" { try output.show(comparison) { comparison.text } }
            guard comparison.verdict != .worse else {
                throw CommandFailure(.checkNotMet, comparison.headline)
            }
        }
    }
}

extension Comparison {
    /// For a person: what differs, the figures, the verdict.
    var text: String {
        var parts: [String] = []
        if !differences.isEmpty {
            var table = TextTable(["differs", "A", "B"])
            for difference in differences {
                table.add([difference.path, difference.a ?? "–", difference.b ?? "–"])
            }
            parts.append(table.text)
        }
        if !warnings.isEmpty {
            parts.append(warnings.map { HarmlessText.of("beware: " + $0) }.joined(separator: "\n"))
        }
        var table = TextTable(
            ["figure", "A", "B", "change", "95 % interval", "verdict"],
            numericColumns: [1, 2, 3])
        for figure in figures {
            table.add([
                figure.name, figure.text(figure.a), figure.text(figure.b),
                figure.change.map(FigureText.change) ?? "–", figure.intervalText,
                figure.verdict.text + (figure.isSure ? " *" : ""),
            ])
        }
        parts.append(table.text)
        parts.append(
            headline + "\n* Holds as well when all figures are asked at once; "
                + "the verdict rests on these.")
        return parts.joined(separator: "\n\n")
    }
}

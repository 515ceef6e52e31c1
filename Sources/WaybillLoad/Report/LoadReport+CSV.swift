extension LoadReport {
    /// The series as CSV (RFC 4180): a header, one line a second, an empty cell for what was not
    /// measured.
    package var csv: String {
        var text = CSVLine.of(CSVLine.columns.map { $0.name })
        for sample in series { text += CSVLine.of(CSVLine.columns.map { $0.cell(sample) }) }
        return text
    }
}

/// One line of CSV.
enum CSVLine {
    /// The cells, quoted where they have to be, with the line's end.
    static func of(_ cells: [String]) -> String {
        cells.map(quoted).joined(separator: ",") + "\r\n"
    }

    private static func quoted(_ cell: String) -> String {
        let special: Set<UInt8> = [
            UInt8(ascii: ","), UInt8(ascii: "\""), UInt8(ascii: "\r"), UInt8(ascii: "\n"),
        ]
        guard cell.utf8.contains(where: special.contains) else { return cell }
        return "\""
            + cell.split(separator: "\"", omittingEmptySubsequences: false)
            .joined(separator: "\"\"") + "\""
    }

    /// A column's name in the header and its cell of one sample.
    struct Column: Sendable {
        let name: String
        let cell: @Sendable (LoadReport.Sample) -> String
    }

    static let columns: [Column] = [
        column("second") { $0.second },
        column("acknowledged") { $0.acknowledged },
        column("settled") { $0.settled },
        column("transactions_settled") { $0.transactionsSettled },
        column("errors") { $0.errors },
        column("ack_p50_ms") { $0.ackP50 },
        column("ack_p99_ms") { $0.ackP99 },
        column("settle_p50_ms") { $0.settleP50 },
        column("settle_p99_ms") { $0.settleP99 },
        column("backlog") { $0.backlog },
        column("listeners") { $0.listeners },
        column("server_bytes") { $0.serverBytes },
        column("server_cpu") { $0.serverCPU },
        column("generator_cpu") { $0.generatorCPU },
        column("sealed_ahead") { $0.sealedAhead },
    ]

    private static func column<Value: CustomStringConvertible & SendableMetatype>(
        _ name: String, _ value: @escaping @Sendable (LoadReport.Sample) -> Value?
    ) -> Column {
        Column(name: name) { value($0)?.description ?? "" }
    }
}

internal import ArgumentParser
internal import WaybillClient
internal import WaybillModel

struct TraceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trace",
        abstract: "All that is known of a transaction, a bundle or a device, in order of time.",
        discussion: "Exits with 1 when nothing has this id. Shows no payloads.")

    @Argument(help: "The id of a transaction, a bundle, a device or a dead letter.")
    var id: TracedID

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await server.withClient { client in
            let report = try await client.trace(id)
            try output.show(report) { report.lines }
        }
    }
}

extension TraceReport {
    /// For a person.
    var lines: String {
        var blocks = findings.map(\.lines)
        if findings.isEmpty { blocks.append("nothing is known of \(id)") }
        blocks += (notAsked + notes).map { "note: " + HarmlessText.of($0) }
        return blocks.joined(separator: "\n\n")
    }
}

extension TraceFinding {
    fileprivate var lines: String {
        let id =
            switch kind {
            case .device: deviceID.description
            case .bundle: bundleID?.description ?? ""
            case .transaction: transactionID?.description ?? ""
            }
        var table = TextTable([])
        for event in events {
            let details = event.details.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            table.add([event.at.description, event.what, details.joined(separator: " ")])
        }
        var head = [
            "\(kind.rawValue) \(id): \(state)",
            "  tenant \(tenant?.text ?? "?"), device \(deviceID) \"\(deviceName ?? "?")\"",
        ]
        if kind == .transaction, let bundleID { head.append("  bundle \(bundleID)") }
        if !facts.isEmpty {
            let known = facts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
            head.append("  " + known.joined(separator: ", "))
        }
        return (head.map { HarmlessText.of($0) } + [table.text]).joined(separator: "\n")
    }
}

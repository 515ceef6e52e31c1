internal import ArgumentParser
internal import WaybillClient
internal import WaybillModel

struct DeadLettersShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show one dead letter: everything but its content.")

    @Argument(help: "The dead letter's id.")
    var id: DeadLetterID

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await server.withClient { client in
            let letter = try await client.deadLetter(id)
            try output.show(letter) { letter.table }
        }
    }
}

extension DeadLetterSummary {
    fileprivate var table: String {
        var table = TextTable([])
        table.add(["id", id.description])
        table.add(["state", stateText + (resolvedAt.map { " \($0)" } ?? "")])
        table.add(["set aside", createdAt.description])
        table.add(["code", code])
        table.add(["detail", detail])
        table.add(["tenant", tenant.text])
        table.add(["device", deviceID.description])
        table.add(["device's name", deviceName])
        table.add(["bundle", bundleID.description])
        table.add(["bundle's sha256", bundleDigest.description])
        table.add(["receipt", String(receiptSeq)])
        table.add(["epoch", epoch.map { String($0) } ?? "not told"])
        table.add(["bytes", "\(bytes) in \(parts.count) parts"])
        table.add(["node", node])
        table.add(["failed retries", String(attempts)])
        if let lastError { table.add(["last error", lastError]) }
        return table.text
    }
}

internal import ArgumentParser
internal import WaybillClient
internal import WaybillModel

struct DeadLettersListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List dead letters, oldest first.",
        discussion: "Lists everything that fits, however much that is, unless --limit says less.")

    @OptionGroup var options: DeadLetterOptions

    @Option(help: "open, resolved or all.")
    var state = DeadLetterState.open

    @Option(help: "No more than this many.")
    var limit: Int?

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    private static let pageSize = 1000

    func validate() throws {
        if let limit, limit < 1 { throw ValidationError("--limit is at least 1") }
    }

    func run() async throws {
        try await server.withClient { client in
            switch output.output {
            case .json: try await printJSON(client)
            case .text: try await printText(client)
            }
        }
    }

    /// One array, written page by page.
    private func printJSON(_ client: AdminClient) async throws {
        Console.write("[".utf8)
        var isFirst = true
        try await forEachPage(client) { page in
            for letter in page.deadLetters {
                let text = try Console.json(letter)
                Console.write((isFirst ? text : "," + text).utf8)
                isFirst = false
            }
        }
        Console.print("]")
    }

    private func printText(_ client: AdminClient) async throws {
        var isFirst = true
        try await forEachPage(client) { page in
            let head = ["ID", "SET ASIDE", "TENANT", "DEVICE", "CODE", "BYTES", "TRIES", "STATE"]
            var table = TextTable(isFirst ? head : [], numericColumns: [5, 6])
            for letter in page.deadLetters {
                table.add([
                    letter.id.description, letter.createdAt.description, letter.tenant.text,
                    letter.deviceID.description, letter.code, String(letter.bytes),
                    String(letter.attempts), letter.stateText,
                ])
            }
            Console.print(table.text)
            if isFirst, let total = page.total {
                Console.note("\(total) dead letters, \(page.totalBytes ?? 0) bytes")
            }
            isFirst = false
        }
    }

    private func forEachPage(
        _ client: AdminClient, _ body: (DeadLetterPage) throws -> Void
    ) async throws {
        var after: DeadLetterID?
        var rest = limit ?? .max
        repeat {
            let page = try await client.deadLetters(
                options.filter, state: state, after: after, limit: min(rest, Self.pageSize))
            try body(page)
            rest -= page.deadLetters.count
            after = rest > 0 ? page.next : nil
        } while after != nil
    }
}

extension DeadLetterState: ExpressibleByArgument {}

extension DeadLetterSummary {
    /// For a person.
    var stateText: String {
        resolution ?? (retrying ? "retrying" : "open")
    }
}

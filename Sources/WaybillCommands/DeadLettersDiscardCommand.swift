internal import ArgumentParser
internal import WaybillClient
internal import WaybillModel

struct DeadLettersDiscardCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "discard", abstract: "Give bundles up: their bytes are deleted here.",
        discussion: """
            The device still has its bytes: it deletes only on a settled receipt. Asks before \
            `--all` when standard input is a terminal, unless `--yes` is given.
            """)

    @OptionGroup var choice: DeadLetterChoice

    @Flag(help: "Do not ask.")
    var yes = false

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        try choice.check()
    }

    func run() async throws {
        try await server.withClient { client in
            if choice.all, !yes, Console.isInteractive {
                let page = try await client.deadLetters(
                    choice.options.filter, state: .open, after: nil, limit: 1)
                let count = page.total ?? 0
                guard Console.confirm("Discard \(count) dead letters, for good?") else {
                    throw CommandFailure(.failed, "nothing was discarded")
                }
            }
            try await DeadLetterRun(.discard, choice, output).run(client)
        }
    }
}

internal import ArgumentParser
internal import WaybillClient
internal import WaybillModel

struct DeadLettersRetryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "retry", abstract: "Queue bundles once more.",
        discussion: """
            A retry that succeeds issues a receipt that supersedes the quarantined one. One that \
            fails leaves the dead letter as it is; `dead-letters show` tells why.
            """)

    @OptionGroup var choice: DeadLetterChoice
    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        try choice.check()
    }

    func run() async throws {
        try await server.withClient { client in
            try await DeadLetterRun(.retry, choice, output).run(client)
        }
    }
}

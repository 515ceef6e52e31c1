internal import ArgumentParser
internal import WaybillClient
internal import WaybillModel

struct ListenersGetCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "get", abstract: "How many listeners there are and work.")

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await server.withClient { client in
            let status = try await client.listeners()
            try output.show(status) { status.line }
        }
    }
}

internal import ArgumentParser
internal import WaybillClient
internal import WaybillModel

struct ListenersSetCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "set", abstract: "Set how many listeners there shall be.")

    @Argument(help: "0 to 256; 0 pauses processing.")
    var target: Int

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (0...256).contains(target) else {
            throw ValidationError("the number of listeners is 0 to 256")
        }
    }

    func run() async throws {
        try await server.withClient { client in
            let status = try await client.setListeners(target: target)
            try output.show(status) { status.line }
        }
    }
}

internal import ArgumentParser
internal import WaybillClient
internal import WaybillModel

struct ListenersAutoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "auto", abstract: "Let the server choose how many listeners there are.",
        discussion: "It stays so over a restart, until `listeners set`.")

    @Option(help: "Never fewer; 0 lets an empty queue end the last one.")
    var min: Int

    @Option(help: "Never more; up to 256.")
    var max: Int

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard 0 <= min, min <= max, 1 <= max, max <= 256 else {
            throw ValidationError("--min \(min) --max \(max): 0 ≤ min ≤ max, and max is 1 to 256")
        }
    }

    func run() async throws {
        try await server.withClient { client in
            let status = try await client.setListeners(min: min, max: max)
            try output.show(status) { status.line }
        }
    }
}

internal import ArgumentParser
internal import WaybillClient
internal import WaybillModel

struct DeviceInviteCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "invite", abstract: "Print one-time codes with which devices enrol.")

    @Option(help: "Whose devices they will be.")
    var tenant: TenantSlug

    @Option(help: "How many codes.")
    var count = 1

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (1...1000).contains(count) else {
            throw ValidationError("--count is 1 to 1000")
        }
    }

    func run() async throws {
        try await server.withClient { client in
            let codes = try await client.invite(tenant: tenant, count: count)
            try output.show(codes) { codes.map(\.code).joined(separator: "\n") }
        }
    }
}

internal import ArgumentParser
internal import WaybillClient
internal import WaybillModel

struct DeviceRevokeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "revoke", abstract: "Refuse a device from now on.")

    @Argument(help: "The device's id.")
    var id: DeviceID

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await server.withClient { client in
            try await client.revoke(id)
            try output.show(["revoked": id]) { "revoked \(id)" }
        }
    }
}

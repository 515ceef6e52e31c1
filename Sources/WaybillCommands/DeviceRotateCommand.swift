internal import ArgumentParser
internal import WaybillClient
internal import WaybillModel

struct DeviceRotateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rotate",
        abstract: "Print a one-time code with which a device gets its next epoch.",
        discussion: """
            The device keeps its token until the code is used; then it has a new token and secret. \
            What it sealed before is still opened for the time of `epoch-grace`. Codes printed \
            before and not used are void.
            """)

    @Argument(help: "The device's id.")
    var id: DeviceID

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await server.withClient { client in
            let invitation = try await client.rotate(id)
            try output.show(invitation) { invitation.code }
        }
    }
}

internal import ArgumentParser
internal import WaybillClient
internal import WaybillModel

struct QueueStatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "How much waits, and since when.")

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await server.withClient { client in
            let status = try await client.queue()
            try output.show(status) {
                var table = TextTable([])
                table.add(["bundles waiting or in work", String(status.depth)])
                table.add(["of these in work", String(status.leased)])
                table.add(["oldest", "\(status.oldestAgeSeconds) s"])
                table.add(["bytes on disk", "\(status.bytes) in \(status.segments) segments"])
                table.add(["dead letters", String(status.deadLetters)])
                table.add(["healthy", status.isHealthy ? "yes" : "no"])
                return table.text
            }
        }
    }
}

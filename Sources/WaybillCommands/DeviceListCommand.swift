internal import ArgumentParser
internal import WaybillClient
internal import WaybillModel

struct DeviceListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List a tenant's devices.")

    @Option(help: "Whose devices.")
    var tenant: TenantSlug

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await server.withClient { client in
            let devices = try await client.devices(tenant: tenant)
            try output.show(devices) {
                var table = TextTable(
                    ["DEVICE", "NAME", "EPOCH", "RECEIPTS", "CONFIRMED", "STATE"],
                    numericColumns: [2, 3, 4])
                for device in devices {
                    table.add([
                        device.deviceID.description, device.name, String(device.epoch),
                        String(device.lastReceipt), String(device.confirmed),
                        device.revokedAt.map { "revoked \($0)" } ?? "enrolled \(device.enrolledAt)",
                    ])
                }
                return table.text
            }
        }
    }
}

internal import ArgumentParser
internal import WaybillClient
internal import WaybillModel

struct TenantListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List all tenants.")

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await server.withClient { client in
            let tenants = try await client.tenants()
            try output.show(tenants) {
                var table = TextTable(["TENANT", "DEVICES", "CREATED"], numericColumns: [1])
                for tenant in tenants {
                    table.add([
                        tenant.name.text, String(tenant.devices), tenant.createdAt.description,
                    ])
                }
                return table.text
            }
        }
    }
}

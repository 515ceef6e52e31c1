internal import ArgumentParser
internal import WaybillClient
internal import WaybillModel

struct TenantCreateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Create a tenant.")

    @Argument(help: "Its name: [a-z0-9][a-z0-9-]{0,62}.")
    var name: TenantSlug

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await server.withClient { client in
            let tenant = try await client.createTenant(name)
            try output.show(tenant) { "created tenant \(tenant.name)" }
        }
    }
}

internal import ArgumentParser

struct TenantCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tenant", abstract: "Organisations whose data nobody else can see.",
        subcommands: [TenantCreateCommand.self, TenantListCommand.self])
}

internal import ArgumentParser

struct AuditCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit", abstract: "What was done, by whom, and whether it is unchanged.",
        subcommands: [AuditTailCommand.self, AuditVerifyCommand.self])
}

internal import ArgumentParser
internal import WaybillClient
internal import WaybillModel

struct BackupCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup", abstract: "Say which receipts a backup covers.",
        discussion: """
            With `backup-policy = recorded`, devices are told through `safe_through` to keep what no \
            complete backup covers. Around each backup of the database run:

              id=$(waybill backup begin); pg_dump … && waybill backup complete $id
            """,
        subcommands: [
            BackupBeginCommand.self, BackupCompleteCommand.self, BackupListCommand.self,
        ])
}

struct BackupBeginCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "begin",
        abstract: "Say that a backup begins now, and print its number.")

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await server.withClient { client in
            let backup = try await client.beginBackup()
            try output.show(backup) { "\(backup.id)" }
        }
    }
}

struct BackupCompleteCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "complete", abstract: "Say that a backup is complete and safe.")

    @Argument(help: "The backup's number.")
    var id: Int64

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await server.withClient { client in
            let backup = try await client.completeBackup(id)
            try output.show(backup) { "complete: what was settled before \(backup.beganAt)" }
        }
    }
}

struct BackupListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "The last hundred backups, newest first.")

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await server.withClient { client in
            let backups = try await client.backups()
            try output.show(backups) {
                var table = TextTable(["ID", "BEGAN", "COMPLETED"], numericColumns: [0])
                for backup in backups {
                    table.add([
                        String(backup.id), backup.beganAt.description,
                        backup.completedAt?.description ?? "",
                    ])
                }
                return table.text
            }
        }
    }
}

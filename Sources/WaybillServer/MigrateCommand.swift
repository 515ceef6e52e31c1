package import ArgumentParser
internal import Foundation
internal import WaybillStore

/// `waybill migrate`
package struct MigrateCommand: AsyncParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "migrate",
        abstract: "Bring the schema of the database up to date.",
        discussion:
            "Needs --database-url; a private server's schema is brought up to date by serve.")

    @OptionGroup var options: ServerOptions

    @Option(help: "text or json")
    var output: OutputForm = .text

    package init() {}

    package func run() async throws {
        let configuration = try options.configuration()
        guard let url = configuration.databaseURL else {
            throw ConfigurationFault(problems: ["database-url: migrate needs one"]).reported()
        }
        do {
            try await Store.migrate(connectionString: url)
        } catch {
            FileHandle.standardError.write(Data("migrate: \(error)\n".utf8))
            throw ExitCode(error.isRetryable ? 69 : 1)
        }
        switch output {
        case .text: print("the schema is up to date")
        case .json: print(#"{"migrated":true}"#)
        }
    }
}

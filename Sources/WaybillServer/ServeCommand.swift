package import ArgumentParser
internal import Foundation
internal import Logging
internal import WaybillObservability

/// `waybill serve`
package struct ServeCommand: AsyncParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Run the server in the foreground.",
        discussion: """
            Prints one line with both addresses when it is ready. Without --database-url it runs a \
            PostgreSQL of its own in the data directory. Ends in order on SIGTERM and SIGINT.
            """)

    @OptionGroup var options: ServerOptions

    package init() {}

    package func run() async throws {
        let configuration = try options.configuration()
        let format: LogFormat = configuration.logsText ? .text : .json
        let level = configuration.logLevel
        LoggingSystem.bootstrap { label in
            LineLogHandler(label: label, format: format, level: level)
        }
        do {
            try await Daemon(configuration).run()
        } catch let fault as ConfigurationFault {
            throw fault.reported()
        } catch {
            FileHandle.standardError.write(Data("waybill serve: \(error)\n".utf8))
            throw ExitCode(1)
        }
    }
}

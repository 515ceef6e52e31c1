package import ArgumentParser

/// The commands that this module brings to the program.
package enum ServerCommands {
    package static let version = Daemon.version

    package static let all: [any ParsableCommand.Type] = [
        ServeCommand.self, MigrateCommand.self, ConfigCommand.self,
    ]
}

internal import ArgumentParser

struct QueueCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "queue", abstract: "Bundles between upload and settling.",
        subcommands: [QueueStatusCommand.self])
}

internal import ArgumentParser

struct QueueCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "queue", abstract: "Bundles between upload and settling.",
        subcommands: [
            QueueStatusCommand.self, QueuePauseCommand.self, QueueResumeCommand.self,
            QueueDrainCommand.self, QueueVerifyCommand.self,
        ])
}

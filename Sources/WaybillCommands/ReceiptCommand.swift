internal import ArgumentParser

struct ReceiptCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "receipt", abstract: "The server's signed word on bundles.",
        subcommands: [ReceiptVerifyCommand.self])
}

internal import ArgumentParser
internal import WaybillCommands
internal import WaybillServer

/// One program: the server and everything around it.
@main struct Waybill: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "waybill",
        abstract: "The ingestion backend for apps that work offline.",
        version: ServerCommands.version,
        subcommands: ServerCommands.all + WaybillOperatorCommands.all)
}

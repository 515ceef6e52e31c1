internal import ArgumentParser
internal import WaybillModel

struct ListenersCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "listeners", abstract: "The workers that settle bundles.",
        subcommands: [
            ListenersGetCommand.self, ListenersSetCommand.self, ListenersAutoCommand.self,
        ])
}

extension ListenerStatus {
    /// For a person.
    var line: String {
        "target \(target), running \(running), busy \(busy) (from \(min) to \(max), "
            + "autoscale \(autoscale ? "on" : "off"))"
    }
}

package import ArgumentParser
internal import Foundation

/// `waybill config …`
package struct ConfigCommand: ParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "config", abstract: "Look at the server's configuration.",
        subcommands: [ConfigCheckCommand.self])

    package init() {}
}

/// `waybill config check`: every effective value, where it comes from, and what is wrong.
struct ConfigCheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Print the effective configuration; exit with 78 when it is not usable.")

    @OptionGroup var options: ServerOptions

    @Option(help: "text or json")
    var output: OutputForm = .text

    func run() throws {
        let layers = try options.layers()
        let rows = Setting.catalogue.map { setting -> Row in
            let value = layers.values[setting.key]
            let shown = setting.isSecret && value != nil ? "(hidden)" : value?.text
            return Row(
                key: setting.key, value: shown, origin: value?.origin.rawValue ?? "not set")
        }
        switch output {
        case .json:
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            print(String(decoding: try encoder.encode(rows), as: UTF8.self))
        case .text:
            let width = rows.map(\.key.count).max() ?? 0
            for row in rows {
                let key = row.key.padding(toLength: width, withPad: " ", startingAt: 0)
                print("\(key)  \(row.value ?? "-")  (\(row.origin))")
            }
        }
        _ = try options.configuration()
    }

    private struct Row: Encodable {
        let key: String
        let value: String?
        let origin: String
    }
}

enum OutputForm: String, ExpressibleByArgument, CaseIterable {
    case text, json
}

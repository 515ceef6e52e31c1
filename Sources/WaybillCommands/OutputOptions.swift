internal import ArgumentParser

/// Whether a command speaks to a program or to a person.
enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case json, text
}

struct OutputOptions: ParsableArguments {
    @Option(help: "json or text.")
    var output: OutputFormat = .text

    /// Prints `value` as JSON, or `text` for a person.
    func show(_ value: some Encodable, text: () -> String) throws {
        switch output {
        case .json: try Console.print(json: value)
        case .text: Console.print(text())
        }
    }
}

import Foundation

/// What `deploy/bench.sh queue` runs of ours: each command prints one JSON object a line.
@main
enum QueueBench {
    static let usage = """
        queuebench append --directory D [--via queue|log] [--senders N] [--bytes N] [--seconds S]
        queuebench front --directory D
        queuebench drain --directory D [--threads N] [--bundles N] [--bytes N]
        queuebench fill --directory D --key FILE --backlog BYTES [--bytes N] [--devices N]
        queuebench open --directory D --key FILE
        """

    static func main() async throws {
        guard let command = CommandLine.arguments.dropFirst().first,
            let arguments = Arguments(CommandLine.arguments.dropFirst(2))
        else { end(usage) }
        switch command {
        case "append": try await Appending(arguments).run()
        case "front": try Front(arguments).run()
        case "drain": try await Draining(arguments).run()
        case "fill": try await Backlog(arguments).fill()
        case "open": try Backlog(arguments).open()
        default: end(usage)
        }
    }

    /// Ends the process for a mistake of the caller's.
    static func end(_ message: String) -> Never {
        FileHandle.standardError.write(Data((message + "\n").utf8))
        exit(2)
    }
}

/// `--name value` pairs.
struct Arguments {
    private var values: [String: String] = [:]

    /// Nil if a name has no value.
    init?(_ texts: ArraySlice<String>) {
        var rest = texts
        while let name = rest.popFirst() {
            guard name.hasPrefix("--"), let value = rest.popFirst() else { return nil }
            values[String(name.dropFirst(2))] = value
        }
    }

    func text(_ name: String) -> String? { values[name] }

    func required(_ name: String) -> String {
        guard let value = values[name] else { QueueBench.end("--\(name) is missing") }
        return value
    }

    /// A number of at least one.
    func count(_ name: String, _ standard: Int) -> Int {
        guard let text = values[name] else { return standard }
        guard let value = Int(text), value > 0 else { QueueBench.end("--\(name) is no count") }
        return value
    }

    func seconds(_ name: String, _ standard: Double) -> Double {
        guard let text = values[name] else { return standard }
        guard let value = Double(text), value > 0 else { QueueBench.end("--\(name) is no time") }
        return value
    }
}

internal import ArgumentParser
internal import WaybillLoad

struct LoadLimitsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "limits",
        abstract: "Measure what this machine could do at best, to set a server's figures beside.",
        discussion: """
            Key derivations a second (the floor under small bundles), the median of a sync, and, \
            with a server's URL, requests a second that it answers without work.
            """)

    @Option(help: "On the disk in question.")
    var directory = "."

    @Option(help: "A server's device address; its public keys are asked for.")
    var serverUrl: String?

    @Option(help: "Connections of the requests without work.")
    var connections = 32

    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await reporting {
            let limits = try MachineLimits.measure(directory: directory)
            var empty: Double?
            if let serverUrl {
                empty = try await EmptyRequests.measure(url: serverUrl, connections: connections)
            }
            try output.show(Answer(limits: limits, emptyRequestsPerSecond: empty)) {
                var table = TextTable(["LIMIT", "VALUE", "UNIT"], numericColumns: [1])
                func add(_ name: String, _ value: Double, _ unit: String) {
                    table.add([name, "\(Int(value.rounded()))", unit])
                }
                add("key derivations, one core", limits.derivationsPerSecond, "1/s")
                add("key derivations, all cores", limits.derivationsPerSecondAllCores, "1/s")
                add("median sync", limits.medianSyncMicroseconds, "us")
                if let empty { add("requests without work", empty, "1/s") }
                return table.text
            }
        }
    }

    private struct Answer: Encodable {
        let limits: MachineLimits
        let emptyRequestsPerSecond: Double?

        func encode(to encoder: any Encoder) throws {
            try limits.encode(to: encoder)
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(emptyRequestsPerSecond, forKey: .emptyRequestsPerSecond)
        }

        enum CodingKeys: String, CodingKey {
            case emptyRequestsPerSecond = "empty_requests_per_second"
        }
    }
}

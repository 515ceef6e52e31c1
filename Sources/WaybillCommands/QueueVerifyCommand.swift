internal import ArgumentParser
internal import WaybillClient
internal import WaybillModel

struct QueueVerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Read the queue's log and name what is damaged and what was lost by it.",
        discussion: """
            Exits with 2 when there is damage, or a bundle that is lost and was not sent again yet. \
            The devices of lost bundles are told to send them again.
            """)

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await server.withClient { client in
            let report = try await client.verifyQueue()
            try output.show(report) { report.lines }
            if let error = report.error {
                throw CommandFailure(.failed, "the walk ended before its end: \(error)")
            }
            guard report.faults.isEmpty, report.lost == 0 else {
                throw CommandFailure(
                    .checkNotMet, "\(report.faults.count) faults, \(report.lost) bundles lost")
            }
        }
    }
}

extension QueueReport {
    /// For a person.
    fileprivate var lines: String {
        var lines = ["\(records) records in \(segments) closed segments are what was written"]
        lines += faults.map { "damaged: \($0)" }
        if lost > 0 { lines.append("lost and not sent again yet: \(lost)\n\(lostBundles.table)") }
        if lost > lostBundles.count { lines.append("and \(lost - lostBundles.count) more") }
        return lines.joined(separator: "\n")
    }
}

extension [LostBundleReport] {
    /// For a person.
    var table: String {
        var table = TextTable(["device", "bundle", "sequence", "received", "found"])
        for bundle in self {
            table.add([
                bundle.deviceID.description, bundle.bundleID.description, String(bundle.sequence),
                bundle.receivedAt.description, bundle.foundAt.description,
            ])
        }
        return table.text
    }
}

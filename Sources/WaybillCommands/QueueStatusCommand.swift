internal import ArgumentParser
internal import WaybillClient
internal import WaybillModel

struct QueueStatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "How much waits, and since when.")

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await server.withClient { client in
            let status = try await client.queue()
            try output.show(status) { status.table }
        }
    }
}

extension QueueStatus {
    /// For a person.
    var table: String {
        var table = TextTable([])
        table.add(["bundles waiting or in work", String(depth)])
        table.add(["of these in work", String(leased)])
        table.add(["oldest", "\(oldestAgeSeconds) s"])
        table.add(["bytes of them", String(bytes)])
        table.add(["log on disk", "\(logBytes) bytes in \(segments) segments"])
        table.add(["dead letters", String(deadLetters)])
        table.add(["healthy", isHealthy ? "yes" : "no"])
        table.add(["paused", isPaused ? "yes: nothing is handed out" : "no"])
        table.add(["draining", isDraining ? "yes: nothing new is taken" : "no"])
        for key in masterKeys {
            let use =
                switch (key.isCurrent, key.segments) {
                case (true, let count): "new segments; \(count) are under it"
                case (false, 0): "previous; no segment is under it: its file can be dropped"
                case (false, let count): "previous; \(count) segments are still under it"
                }
            table.add(["master key \(key.keyID)", use])
        }
        table.add(["lost, to be sent again", String(lost)])
        var lines = [table.text]
        lines += faults.map { "damaged: \($0)" }
        if faultCount > faults.count { lines.append("and \(faultCount - faults.count) more") }
        if lost > 0 { lines.append("\n\(lostBundles.table)") }
        return lines.joined(separator: "\n")
    }
}

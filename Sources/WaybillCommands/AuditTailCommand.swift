internal import ArgumentParser
internal import WaybillClient
internal import WaybillModel

struct AuditTailCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tail", abstract: "The last rows of the audit, oldest first.",
        discussion: "With --output json one object a line.")

    @Option(help: "How many rows, 1 to 1000.")
    var limit = 20

    @Option(help: "Rows of this tenant only.")
    var tenant: TenantSlug?

    @Option(help: "Rows of this kind only: bundle.settled, or bundle for all that begin so.")
    var kind: String?

    @Flag(name: .shortAndLong, help: "Go on with what is added, until interrupted.")
    var follow = false

    @OptionGroup var server: AdminOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (1...1000).contains(limit) else { throw ValidationError("--limit is 1 to 1000") }
    }

    func run() async throws {
        try await server.withClient { client in
            var page = try await client.audit(tenant: tenant, kind: kind, limit: limit)
            try show(page.events)
            // A row that was committed while an older transaction still ran is told once more.
            var shown = Set(page.events.map(\.place))
            while follow {
                if page.events.count < 1000 { try await Task.sleep(for: .seconds(1)) }
                page = try await client.audit(
                    after: page.newer, tenant: tenant, kind: kind, limit: 1000)
                try show(page.events.filter { !shown.contains($0.place) })
                if !page.events.isEmpty { shown = shown.subtracting(page.events.map(\.place)) }
            }
        }
    }

    private func show(_ events: [AuditEntry]) throws {
        for event in events { try output.show(event) { event.line } }
    }
}

extension AuditEntry {
    /// What tells it from every other row.
    fileprivate var place: String { "\(chain) \(sequence)" }

    /// For a person.
    fileprivate var line: String {
        var words = [recordedAt.description, kind, subject ?? "-"]
        if let tenant { words.append("tenant=\(tenant)") }
        words.append("actor=\(actor)")
        if case .object(let members) = details {
            for (name, value) in members.sorted(by: { $0.key < $1.key }) {
                let text =
                    value.text ?? String(decoding: CanonicalJSON.encode(value), as: UTF8.self)
                words.append("\(name)=\(text)")
            }
        }
        return HarmlessText.of(words.joined(separator: " "))
    }
}

internal import ArgumentParser
internal import WaybillModel

struct DeadLettersCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dead-letters", abstract: "Bundles that were set aside.",
        subcommands: [
            DeadLettersListCommand.self, DeadLettersShowCommand.self,
            DeadLettersRetryCommand.self, DeadLettersDiscardCommand.self,
        ])
}

/// Which dead letters a command is about.
struct DeadLetterOptions: ParsableArguments {
    @Option(help: "Only of this tenant.")
    var tenant: TenantSlug?

    @Option(help: "Only of this device.")
    var device: DeviceID?

    @Option(help: "Only with this code, such as cannot_open.")
    var code: QuarantineCode?

    @Option(help: "Only those set aside before this time, RFC 3339 with offset.")
    var before: Timestamp?

    var filter: DeadLetterFilter {
        DeadLetterFilter(tenant: tenant, device: device, code: code, before: before)
    }
}

extension QuarantineCode: ExpressibleByArgument {
    package init?(argument: String) {
        self.init(rawValue: argument)
    }
}

extension Timestamp: ExpressibleByArgument {
    package init?(argument: String) {
        self.init(rfc3339: argument)
    }

    package var defaultValueDescription: String { description }
}

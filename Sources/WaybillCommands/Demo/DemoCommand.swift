internal import ArgumentParser
internal import Foundation
internal import WaybillClient
internal import WaybillLoad
internal import WaybillModel

struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Run a server with a week of real flights, uploaded by simulated devices.",
        discussion: """
            Starts `waybill serve` with a PostgreSQL of its own, enrols each aircraft as a device, \
            uploads 6,099 flights in sealed bundles, sends a tenth of them twice, changes the number \
            of listeners meanwhile, and checks each receipt.
            """)

    @Flag(help: "Stop when the table is shown; exit with 2 if anything is missing.")
    var once = false

    @Option(help: "Where the server keeps its data (default: a fresh temporary directory).")
    var dataDir: String?

    @Option(help: "How many devices work at the same time.")
    var devicesAtOnce = 32

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (1...1000).contains(devicesAtOnce) else {
            throw ValidationError("--devices-at-once is 1 to 1000")
        }
    }

    func run() async throws {
        try await reporting {
            let settings = DemoSettings(
                isOnce: once, devicesAtOnce: devicesAtOnce, format: output.output)
            guard let dataDir else {
                return try await TemporaryDirectory.with(prefix: "waybill-demo") { directory in
                    try await settings.run(dataDirectory: directory)
                }
            }
            try await settings.run(dataDirectory: dataDir)
        }
    }
}

struct DemoSettings: Sendable {
    let isOnce: Bool
    let devicesAtOnce: Int
    let format: OutputFormat

    func run(dataDirectory: String) async throws {
        var options = ServerProcess.Options(dataDirectory: dataDirectory)
        options.keepsPorts = false
        let server = try ServerProcess(options)
        Console.note("starting a server in \(dataDirectory); its log is \(server.logFile)")
        let shown = DemoFlag()
        let finished: Void? = try await Interruption.run {
            try await server.run { server in
                guard let address = server.address else {
                    throw CommandFailure(.unreachable, "the server has ended")
                }
                try await demonstrate(address)
                shown.set()
                guard !isOnce else { return }
                Console.note(
                    "the server stays up until Ctrl-C: devices \(address.deviceURL), "
                        + "operators \(address.adminURL)")
                Console.note("try: waybill queue status --data-dir \(dataDirectory)")
                try await Interruption.untilCancelled()
            }
        }
        if finished == nil, !shown.isSet {
            throw Interruption.Stopped()
        }
    }

    private func demonstrate(_ address: ServerAddress) async throws {
        let session = ClientSession(connectionsMax: devicesAtOnce)
        let report: DemoReport
        do {
            report = try await DemoRun(
                admin: AdminClient(
                    baseURL: address.adminURL, token: address.token, session: session),
                session: session, deviceURL: address.deviceURL, devicesAtOnce: devicesAtOnce
            ).run()
        } catch {
            try await session.shutdown()
            throw error
        }
        try await session.shutdown()
        switch format {
        case .json: try Console.print(json: report)
        case .text: Console.print(report.table)
        }
        guard report.isComplete else {
            throw CommandFailure(
                .checkNotMet,
                "\(report.missing) transactions are missing, \(report.receiptsVerified) receipts "
                    + "for \(report.bundles) bundles")
        }
    }
}

internal import Foundation
package import WaybillClient
internal import WaybillPostgres

/// A server that a run starts itself, with everything that its plan's chaos needs.
package struct OwnServer: Sendable {
    package struct Options: Sendable {
        /// For the run's own files; exists, and is called ``folderPrefix`` and something.
        package var folder: String
        package var dataDirectory: String
        /// Nil: the server runs a PostgreSQL of its own.
        package var databaseURL: String?
        /// `KEY=VALUE`, as `waybill serve --set` takes them.
        package var settings: [String] = []
        /// Phone networks have it always.
        package var usesTLS = false

        package init(folder: String, dataDirectory: String) {
            self.folder = folder
            self.dataDirectory = dataDirectory
        }
    }

    /// How a run's folder is called, so that the next run finds what a killed one has left.
    package static let folderPrefix = RunProcesses.folderPrefix

    package let server: ServerProcess
    /// Whose certificates the devices trust; nil without TLS.
    package let authority: String?
    /// Nil where the plan has no phone networks. The traffic's event loops have to enter it.
    package let network: PhoneNetwork?
    private let options: Options
    private let ownDatabase: PrivateDatabase?

    /// Starts a server, runs `work` as soon as it is ready, and stops it in order; it has ended on
    /// return. ``ChaosGround/enter(database:)`` has to come before.
    ///
    /// - Throws: ``ServerFailure``, also when the server ends by itself, and what `work` throws.
    package static func run<Result: Sendable>(
        _ plan: LoadPlan, _ options: Options,
        note: @Sendable (String) -> Void = { _ in },
        _ work: @escaping @Sendable (OwnServer) async throws -> Result
    ) async throws -> Result {
        let parent = URL(fileURLWithPath: options.folder).deletingLastPathComponent().path
        for folder in RunProcesses.removeLeftovers(in: parent) {
            note("a run was killed: ended what it had started, removed \(folder)")
        }
        if options.databaseURL != nil, plan.chaos.contains(where: { $0.action == .killPostgres }) {
            throw ServerFailure.impossible(
                "kill-postgres is for the server's own PostgreSQL: leave out --database-url")
        }
        let ground = ChaosGround(plan.chaos)
        if ground.needsDisk { try await ground.mountDisk(at: options.dataDirectory) }
        defer { if ground.needsDisk { ground.unmountDisk(at: options.dataDirectory) } }
        var network: PhoneNetwork?
        if ground.needsNetwork {
            network = try await PhoneNetwork.make(phones: plan.connections, seed: plan.seed)
            note("phone networks are made by \(network?.means ?? "")")
        }
        var process = ServerProcess.Options(dataDirectory: options.dataDirectory)
        // Beside the data: its last words must find room when the disk is full.
        process.logFile = options.folder + "/serve.log"
        if network != nil { process.deviceHost = PhoneNetwork.serverAddress }
        var authority: String?
        if options.usesTLS || network != nil {
            let files = try await ThrowawayCertificate.make(
                in: options.folder + "/tls", address: process.deviceHost)
            authority = files.authority
            process.arguments += ["--tls-certificate", files.certificate, "--tls-key", files.key]
        }
        if let url = options.databaseURL { process.arguments += ["--database-url", url] }
        process.arguments += options.settings.flatMap { ["--set", $0] }
        let database = PrivateDatabase(dataDirectory: options.dataDirectory)
        let isOwnDatabase = options.databaseURL == nil
        let processes = RunProcesses(folder: options.folder)
        process.whenReady = { processID in
            try processes.write(
                server: processID,
                database: isOwnDatabase ? try database.find()?.processID : nil)
        }
        let (trusted, spoiled) = (authority, network)
        let server = try ServerProcess(process)
        return try await server.run { server in
            try await work(
                OwnServer(
                    server: server, authority: trusted, network: spoiled, options: options,
                    ownDatabase: isOwnDatabase ? database : nil))
        }
    }

    /// The plan's chaos, to be run beside the load from the measured time's start on.
    ///
    /// - Parameter session: for calls of the operator.
    package func chaos(
        _ plan: LoadPlan, time: any ChaosTime, session: ClientSession
    ) -> ChaosRunner {
        let (processes, server, ownDatabase) = (
            RunProcesses(folder: options.folder), server, ownDatabase
        )
        return ChaosRunner(
            ChaosSchedule(plan.chaos, durationSeconds: plan.durationSeconds),
            effects: ServerChaos(
                server: server, session: session,
                disk: DiskFiller(directory: options.dataDirectory), network: network,
                database: ownDatabase,
                processesChanged: {
                    try processes.write(
                        server: server.processID, database: try ownDatabase?.find()?.processID)
                }),
            time: time)
    }

    /// Where the rows are, for those who want to read them.
    package var databaseURL: String? {
        // The server is ready: its PostgreSQL was found before.
        options.databaseURL ?? (try? ownDatabase?.find())?.connectionString
    }

    /// What server and PostgreSQL use now, for a sampler that asks once a second.
    package func usage() -> ServerUsage {
        // While it does not run, it uses nothing.
        server.usage(database: (try? ownDatabase?.find())?.processID)
    }
}

extension OwnServer: ServerGauge {
    package func residentBytes() -> Int? {
        let bytes = usage().residentBytes
        return bytes > 0 ? bytes : nil
    }

    /// Of all its lives together, so that it never falls.
    package func cpuSeconds() -> Double? { usage().cpuSeconds }
}

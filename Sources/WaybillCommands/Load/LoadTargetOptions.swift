internal import ArgumentParser
internal import Foundation
internal import WaybillLoad
internal import WaybillModel

/// Which server is loaded: one that runs somewhere, one on this machine, or one of the run's own.
struct LoadTargetOptions: ParsableArguments {
    @Option(help: "Device address of a server that runs; needs --admin-url.")
    var serverUrl: String?

    @Option(help: "Its operator address; the token comes from WAYBILL_ADMIN_TOKEN.")
    var adminUrl: String?

    @Flag(help: "Load the server that runs on --data-dir.")
    var running = false

    @Option(
        help: """
            Data directory of the server; without --running and --server-url, a server is started \
            on it (default: a fresh temporary directory).
            """)
    var dataDir: String?

    @Option(help: "Where the rows are, for the audit; a server of the run's own needs none.")
    var databaseUrl: String?

    @Option(help: "Certificates (PEM) to believe in place of the system's.")
    var tlsCa: String?

    @Option(help: "A setting of the server that is started, as KEY=VALUE; may be given often.")
    var set: [String] = []

    @Flag(help: "The server that is started speaks TLS, under a certificate made for the run.")
    var tls = false

    func validate() throws {
        if serverUrl != nil || adminUrl != nil {
            guard serverUrl != nil, adminUrl != nil, !running else {
                throw ValidationError("--server-url and --admin-url go together, without --running")
            }
        }
        if running, dataDir == nil { throw ValidationError("--running needs --data-dir") }
        if !startsServer, !set.isEmpty || tls {
            throw ValidationError("--set and --tls are for a server that this run starts")
        }
    }

    /// Whether the run has a server of its own.
    var startsServer: Bool { serverUrl == nil && !running }

    /// A server that runs already.
    func runningTarget() throws -> LoadTarget {
        let (device, address) = try runningAddress()
        var target = LoadTarget(deviceURL: device, operatorAddress: { address })
        target.authorityFile = tlsCa
        target.databaseURL = databaseUrl
        return target
    }

    private func runningAddress() throws -> (device: String, LoadTarget.OperatorAddress) {
        guard let serverUrl, let adminUrl else {
            let address = try ServerAddress.read(dataDirectory: dataDir ?? ".")
            return (address.deviceURL, .init(url: address.adminURL, token: address.token))
        }
        guard let token = ProcessInfo.processInfo.environment["WAYBILL_ADMIN_TOKEN"] else {
            throw CommandFailure(
                .denied, "--admin-url needs an operator's token in WAYBILL_ADMIN_TOKEN")
        }
        return (serverUrl, .init(url: adminUrl, token: token))
    }
}

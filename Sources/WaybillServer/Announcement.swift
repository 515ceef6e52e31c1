internal import Foundation
internal import Logging
internal import Synchronization
internal import WaybillModel

/// Says once that the server is ready, when both sides listen: on standard output for people and
/// scripts, in the data directory for the operator's commands.
final class Announcement: Sendable {
    private struct Ports {
        var device: Int?
        var admin: Int?
    }

    /// The local operator's token, new at each start.
    let token: String
    private let directory: DataDirectory
    private let configuration: ServerConfiguration
    private let ports = Mutex(Ports())
    private let logger = Logger(label: "waybill.server")

    init(directory: DataDirectory, configuration: ServerConfiguration) {
        self.directory = directory
        self.configuration = configuration
        var generator = SystemRandomNumberGenerator()
        let bytes = (0..<32).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
        token = Base64URL.encode(bytes)
    }

    func deviceSideListens(port: Int) {
        tell { $0.device = port }
    }

    func operatorSideListens(port: Int) {
        tell { $0.admin = port }
    }

    private func tell(_ change: (inout Ports) -> Void) {
        let both = ports.withLock { ports -> (device: Int, admin: Int)? in
            change(&ports)
            guard let device = ports.device, let admin = ports.admin else { return nil }
            return (device, admin)
        }
        guard let both else { return }
        let scheme = configuration.usesTLS ? "https" : "http"
        let device = SocketAddress(host: configuration.deviceAddress.host, port: both.device)
        let admin = SocketAddress(host: configuration.adminAddress.host, port: both.admin)
        let address = ServerAddress(
            adminURL: "http://\(admin)",
            deviceURL: configuration.publicURL ?? "\(scheme)://\(device)",
            token: token, processID: ProcessInfo.processInfo.processIdentifier)
        do {
            try directory.leave(address)
        } catch {
            logger.error("admin.json could not be written", metadata: ["error": "\(error)"])
        }
        let line =
            "waybill is ready: devices \(address.deviceURL)/v1, operators \(address.adminURL)\n"
        FileHandle.standardOutput.write(Data(line.utf8))
    }
}

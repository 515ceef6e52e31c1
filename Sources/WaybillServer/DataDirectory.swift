internal import Foundation
internal import WaybillModel

/// Where everything of one server lies.
struct DataDirectory: Sendable {
    let path: String

    var log: String { path + "/log" }
    var parts: String { path + "/parts" }
    var bundles: String { path + "/bundles" }
    var deadLetters: String { path + "/dead-letters" }
    var registry: String { path + "/registry.json" }
    var postgres: String { path + "/postgres" }
    var listeners: String { path + "/listeners.json" }
    var adminFile: String { path + "/admin.json" }

    /// Makes what is missing, for the owner only.
    init(_ path: String) throws(ConfigurationFault) {
        self.path = path
        for folder in [path, log, parts, deadLetters] {
            do {
                try FileManager.default.createDirectory(
                    atPath: folder, withIntermediateDirectories: true,
                    attributes: [.posixPermissions: 0o700])
            } catch {
                throw ConfigurationFault(problems: ["data-dir: \(folder) cannot be made"])
            }
        }
    }

    /// True when the queue holds data that only its master key opens.
    var hasLog: Bool {
        // A folder that cannot be listed is reported when the queue opens it.
        !((try? FileManager.default.contentsOfDirectory(atPath: log)) ?? []).isEmpty
    }

    /// Tells the operator's commands on this machine where the server is and how to get in.
    func leave(_ address: ServerAddress) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        try DurableFile.write(Array(try encoder.encode(address)), to: adminFile, mode: 0o600)
    }
}

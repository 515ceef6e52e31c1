internal import Foundation
internal import WaybillModel
internal import WaybillThreads

/// Where everything of one server lies.
struct DataDirectory: Sendable {
    let path: String

    var log: String { path + "/log" }
    var parts: String { path + "/parts" }
    var bundles: String { path + "/bundles" }
    var uploads: String { path + "/uploads" }
    var deadLetters: String { path + "/dead-letters" }
    var registry: String { path + "/registry.json" }
    var postgres: String { path + "/postgres" }
    var listeners: String { path + "/listeners.json" }
    var adminFile: String { path + "/admin.json" }

    /// Makes what is missing, for the owner only; durable on return.
    init(_ path: String) throws(ConfigurationFault) {
        self.path = path
        for folder in [path, log, parts, deadLetters] {
            do throws(DurableDirectory.Failure) {
                try DurableDirectory.make(folder)
            } catch {
                throw ConfigurationFault(problems: [
                    "data-dir: \(folder) cannot be made (\(error.operation), errno \(error.errno))"
                ])
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

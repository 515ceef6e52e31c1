internal import Foundation

/// Which processes belong to a run, in a file of its folder: a run that was killed cannot end them, the
/// next one does.
struct RunProcesses: Sendable {
    /// A process for good: numbers come again.
    struct Identity: Codable, Sendable, Equatable {
        var processID: Int32
        var startTicks: UInt64

        init?(_ processID: Int32?) {
            guard let processID, let found = ProcessTable().process(processID) else { return nil }
            self.processID = processID
            startTicks = found.startTicks
        }

        var isAlive: Bool {
            guard let found = ProcessTable().process(processID) else { return false }
            return found.startTicks == startTicks && found.state != "Z"
        }

        enum CodingKeys: String, CodingKey {
            case processID = "pid"
            case startTicks = "start_ticks"
        }
    }

    private struct Record: Codable {
        var run: Identity
        var server: Identity?
        var database: Identity?
    }

    /// Of the run's own.
    let folder: String
    private var path: String { folder + "/" + Self.fileName }
    private static let fileName = "processes.json"
    /// How folders are called that only runs make.
    package static let folderPrefix = "waybill-load-"

    /// - Parameter owner: this process.
    func write(
        owner: Int32 = getpid(), server: Int32?, database: Int32?
    ) throws(ServerFailure) {
        guard let run = Identity(owner) else { return }
        let record = Record(run: run, server: Identity(server), database: Identity(database))
        do {
            try JSONEncoder().encode(record).write(
                to: URL(fileURLWithPath: path), options: .atomic)
        } catch {
            throw .toolFailed("\(path) cannot be written: \(error)")
        }
    }

    /// Ends what runs that were killed have left, and removes their folders.
    ///
    /// - Parameter parent: where runs make their folders.
    /// - Returns: the folders.
    static func removeLeftovers(in parent: String) -> [String] {
        // What cannot be listed has no leftovers that could be removed.
        let names = (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? []
        let left = names.filter { $0.hasPrefix(folderPrefix) }.map { parent + "/" + $0 }.filter {
            RunProcesses(folder: $0).endOfKilledRun()
        }
        // One that cannot be removed is in nobody's way.
        for folder in left { try? FileManager.default.removeItem(atPath: folder) }
        return left
    }

    /// - Returns: true if this was a run that was killed.
    private func endOfKilledRun() -> Bool {
        guard let data = try? Data(contentsOf: URL(fileURLWithPath: path)),
            let record = try? JSONDecoder().decode(Record.self, from: data), !record.run.isAlive
        else { return false }
        // The server first: it would start its PostgreSQL again.
        if let server = record.server, server.isAlive { _ = kill(server.processID, SIGKILL) }
        if let database = record.database, database.isAlive {
            PrivateDatabase.kill(database.processID)
        }
        // One that the server has started again meanwhile, and nobody has written down.
        for process in ProcessTable().servers(of: folder + "/") { PrivateDatabase.kill(process) }
        return true
    }
}

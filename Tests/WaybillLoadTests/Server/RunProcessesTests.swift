import Foundation
import Testing

@testable import WaybillLoad

@Suite struct RunProcessesTests {
    private func withParent(_ body: (String) throws -> Void) throws {
        let parent = NSTemporaryDirectory() + "waybill-runs-\(UUID().uuidString)"
        try FileManager.default.createDirectory(
            atPath: parent, withIntermediateDirectories: true)
        defer {
            // What is left in the temporary folder harms nobody.
            try? FileManager.default.removeItem(atPath: parent)
        }
        try body(parent)
    }

    private func folder(_ parent: String, _ name: String) throws -> String {
        let folder = parent + "/" + name
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        return folder
    }

    private func sleeper() throws -> Process {
        let process = Process()
        process.executableURL = URL(filePath: "/bin/sleep")
        process.arguments = ["1000"]
        try process.run()
        return process
    }

    /// With the one signal that a child cannot have inherited as blocked.
    private func end(_ process: Process) {
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    @Test func theNextRunEndsWhatAKilledOneLeft() throws {
        try withParent { parent in
            let (run, server, database) = (try sleeper(), try sleeper(), try sleeper())
            let folder = try folder(parent, "waybill-load-one")
            try RunProcesses(folder: folder).write(
                owner: run.processIdentifier, server: server.processIdentifier,
                database: database.processIdentifier)
            #expect(RunProcesses.removeLeftovers(in: parent).isEmpty)
            #expect(server.isRunning && database.isRunning)
            end(run)
            #expect(RunProcesses.removeLeftovers(in: parent) == [folder])
            server.waitUntilExit()
            database.waitUntilExit()
            #expect(server.terminationStatus == SIGKILL)
            #expect(database.terminationStatus == SIGKILL)
            #expect(!FileManager.default.fileExists(atPath: folder))
        }
    }

    @Test func aDatabaseThatWasStartedAgainIsFoundByWhereItsFilesAre() throws {
        try withParent { parent in
            let run = try sleeper()
            let folder = try folder(parent, "waybill-load-three")
            try RunProcesses(folder: folder).write(
                owner: run.processIdentifier, server: nil, database: nil)
            let database = Process()
            database.executableURL = URL(filePath: "/bin/bash")
            database.arguments = [
                "-c", "exec -a /usr/bin/postgres tail -f \"$0\"", folder + "/processes.json",
            ]
            database.standardOutput = FileHandle.nullDevice
            try database.run()
            let number = database.processIdentifier
            while ProcessTable().servers(of: folder + "/") != [number] {
                try #require(database.isRunning)
            }
            end(run)
            #expect(RunProcesses.removeLeftovers(in: parent) == [folder])
            database.waitUntilExit()
            #expect(database.terminationStatus == SIGKILL)
        }
    }

    @Test func anotherProcessWithTheSameNumberIsLeftAlone() throws {
        try withParent { parent in
            let (run, server) = (try sleeper(), try sleeper())
            defer { end(server) }
            let folder = try folder(parent, "waybill-load-two")
            try RunProcesses(folder: folder).write(
                owner: run.processIdentifier, server: server.processIdentifier, database: nil)
            let path = folder + "/processes.json"
            let ticks = try #require(
                RunProcesses.Identity(server.processIdentifier)?.startTicks)
            let text = try String(contentsOfFile: path, encoding: .utf8)
            try text.replacingOccurrences(of: "\(ticks)", with: "1").write(
                toFile: path, atomically: false, encoding: .utf8)
            end(run)
            #expect(RunProcesses.removeLeftovers(in: parent) == [folder])
            #expect(server.isRunning)
        }
    }

    @Test func foldersWithoutARecordAndOthersAreLeftAlone() throws {
        try withParent { parent in
            let bare = try folder(parent, "waybill-load-bare")
            let other = try folder(parent, "something-else")
            try "{}".write(
                toFile: bare + "/processes.json", atomically: false, encoding: .utf8)
            #expect(RunProcesses.removeLeftovers(in: parent).isEmpty)
            #expect(FileManager.default.fileExists(atPath: bare))
            #expect(FileManager.default.fileExists(atPath: other))
        }
    }
}

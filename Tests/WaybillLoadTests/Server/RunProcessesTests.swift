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

    /// A child that nobody watches but this: Foundation's watch over ends waits on a thread of the
    /// pool for what may need the pool.
    private struct Sleeper {
        let processIdentifier: pid_t

        init() throws {
            var arguments = [strdup("sleep"), strdup("1000"), nil]
            defer { for argument in arguments { free(argument) } }
            var number: pid_t = 0
            try #require(
                posix_spawn(&number, "/bin/sleep", nil, nil, &arguments, environ) == 0)
            processIdentifier = number
        }

        /// Call it only until its end was waited for.
        var isRunning: Bool {
            var status: Int32 = 0
            return waitpid(processIdentifier, &status, WNOHANG) == 0
        }

        func end() {
            kill(processIdentifier, SIGKILL)
            _ = endingSignal()
        }

        /// Waits for its end; the signal that caused it.
        func endingSignal() -> Int32 {
            var status: Int32 = 0
            while waitpid(processIdentifier, &status, 0) == -1, errno == EINTR {}
            return status & 0x7f
        }
    }

    @Test func theNextRunEndsWhatAKilledOneLeft() throws {
        try withParent { parent in
            let (run, server, database) = (try Sleeper(), try Sleeper(), try Sleeper())
            let folder = try folder(parent, "waybill-load-one")
            try RunProcesses(folder: folder).write(
                owner: run.processIdentifier, server: server.processIdentifier,
                database: database.processIdentifier)
            #expect(RunProcesses.removeLeftovers(in: parent).isEmpty)
            #expect(server.isRunning && database.isRunning)
            run.end()
            #expect(RunProcesses.removeLeftovers(in: parent) == [folder])
            #expect(server.endingSignal() == SIGKILL)
            #expect(database.endingSignal() == SIGKILL)
            #expect(!FileManager.default.fileExists(atPath: folder))
        }
    }

    @Test func anotherProcessWithTheSameNumberIsLeftAlone() throws {
        try withParent { parent in
            let (run, server) = (try Sleeper(), try Sleeper())
            defer { server.end() }
            let folder = try folder(parent, "waybill-load-two")
            try RunProcesses(folder: folder).write(
                owner: run.processIdentifier, server: server.processIdentifier, database: nil)
            let path = folder + "/processes.json"
            let ticks = try #require(
                RunProcesses.Identity(server.processIdentifier)?.startTicks)
            let text = try String(contentsOfFile: path, encoding: .utf8)
            try text.replacingOccurrences(of: "\(ticks)", with: "1").write(
                toFile: path, atomically: false, encoding: .utf8)
            run.end()
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

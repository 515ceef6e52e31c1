import Foundation
import Testing
import WaybillModel

@testable import WaybillLoad

/// The process's life, with a script in the server's place.
@Suite(.timeLimit(.minutes(2))) struct ServerProcessTests {
    private struct Failure: Error {}

    /// A directory with a program that behaves like `waybill serve` as far as its parent sees it.
    private func withServer(
        atEnd: String = "exit 0", beforeReady: String = ":",
        _ body: (ServerProcess.Options) async throws -> Void
    ) async throws {
        let directory = NSTemporaryDirectory() + "waybill-process-\(UUID().uuidString)"
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true)
        defer {
            // What is left in the temporary folder harms nobody.
            try? FileManager.default.removeItem(atPath: directory)
        }
        let program = directory + "/program"
        try """
        #!/bin/sh
        cd "$3"
        echo "$@" >> starts
        echo "the log of $$" >&2
        \(beforeReady)
        printf '{"admin_url":"http://%s","device_url":"http://%s","token":"%s","pid":%s}' \
            "$7" "$5" "$$" "$$" > admin.json
        trap '\(atEnd)' TERM
        echo ready
        while [ ! -e die ]; do sleep 0.02 >/dev/null 2>&1 & wait; done
        echo 'my last words' >&2
        exit 7
        """.write(toFile: program, atomically: false, encoding: .utf8)
        try FileManager.default.setAttributes(
            [.posixPermissions: 0o755], ofItemAtPath: program)
        var options = ServerProcess.Options(dataDirectory: directory + "/data")
        options.executable = program
        options.arguments = ["--set", "listeners=1"]
        try await body(options)
    }

    private func starts(_ options: ServerProcess.Options) throws -> [String] {
        try String(contentsOfFile: options.dataDirectory + "/starts", encoding: .utf8)
            .split(separator: "\n").map(String.init)
    }

    @Test func comesBackAtTheSameAddressesAfterKillAndStop() async throws {
        try await withServer { options in
            let server = try ServerProcess(options)
            let lives = try await server.run { server in
                var lives = [try #require(server.address)]
                try await server.kill()
                #expect(server.address == nil && server.processID == nil)
                try await server.start()
                lives.append(try #require(server.address))
                try await server.stop()
                try await server.start()
                lives.append(try #require(server.address))
                #expect(server.starts == 3)
                return lives
            }
            #expect(Set(lives.map(\.processID)).count == 3)
            #expect(Set(lives.map(\.deviceURL)).count == 1)
            #expect(Set(lives.map(\.adminURL)).count == 1)
            #expect(Set(lives.map(\.token)).count == 3)
            for life in lives { #expect(kill(life.processID, 0) == -1) }
            let starts = try starts(options)
            #expect(starts.count == 3 && Set(starts).count == 1)
            #expect(starts[0].hasSuffix("--set listeners=1"))
            #expect(!starts[0].contains(":0 "))
        }
    }

    @Test func theSystemChoosesPortsWhereTheyNeedNotStay() async throws {
        try await withServer { options in
            var options = options
            options.keepsPorts = false
            try await ServerProcess(options).run { _ in }
            let words = try starts(options)[0]
            #expect(
                words.contains("--device-address 127.0.0.1:0 --admin-address 127.0.0.1:0"))
        }
    }

    @Test func anEndThatNobodyAskedForCancelsTheWorkAndTellsTheLastWords() async throws {
        try await withServer { options in
            let die = options.dataDirectory + "/die"
            let failure = await #expect(throws: ServerFailure.self) {
                try await ServerProcess(options).run { _ in
                    #expect(FileManager.default.createFile(atPath: die, contents: nil))
                    try await Task.sleep(for: .seconds(3600))
                }
            }
            let words = "\(try #require(failure))"
            #expect(words.contains("my last words"))
        }
    }

    @Test func aServerThatDoesNotStartIsAFailureWithItsWords() async throws {
        try await withServer(beforeReady: "echo 'configuration: wrong' >&2; exit 78") { options in
            let failure = await #expect(throws: ServerFailure.self) {
                try await ServerProcess(options).run { _ in }
            }
            let words = "\(try #require(failure))"
            #expect(words.contains("configuration: wrong"))
        }
    }

    /// Without any patience it is over before there is a process that could be killed.
    @Test(arguments: [Duration.milliseconds(200), .zero])
    func aServerThatDoesNotGetReadyIsKilled(patience: Duration) async throws {
        try await withServer(beforeReady: "exec sleep 1000") { options in
            var options = options
            options.startPatience = patience
            let failure = await #expect(throws: ServerFailure.self) {
                try await ServerProcess(options).run { _ in }
            }
            guard case .notReady? = failure else {
                Issue.record("\(String(describing: failure))")
                return
            }
        }
    }

    @Test func aStopWithAnotherCodeThanZeroIsAFailure() async throws {
        try await withServer(atEnd: "exit 3") { options in
            let failure = await #expect(throws: ServerFailure.self) {
                try await ServerProcess(options).run { _ in }
            }
            guard case .stoppedBadly? = failure else {
                Issue.record("\(String(describing: failure))")
                return
            }
        }
    }

    @Test func aServerThatDoesNotStopIsKilledAndThatIsAFailure() async throws {
        try await withServer(atEnd: "") { options in
            var options = options
            options.stopPatience = .milliseconds(200)
            let failure = await #expect(throws: ServerFailure.self) {
                try await ServerProcess(options).run { _ in }
            }
            guard case .stoppedBadly? = failure else {
                Issue.record("\(String(describing: failure))")
                return
            }
        }
    }

    @Test func failedWorkAndCancelledWorkEndTheServer() async throws {
        try await withServer { options in
            await #expect(throws: Failure.self) {
                try await ServerProcess(options).run { _ in throw Failure() }
            }
            let running = Task {
                try await ServerProcess(options).run { server in
                    try await Task.sleep(for: .seconds(3600))
                }
            }
            while try starts(options).count < 2 { try await Task.sleep(for: .milliseconds(1)) }
            running.cancel()
            await #expect(throws: (any Error).self) { try await running.value }
            let words = try String(
                contentsOfFile: options.dataDirectory + "/serve.log", encoding: .utf8)
            for line in words.split(separator: "\n") where line.hasPrefix("the log of ") {
                let number = try #require(Int32(line.dropFirst("the log of ".count)))
                #expect(kill(number, 0) == -1)
            }
        }
    }

    @Test func knowsWhatItUses() async throws {
        try await withServer { options in
            try await ServerProcess(options).run { server in
                #expect(server.usage().residentBytes > 100_000)
                let before = server.usage().cpuSeconds
                try await server.kill()
                #expect(server.usage().residentBytes == 0)
                #expect(server.usage().cpuSeconds >= before)
                try await server.start()
            }
        }
    }
}

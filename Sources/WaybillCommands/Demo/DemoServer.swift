internal import Foundation
internal import Subprocess
internal import WaybillModel

#if canImport(System)
    internal import System
#else
    internal import SystemPackage
#endif

/// `waybill serve` as a child process of this same executable.
struct DemoServer: Sendable {
    let dataDirectory: String
    /// Its standard error.
    var logFile: String { dataDirectory + "/serve.log" }
    private static let shutdownPatience = Swift.Duration.seconds(30)

    /// Runs the server while `work` runs. Whatever way `work` ends, the server is asked to stop and
    /// has ended on return.
    func run<Result: Sendable>(
        _ work: (ServerAddress) async throws -> Result
    ) async throws -> Result {
        try FileManager.default.createDirectory(
            atPath: dataDirectory, withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700])
        let log = try FileDescriptor.open(
            FilePath(logFile), .writeOnly, options: [.create, .append],
            permissions: .ownerReadWrite)
        let teardown = [
            TeardownStep.gracefulShutDown(allowedDurationToNextStep: Self.shutdownPatience)
        ]
        var options = PlatformOptions()
        options.teardownSequence = teardown
        // A Ctrl-C at the terminal is for the demo, which then stops the server in order.
        options.processGroupID = 0
        let outcome = try await Subprocess.run(
            .path(FilePath(try Self.executable())),
            arguments: [
                "serve", "--data-dir", dataDirectory, "--device-address", "127.0.0.1:0",
                "--admin-address", "127.0.0.1:0",
            ],
            platformOptions: options, input: .none, output: .sequence,
            error: .fileDescriptor(log, closeAfterSpawningProcess: true)
        ) { execution in
            try await waitUntilReady(execution.standardOutput)
            let result = try await work(
                ServerAddress.read(dataDirectory: dataDirectory))
            await execution.teardown(using: teardown)
            return result
        }
        return outcome.closureResult
    }

    /// The server prints one line when it is ready, and nothing before.
    private func waitUntilReady(_ output: SubprocessOutputSequence) async throws {
        for try await line in output.strings() where !line.isEmpty { return }
        let words = (try? String(contentsOfFile: logFile, encoding: .utf8)) ?? ""
        let tail = words.split(separator: "\n").suffix(5).joined(separator: "\n  ")
        throw CommandFailure(.failed, "the server did not start; its last words:\n  \(tail)")
    }

    private static func executable() throws -> String {
        #if os(Linux)
            return try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        #else
            guard let path = Bundle.main.executablePath else {
                throw CommandFailure(.failed, "this program's own path is not known")
            }
            return path
        #endif
    }
}

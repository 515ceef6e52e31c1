internal import Subprocess

#if canImport(System)
    internal import System
#else
    internal import SystemPackage
#endif

/// A program of the operating system that chaos needs.
enum SystemTool {
    private static let output = 64 << 10

    /// Runs a program of `PATH` to its end.
    ///
    /// - Throws: ``ServerFailure/impossible(_:)`` where it is not installed,
    ///   ``ServerFailure/toolFailed(_:)`` with its last words where it fails.
    static func run(_ words: [String]) async throws(ServerFailure) {
        guard let program = words.first else { return }
        let result: ExecutionResult<Void, StringOutput<Unicode.UTF8>, StringOutput<Unicode.UTF8>>
        do {
            result = try await Subprocess.run(
                .name(program), arguments: Arguments(Array(words.dropFirst())),
                environment: .inherit.updating(["LC_ALL": "C"]),
                output: .string(limit: output), error: .string(limit: output))
        } catch let error as SubprocessError where error.code == .executableNotFound {
            throw .impossible(
                "the program \(program) is not installed (Debian: \(package(program)))")
        } catch {
            throw .toolFailed("\(program) cannot be run: \(error)")
        }
        guard result.terminationStatus.isSuccess else {
            let said = result.standardError.isEmpty ? result.standardOutput : result.standardError
            let last = said.split(separator: "\n").last.map(String.init) ?? "no message"
            throw .toolFailed("`\(words.joined(separator: " "))` failed: \(last)")
        }
    }

    private static func package(_ program: String) -> String {
        switch program {
        case "ip", "tc": "iproute2"
        case "openssl": "openssl"
        default: "util-linux"
        }
    }
}

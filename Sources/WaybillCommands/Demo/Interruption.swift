internal import Dispatch
internal import Foundation

/// Ctrl-C and SIGTERM as the end of a task instead of the process.
enum Interruption {
    /// A signal came before the work was done.
    struct Stopped: Error, CustomStringConvertible {
        var description: String { "interrupted" }
    }

    /// Runs `work`; a signal cancels it.
    ///
    /// - Returns: nil if a signal came first.
    static func run<Result: Sendable>(
        _ work: @escaping @Sendable () async throws -> Result
    ) async throws -> Result? {
        try await withThrowingTaskGroup(of: Result?.self) { group in
            group.addTask { try await work() }
            group.addTask {
                await wait()
                return nil
            }
            defer { group.cancelAll() }
            guard let first = try await group.next() else { return nil }
            group.cancelAll()
            if first == nil {
                // The work's own end is awaited, so that what it started has stopped as well; that
                // it was cancelled is no news.
                _ = try? await group.next()
            }
            return first
        }
    }

    /// For work that only a signal ends.
    ///
    /// - Throws: `CancellationError`.
    static func untilCancelled() async throws {
        while true { try await Task.sleep(for: .seconds(86_400)) }
    }

    /// Returns at the next SIGINT or SIGTERM, or when the task is cancelled.
    ///
    /// Only one may wait at a time: on Linux, Dispatch puts a handler of its own in place, which
    /// ignoring the signal once more would take away.
    private static func wait() async {
        let (signals, continuation) = AsyncStream.makeStream(of: Void.self)
        let sources = [SIGINT, SIGTERM].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number)
            source.setEventHandler { continuation.yield() }
            source.resume()
            return source
        }
        for await _ in signals { break }
        for source in sources { source.cancel() }
    }
}

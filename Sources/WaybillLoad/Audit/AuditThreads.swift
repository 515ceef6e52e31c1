internal import Synchronization
internal import WaybillThreads

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// Threads for work that takes minutes and blocks: never the cooperative pool's.
enum AuditThreads {
    static var coreCount: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

    /// Runs `body` on a thread of its own.
    static func run<Value: Sendable>(
        _ body: @escaping @Sendable () throws -> Value
    ) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            do {
                _ = try NamedThread(name: "audit") {
                    continuation.resume(with: Result(catching: body))
                }
            } catch {
                continuation.resume(throwing: error)
            }
        }
    }

    /// Divides `0..<count` into neighbouring ranges, one a thread, and waits for all of them.
    ///
    /// - Returns: what `body` returned, in order.
    /// - Throws: the first range's error.
    static func divide<Value: Sendable>(
        _ count: Int, threads: Int, _ body: @escaping @Sendable (Range<Int>) throws -> Value
    ) throws -> [Value] {
        let parts = max(1, min(threads, count))
        let results = Mutex<[Int: Result<Value, any Error>]>([:])
        let workers = try (0..<parts).map { part in
            try NamedThread(name: "audit-\(part)") {
                let range = count * part / parts..<count * (part + 1) / parts
                let result = Result { try body(range) }
                results.withLock { $0[part] = result }
            }
        }
        for worker in workers { worker.join() }
        let found = results.withLock { $0 }
        return try (0..<parts).compactMap { try found[$0]?.get() }
    }
}

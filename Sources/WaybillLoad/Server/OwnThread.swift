internal import WaybillThreads

/// Work that blocks, or changes the thread that it runs on.
enum OwnThread {
    /// Runs `work` on a thread that ends afterwards.
    static func run<Value: Sendable>(
        _ name: String, _ work: @escaping @Sendable () throws(ServerFailure) -> Value
    ) async throws(ServerFailure) -> Value {
        let result = await withCheckedContinuation {
            (done: CheckedContinuation<Result<Value, ServerFailure>, Never>) in
            do {
                _ = try NamedThread(name: name) {
                    done.resume(returning: Result { () throws(ServerFailure) in try work() })
                }
            } catch {
                done.resume(returning: .failure(.impossible("no thread can be started: \(error)")))
            }
        }
        return try result.get()
    }
}

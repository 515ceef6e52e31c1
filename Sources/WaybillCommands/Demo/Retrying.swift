internal import WaybillClient

/// What a device does when a call fails (CONTRACT.md, "What a device does"), at a demo's pace.
enum Retrying {
    static let triesMax = 8

    /// Calls again, with full jitter, while the failure may pass; obeys `Retry-After`.
    static func run<Result: Sendable>(
        _ call: @Sendable () async throws(ClientError) -> Result
    ) async throws -> Result {
        var ceiling = 1.0
        for _ in 1..<triesMax {
            do throws(ClientError) {
                return try await call()
            } catch {
                guard error.isRetryable else { throw error }
                try Task.checkCancellation()
                let wait = Double.random(in: 0...ceiling) + Double(error.retryAfter ?? 0)
                try await Task.sleep(for: .seconds(wait))
                ceiling = min(ceiling * 2, 15)
            }
        }
        return try await call()
    }
}

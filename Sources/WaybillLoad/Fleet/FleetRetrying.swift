internal import Synchronization
internal import WaybillClient

/// What a device does when a call fails (CONTRACT.md, "What a device does"), with a lower ceiling: a
/// run is to begin soon or to say why not.
package struct FleetRetrying: Sendable {
    package var triesMax: Int
    /// Of the first wait, in seconds; each doubles it.
    package var firstSeconds: Double
    package var ceilingSeconds: Double

    package init(triesMax: Int = 8, firstSeconds: Double = 1, ceilingSeconds: Double = 15) {
        self.triesMax = triesMax
        self.firstSeconds = firstSeconds
        self.ceilingSeconds = ceilingSeconds
    }

    /// Calls again, with full jitter, while the failure may pass; obeys `Retry-After`.
    func run<Result: Sendable>(
        _ call: @Sendable () async throws(ClientError) -> Result
    ) async throws -> Result {
        var ceiling = firstSeconds
        for _ in 1..<max(1, triesMax) {
            do throws(ClientError) {
                return try await call()
            } catch {
                guard error.isRetryable else { throw error }
                try Task.checkCancellation()
                let wait = Double.random(in: 0...ceiling) + Double(error.retryAfter ?? 0)
                try await Task.sleep(for: .seconds(wait))
                ceiling = min(ceiling * 2, ceilingSeconds)
            }
        }
        return try await call()
    }
}

/// Counts devices that are ready.
final class FleetProgress: Sendable {
    private let count = Atomic(0)
    private let report: @Sendable (Int) -> Void

    init(report: @escaping @Sendable (Int) -> Void) {
        self.report = report
    }

    func advance() {
        report(count.add(1, ordering: .relaxed).newValue)
    }
}

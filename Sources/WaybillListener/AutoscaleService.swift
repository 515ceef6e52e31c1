internal import ServiceLifecycle
internal import WaybillModel
package import WaybillQueue

/// Looks at the queue once a second and lets the pool decide how many listeners it needs.
///
/// A sample in time is all it takes: there is no event for "still busy".
package struct AutoscaleService: Service {
    private let pool: ListenerPool
    private let queue: @Sendable () -> DiskQueueStatus

    package init(pool: ListenerPool, queue: @escaping @Sendable () -> DiskQueueStatus) {
        self.pool = pool
        self.queue = queue
    }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            // Cancelling is how this ends.
            while (try? await Task.sleep(for: .seconds(1))) != nil {
                if pool.status.autoscale { sample() }
            }
        }
    }

    private func sample() {
        let status = queue()
        let age = status.oldestReceivedAt.map { Timestamp.now.seconds(since: $0) } ?? 0
        // A paused queue hands out nothing, however much waits.
        pool.autoscale(
            waiting: status.isPaused ? 0 : status.depth - status.leased,
            oldestAge: .seconds(Swift.max(0, age)))
    }
}

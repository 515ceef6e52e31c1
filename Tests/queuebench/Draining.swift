import WaybillQueue
import WaybillThreads

/// Threads that lease and settle until nothing is left; durable before counted.
struct Draining {
    private let directory: String
    private let threads: Int
    private let bundles: Int
    private let bytes: Int

    init(_ arguments: Arguments) {
        directory = arguments.required("directory")
        threads = arguments.count("threads", 1)
        bundles = arguments.count("bundles", 100_000)
        bytes = arguments.count("bytes", 1024)
    }

    func run() async throws {
        let queue = try BenchQueue.open(directory)
        defer { queue.close() }
        try await BenchQueue.fill(queue, count: bundles, bytes: bytes)
        let durable = Monitor(0)
        let began = Deadline.now
        let workers = try (0..<threads).map { number in
            try NamedThread(name: "drain-\(number)") {
                do {
                    try drain(queue, durable)
                } catch {
                    QueueBench.end("draining failed: \(error)")
                }
            }
        }
        let wanted = bundles
        _ = durable.wait { $0 >= wanted ? true : nil }
        let seconds = Double(Deadline.now.nanoseconds - began.nanoseconds) / 1e9
        queue.wake()
        for worker in workers { worker.join() }
        try Figures.print([
            "bundles": Double(bundles), "seconds": seconds, "cpu_seconds": Figures.cpuSeconds(),
        ])
    }

    private func drain(_ queue: DiskQueue, _ durable: Monitor<Int>) throws {
        let wanted = bundles
        let request = LeaseRequest(
            bundlesMax: 500, bytesMax: 8 << 20, duration: .seconds(60), wait: .seconds(60),
            isCancelled: { durable.withLock { $0 >= wanted } })
        while let lease = try queue.lease(request) {
            let count = lease.deliveries.count
            try queue.settle(lease, [Settlement](repeating: .settled, count: count)) {
                durable.update { $0 += count }
            }
        }
    }
}

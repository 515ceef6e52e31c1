import SegmentedLog
import WaybillModel
import WaybillQueue
import WaybillThreads

/// Senders in this process, each with one record on its way at a time.
struct Appending {
    private let directory: String
    private let isBare: Bool
    private let senders: Int
    private let bytes: Int
    private let seconds: Double

    init(_ arguments: Arguments) {
        directory = arguments.required("directory")
        isBare = arguments.text("via") == "log"
        senders = arguments.count("senders", 1)
        bytes = arguments.count("bytes", 1024)
        seconds = arguments.seconds("seconds", 2)
    }

    func run() async throws {
        let content = [UInt8](repeating: 120, count: bytes)
        if isBare {
            guard let key = MasterKey(BenchQueue.key) else { QueueBench.end("no key") }
            let (log, _) = try SegmentedLog.open(
                options: LogOptions(directory: directory, masterKey: key),
                logger: BenchQueue.logger,
                onFatal: { error in QueueBench.end("the log failed: \(error)") }, replay: { _ in })
            defer { log.close() }
            try await measure {
                try await withCheckedThrowingContinuation { continuation in
                    log.append(type: 1, payload: content) { continuation.resume(with: $0) }
                }
            }
        } else {
            let queue = try BenchQueue.open(directory)
            defer { queue.close() }
            try await measure {
                _ = try await queue.enqueue(BenchQueue.message(of: content))
            }
        }
    }

    private func measure<Result>(
        _ append: @escaping @Sendable () async throws -> Result
    ) async throws {
        let stretch = Stretch(seconds: seconds)
        let all = try await withThrowingTaskGroup(of: Latencies.self) { group in
            for _ in 0..<senders {
                group.addTask {
                    var latencies = Latencies()
                    var began = Deadline.now.nanoseconds
                    while began < stretch.until {
                        _ = try await append()
                        let ended = Deadline.now.nanoseconds
                        latencies.add(from: began, to: ended, in: stretch)
                        began = ended
                    }
                    return latencies
                }
            }
            return try await group.reduce(into: Latencies()) { $0.add($1) }
        }
        try Figures.print(all, seconds: seconds)
    }
}

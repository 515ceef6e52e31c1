import Foundation
import Logging
import Synchronization
import WaybillModel
import WaybillQueue

/// The queue as the bench opens it, and the bundles that it puts in.
enum BenchQueue {
    static let key = [UInt8](repeating: 7, count: 32)
    /// A process's bundles are numbered from its start on, so that those of an earlier one stay apart.
    private static let numbers = Atomic(UInt64(Date.now.timeIntervalSince1970 * 1e9))

    private static let slug: TenantSlug = {
        guard let slug = TenantSlug("bench") else { QueueBench.end("no slug") }
        return slug
    }()

    static let logger = Logger(label: "queuebench") { label in
        var handler = StreamLogHandler.standardError(label: label)
        handler.logLevel = .warning
        return handler
    }

    static func open(_ directory: String, key: [UInt8] = key) throws -> DiskQueue {
        try DiskQueue.open(
            options: DiskQueueOptions(directory: directory, masterKey: key), logger: logger,
            onFatal: { error in QueueBench.end("the queue failed: \(error)") })
    }

    /// A bundle of one inline part under a key that no other has.
    static func message(of content: [UInt8], devices: UInt64 = 1000) -> BundleMessage {
        let number = numbers.add(1, ordering: .relaxed).newValue
        // What the digest is of, and whether it is right, is no matter of the queue's.
        let digest = Digest256(words: (number, 1, 2, 3))
        return BundleMessage(
            tenant: TenantID(1), tenantSlug: slug,
            deviceID: DeviceID(high: 1, low: number % devices),
            bundleID: BundleID(high: 2, low: number), epoch: 1, bundleDigest: digest,
            parts: [
                PartContent(digest: digest, byteCount: content.count, location: .inline(content))
            ],
            startedAt: Timestamp(microseconds: 1), receivedAt: Timestamp(microseconds: 2),
            source: "127.0.0.1")
    }

    /// Enqueues `count` bundles from as many senders as keep the log busy.
    static func fill(
        _ queue: DiskQueue, count: Int, bytes: Int, devices: UInt64 = 1000, senders: Int = 256
    ) async throws {
        let content = [UInt8](repeating: 120, count: bytes)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for sender in 0..<senders {
                let share = count / senders + (sender < count % senders ? 1 : 0)
                group.addTask {
                    for _ in 0..<share {
                        _ = try await queue.enqueue(message(of: content, devices: devices))
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}

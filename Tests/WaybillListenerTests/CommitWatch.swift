import PostgresTesting
import Synchronization
import Testing
import WaybillModel
import WaybillPostgres
import WaybillQueue

@testable import WaybillListener

/// A queue that looks into the database, over a connection of its own, when it is told that a bundle is
/// done: its receipt must be committed by then.
final class CommitWatch: ListenerQueue {
    let queue: any ListenerQueue
    private let database: String
    private let connection = Mutex<PostgresConnection?>(nil)
    private let onViolation: @Sendable (String) -> Void

    init(
        _ queue: any ListenerQueue, database: String,
        onViolation: @escaping @Sendable (String) -> Void = { Issue.record("\($0)") }
    ) {
        self.queue = queue
        self.database = database
        self.onViolation = onViolation
    }

    func settle(
        _ lease: Lease, _ results: [Settlement], whenDurable: @escaping @Sendable () -> Void
    ) throws(QueueError) {
        for (delivery, result) in zip(lease.deliveries, results) {
            switch result {
            case .settled: check(delivery, "settled", isNew: true)
            case .quarantined: check(delivery, "quarantined", isNew: false)
            case .lost, .retry: break
            }
        }
        try queue.settle(lease, results, whenDurable: whenDurable)
    }

    /// - Parameter isNew: for a dead letter that is tried again, whether it needs a later receipt.
    private func check(_ delivery: Delivery, _ result: String, isNew: Bool) {
        let message = delivery.message
        let after = isNew ? message.retryOf?.receiptSeq ?? 0 : 0
        do {
            guard try count(message.key, after: after) == 0 else { return }
            onViolation(
                "bundle \(message.bundleID), delivery \(delivery.number), is told to be \(result) "
                    + "and the database holds no receipt of it after \(after)")
        } catch {
            onViolation("the database cannot be asked for receipts: \(error)")
        }
    }

    private func count(_ key: BundleKey, after sequence: Int64) throws -> Int64 {
        try connection.withLock { connection in
            // Tests end connections; a new one is as good as any.
            for _ in 0..<10 {
                if let open = connection, let count = try? ask(open, key, sequence) {
                    return count
                }
                connection = try? TestServer.connect(database)
            }
            return try ask(try TestServer.connect(database), key, sequence)
        }
    }

    private func ask(
        _ connection: PostgresConnection, _ key: BundleKey, _ sequence: Int64
    ) throws -> Int64 {
        try connection.query(
            """
            SELECT count(*) FROM receipts
            WHERE device_id = $1::text::uuid AND bundle_id = $2::text::uuid AND seq > $3
            """,
            [.text("\(key.deviceID)"), .text("\(key.bundleID)"), .int8(sequence)])[0].int8(0)
    }

    // MARK: The rest is the queue's own

    func enqueue(_ message: BundleMessage) async throws(QueueError) -> EnqueueResult {
        try await queue.enqueue(message)
    }
    func find(_ key: BundleKey) -> BundleEntry? { queue.find(key) }
    func forget(_ key: BundleKey) { queue.forget(key) }
    func lease(_ request: LeaseRequest) throws(QueueError) -> Lease? { try queue.lease(request) }
    func extend(_ lease: Lease, by duration: Duration) throws(QueueError) -> Lease {
        try queue.extend(lease, by: duration)
    }
    func wake() { queue.wake() }
    func beginOpening(_ delivery: Delivery) -> OpeningMark { queue.beginOpening(delivery) }
    func endOpening(_ mark: OpeningMark) { queue.endOpening(mark) }
}

@Suite struct CommitWatchTests {
    @Test func reportsASettlementBeforeItsCommit() async throws {
        try await TestServer.withDatabase { database in
            let place = try await Workplace.open(database)
            defer { place.close() }
            let heard = Mutex<[String]>([])
            let watch = CommitWatch(place.queue, database: database) { what in
                heard.withLock { $0.append(what) }
            }
            let message = try place.sealed([line()])
            _ = try await watch.enqueue(message)
            let request = LeaseRequest(
                bundlesMax: 1, bytesMax: 1 << 20, duration: .seconds(60), wait: .zero)
            let lease = try #require(try watch.lease(request))
            try watch.settle(lease, [.settled]) {}
            let violations = heard.withLock { $0 }
            #expect(violations.count == 1)
            let what = "bundle \(message.bundleID), delivery"
            #expect(violations.first?.hasPrefix(what) == true)
        }
    }

    @Test func isSilentWhenTheReceiptIsThere() async throws {
        try await TestServer.withDatabase { database in
            let place = try await Workplace.open(database)
            defer { place.close() }
            #expect(place.context.queue is CommitWatch)
            _ = try await place.queue.enqueue(place.sealed([line()]))
            // A violation is an issue of this test.
            let receipts = try await place.working { try await place.receipts(1) }
            #expect(receipts.count == 1)
        }
    }
}

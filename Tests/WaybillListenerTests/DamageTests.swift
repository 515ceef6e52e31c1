import Foundation
import PostgresTesting
import Synchronization
import Testing
import WaybillModel
import WaybillPostgres
import WaybillQueue
import WaybillStore
import WaybillThreads

@testable import WaybillListener

/// The server's own faults: a copy that was damaged after it was acknowledged, a database that does
/// not know the device, a process that dies at a bad moment.
@Suite(.timeLimit(.minutes(3))) struct DamageTests {
    private static func damage(_ kind: String, _ path: String) throws {
        let file = URL(filePath: path)
        var bytes = try Data(contentsOf: file)
        switch kind {
        case "gone": return try FileManager.default.removeItem(at: file)
        case "cut": bytes.removeLast()
        case "empty": bytes = Data()
        case "grown": bytes.append(0)
        case "head": bytes[2] ^= 1
        case "salt": bytes[60] ^= 1
        default: bytes[bytes.count / 2] ^= 1
        }
        try bytes.write(to: file)
    }

    /// CONTRACT: "`lost`: the server found its copy damaged and says so; send it again."
    @Test(arguments: ["gone", "cut", "empty", "grown", "head", "salt", "middle"], [1, 3])
    func aDamagedCopyIsLostAtOnceAndTakenAgain(kind: String, parts: Int) async throws {
        try await TestServer.withDatabase { database in
            let place = try await Workplace.open(database)
            defer { place.close() }
            let bundle = BundleID.random()
            let bytes = try (1...parts).map {
                try place.part([line(), line()], number: $0, of: parts, bundle: bundle)
            }
            func send() async throws -> EnqueueResult {
                try await place.queue.enqueue(place.message(bytes, bundle: bundle, asFile: true))
            }
            #expect(try await send() == .enqueued)
            let last = place.folder + "/parts/\(bundle).\(parts).part"
            try Self.damage(kind, last)
            _ = try await place.queue.enqueue(place.sealed([line()]))
            let receipts = try await place.working { try await place.receipts(1) }
            // The next one is not held back, and there is no word on the damaged one but "lost".
            #expect(receipts.map { $0["state"]?.text } == ["settled"])
            let key = BundleKey(deviceID: place.device.deviceID, bundleID: bundle)
            #expect(place.queue.find(key)?.state == .lost)
            #expect(try place.number("SELECT count(*) FROM dead_letters") == 0)
            #expect(try place.names(in: "dead-letters").isEmpty)
            // The reaper's thread drops what is left, soon.
            while try !place.names(in: "parts").isEmpty {
                try await Task.sleep(for: .milliseconds(1))
            }
            #expect(try await send() == .enqueued)
            let again = try await place.working { try await place.receipts(2) }
            #expect(again[1]["state"]?.text == "settled")
            #expect(again[1]["bundle_id"]?.text == bundle.description)
            #expect(again[1]["counts"]?["accepted"]?.integer == Int64(2 * parts))
        }
    }

    @Test func whatWasSentBadIsQuarantinedAndKeptAsItWasSent() async throws {
        try await TestServer.withDatabase { database in
            let place = try await Workplace.open(database)
            defer { place.close() }
            let bundle = BundleID.random()
            var bytes = try place.part([line()], bundle: bundle)
            bytes[bytes.count / 2] ^= 1
            _ = try await place.queue.enqueue(
                place.message([bytes], bundle: bundle, asFile: true))
            let receipts = try await place.working { try await place.receipts(1) }
            #expect(receipts[0]["code"]?.text == "cannot_open")
            #expect(try place.names(in: "dead-letters").count == 1)
        }
    }

    @Test func withoutTheirDirectoryNothingIsKnownOfPartsAndNothingIsLost() async throws {
        try await TestServer.withDatabase { database in
            var options = ListenerOptions()
            options.attemptsMax = 1
            let place = try await Workplace.open(database, options: options)
            defer { place.close() }
            _ = try await place.queue.enqueue(place.sealed([line()], asFile: true))
            let (parts, away) = (place.folder + "/parts", place.folder + "/away")
            try FileManager.default.moveItem(atPath: parts, toPath: away)
            let source = try #require(
                try place.queue.lease(
                    LeaseRequest(bundlesMax: 1, bytesMax: 1, duration: .seconds(60), wait: .zero)))
            var batch = SettlingBatch(
                lease: source, context: place.context,
                settler: try #require(place.context.makeSettler()))
            #expect(batch.work() != nil)
            #expect(batch.settlements == [.retry(after: .zero, charged: false)])
            try FileManager.default.moveItem(atPath: away, toPath: parts)
            try place.queue.settle(source, batch.settlements) {}
            let receipts = try await place.working { try await place.receipts(1) }
            #expect(receipts[0]["state"]?.text == "settled")
        }
    }

    /// A database that was restored from before the device came, and then from after it.
    @Test func aDeviceThatTheDatabaseDoesNotKnowWaitsUncharged() async throws {
        try await TestServer.withDatabase { database in
            var options = ListenerOptions()
            options.target = 1
            options.attemptsMax = 1
            options.failingMax = .zero
            options.returnBase = .zero
            let place = try await Workplace.open(database, options: options)
            defer { place.close() }
            let other = try await Workplace.enroll(place.store)
            try place.run(
                """
                CREATE TABLE kept AS SELECT * FROM waybill.device_progress
                    WHERE device_id = '\(place.device.deviceID)';
                DELETE FROM waybill.device_progress WHERE device_id = '\(place.device.deviceID)';
                """)
            // One that opens, and one whose refusal cannot be written either.
            let good = try place.sealed([line()])
            let bad = try place.sealed([line()], secret: [UInt8](repeating: 1, count: 32))
            for message in [good, bad] { _ = try await place.queue.enqueue(message) }
            let receipts = try await place.working {
                for _ in 0..<5 {
                    let bundle = BundleID.random()
                    _ = try await place.queue.enqueue(
                        place.message(
                            [try place.part([line()], bundle: bundle, by: other)], bundle: bundle,
                            by: other.device))
                }
                _ = try await place.receipts(5, of: other.device.deviceID)
                #expect(place.queue.status.depth == 2)
                try place.run("INSERT INTO waybill.device_progress SELECT * FROM kept")
                return try await place.receipts(2)
            }
            #expect(receipts.map { $0["code"]?.text } == [nil, "cannot_open"])
        }
    }

    @Test func whatIsGivenBackAgainAndAgainIsLoggedOnceAMinute() {
        let book = ReturnBook()
        let start = Deadline(nanoseconds: 1_000_000_000)
        #expect(book.note(7, now: start) == .init(count: 1, isWorthALine: true))
        #expect(book.note(7, now: start) == .init(count: 2, isWorthALine: false))
        #expect(book.note(8, now: start) == .init(count: 1, isWorthALine: true))
        let later = start.advanced(by: .seconds(60))
        #expect(book.note(7, now: later) == .init(count: 3, isWorthALine: true))
        book.forget(7)
        #expect(book.note(7, now: later) == .init(count: 1, isWorthALine: true))
    }

    /// ARCHITECTURE: "drop bundles that already have a receipt (settle them without opening files)".
    @Test func aBundleThatComesAgainAfterItsCommitIsNotOpenedAgain() async throws {
        try await TestServer.withDatabase { database in
            let isFirst = Mutex(true)
            let place = try await Workplace.open(database) { queue in
                HookedQueue(queue: queue) { lease throws(QueueError) in
                    // As if the process had died between commit and settling.
                    let fails = isFirst.withLock { first in
                        defer { first = false }
                        return first
                    }
                    guard fails else { return }
                    let back = Settlement.retry(after: .zero, charged: false)
                    try queue.settle(lease, lease.deliveries.map { _ in back }) {}
                    throw .staleLease
                }
            }
            defer { place.close() }
            let message = try place.sealed([line()], asFile: true)
            _ = try await place.queue.enqueue(message)
            _ = try await place.working {
                _ = try await place.receipts(1)
                while place.queue.status.depth > 0 { try await Task.sleep(for: .milliseconds(1)) }
            }
            #expect(place.queue.find(message.key)?.state == .settled)
            #expect(try place.number("SELECT count(*) FROM receipts") == 1)
            let watch = try #require(place.context.queue as? CommitWatch)
            let marks = try #require(watch.queue as? HookedQueue).marks.withLock { $0 }
            // Its archive was looked at and it was opened, once; then it was only settled.
            #expect(marks == 3)
        }
    }
}

/// A queue that something happens to before it is told of a settlement; counts marks.
private final class HookedQueue: ListenerQueue {
    let queue: DiskQueue
    let marks = Mutex(0)
    private let beforeSettling: @Sendable (Lease) throws(QueueError) -> Void

    init(queue: DiskQueue, beforeSettling: @escaping @Sendable (Lease) throws(QueueError) -> Void) {
        self.queue = queue
        self.beforeSettling = beforeSettling
    }

    func enqueue(_ message: BundleMessage) async throws(QueueError) -> EnqueueResult {
        try await queue.enqueue(message)
    }
    func find(_ key: BundleKey) -> BundleEntry? { queue.find(key) }
    func forget(_ key: BundleKey) { queue.forget(key) }
    func lease(_ request: LeaseRequest) throws(QueueError) -> Lease? { try queue.lease(request) }
    func settle(
        _ lease: Lease, _ results: [Settlement], whenDurable: @escaping @Sendable () -> Void
    ) throws(QueueError) {
        try beforeSettling(lease)
        try queue.settle(lease, results, whenDurable: whenDurable)
    }
    func extend(_ lease: Lease, by duration: Duration) throws(QueueError) -> Lease {
        try queue.extend(lease, by: duration)
    }
    func wake() { queue.wake() }
    func beginOpening(_ delivery: Delivery) -> OpeningMark {
        marks.withLock { $0 += 1 }
        return queue.beginOpening(delivery)
    }
    func endOpening(_ mark: OpeningMark) { queue.endOpening(mark) }
}

import Foundation
import PostgresTesting
import Synchronization
import Testing
import WaybillModel
import WaybillQueue
import WaybillStore
import WaybillThreads

@testable import WaybillListener
@testable import WaybillPostgres

/// One bundle's misfortune and everybody else's.
@Suite(.timeLimit(.minutes(3))) struct FaultTests {
    private var quick: ListenerOptions {
        var options = ListenerOptions()
        options.target = 1
        options.attemptsMax = 2
        options.retryBase = .zero
        return options
    }

    /// Has the database refuse the transactions of one bundle.
    private func refuse(_ bundle: BundleID, sqlState: String, in place: Workplace) throws {
        try place.run(
            """
            CREATE FUNCTION waybill.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF NEW.bundle_id = '\(bundle)' THEN
                    RAISE EXCEPTION 'refused' USING ERRCODE = '\(sqlState)';
                END IF;
                RETURN NEW;
            END $$;
            CREATE TRIGGER refuse BEFORE INSERT ON waybill.transactions
                FOR EACH ROW EXECUTE FUNCTION waybill.refuse();
            """)
    }

    @Test func oneBadBundleOfABatchDoesNotSpoilTheOthers() async throws {
        try await TestServer.withDatabase { database in
            let place = try await Workplace.open(database, options: quick)
            defer { place.close() }
            let other = try await Workplace.enroll(place.store)
            let before = try place.sealed([line()])
            let bad = try place.sealed([line(), line()])
            let after = try place.sealed([line()])
            try refuse(bad.bundleID, sqlState: "P0001", in: place)
            for message in [before, bad, after] { _ = try await place.queue.enqueue(message) }
            for _ in 0..<5 {
                let bundle = BundleID.random()
                let bytes = try place.part([line()], bundle: bundle, by: other)
                _ = try await place.queue.enqueue(
                    place.message([bytes], bundle: bundle, by: other.device))
            }
            let (mine, others) = try await place.working {
                (
                    try await place.receipts(3),
                    try await place.receipts(5, of: other.device.deviceID)
                )
            }
            #expect(others.allSatisfy { $0["state"]?.text == "settled" })
            // In the order in which they came, also around the one that failed.
            #expect(
                mine.map { $0["bundle_id"]?.text }
                    == [before, bad, after].map { $0.bundleID.description })
            #expect(mine.map { $0["code"]?.text } == [nil, "processing_failed", nil])
            #expect(
                try place.number(
                    """
                    SELECT (details ->> 'attempt')::bigint FROM audit_events
                    WHERE kind = 'bundle.quarantined'
                    """) == 2)
        }
    }

    @Test func whatWouldBefallAnyBundleIsNoAttempt() async throws {
        try await TestServer.withDatabase { database in
            let place = try await Workplace.open(database, options: quick)
            defer { place.close() }
            let other = try await Workplace.enroll(place.store)
            let stuck = try place.sealed([line()])
            let behind = try place.sealed([line()])
            // A right that is missing, as after a migration that went wrong.
            try refuse(stuck.bundleID, sqlState: "42501", in: place)
            let bundle = BundleID.random()
            let fine = try place.message(
                [try place.part([line()], bundle: bundle, by: other)], bundle: bundle,
                by: other.device)
            for message in [stuck, behind, fine] { _ = try await place.queue.enqueue(message) }
            _ = try await place.working { try await place.receipts(1, of: other.device.deviceID) }
            #expect(place.queue.status.depth == 2)
            place.queue.close()
            let reopened = try DiskQueue.open(
                options: DiskQueueOptions(
                    directory: place.folder + "/log", masterKey: [UInt8](repeating: 7, count: 32)),
                onFatal: { _ in })
            defer { reopened.close() }
            let lease = try #require(
                try reopened.lease(
                    LeaseRequest(
                        bundlesMax: 9, bytesMax: 1 << 20, duration: .seconds(9), wait: .zero)))
            #expect(lease.deliveries.map(\.attempt) == [1, 1])
        }
    }

    /// CONTRACT: "Only errors of the bundle itself count as attempts: a dead database, a full disk, a
    /// shutdown never do."
    @Test(arguments: ["57P01", "53100", "40P01"])
    func aDatabaseThatIsAwayFullOrBusyIsNoAttempt(sqlState: String) async throws {
        try await TestServer.withDatabase { database in
            var options = quick
            options.attemptsMax = 1
            let failures = Counter(failing: sqlState == "40P01" ? 8 : 2)
            let place = try await Workplace.open(
                database, options: options,
                wrapSettler: {
                    FailingSettler(settler: $0, failures: failures, sqlState: sqlState)
                })
            defer { place.close() }
            _ = try await place.queue.enqueue(place.sealed([line()]))
            _ = try await place.queue.enqueue(place.sealed(parts: [[line()], [line()]]))
            let receipts = try await place.working { try await place.receipts(2) }
            #expect(receipts.map { $0["state"]?.text } == ["settled", "settled"])
            #expect(failures.value > 2)
            #expect(
                try place.number(
                    "SELECT max((details ->> 'attempt')::bigint) FROM audit_events") == 1)
        }
    }

    @Test func aSecretThatCannotBeOpenedStopsItsOwnDeviceOnly() async throws {
        try await TestServer.withDatabase { database in
            let place = try await Workplace.open(database, options: quick)
            defer { place.close() }
            let other = try await Workplace.enroll(place.store)
            try place.run(
                """
                UPDATE waybill.device_keys SET secret = '\\x00'
                WHERE device_id = '\(other.device.deviceID)'
                """)
            let bundle = BundleID.random()
            _ = try await place.queue.enqueue(
                place.message(
                    [try place.part([line()], bundle: bundle, by: other)], bundle: bundle,
                    by: other.device))
            _ = try await place.queue.enqueue(place.sealed([line()]))
            let (mine, others) = try await place.working {
                (
                    try await place.receipts(1),
                    try await place.receipts(1, of: other.device.deviceID)
                )
            }
            #expect(mine[0]["state"]?.text == "settled")
            #expect(others[0]["code"]?.text == "processing_failed")
        }
    }

    @Test func aBundleFailsNoLongerThanTheTimeForWhichItMayHoldBackOthers() async throws {
        try await TestServer.withDatabase { database in
            var options = quick
            options.attemptsMax = 1000
            options.failingMax = .zero
            let place = try await Workplace.open(database, options: options)
            defer { place.close() }
            let bad = try place.sealed([line()])
            try refuse(bad.bundleID, sqlState: "P0001", in: place)
            _ = try await place.queue.enqueue(bad)
            _ = try await place.queue.enqueue(place.sealed([line()]))
            let receipts = try await place.working { try await place.receipts(2) }
            #expect(receipts.map { $0["code"]?.text } == ["processing_failed", nil])
        }
    }

    @Test func aBundleThatEndedTheProcessTooOftenIsNotOpenedAgain() async throws {
        try await TestServer.withDatabase { database in
            let place = try await Workplace.open(database, options: quick)
            defer { place.close() }
            // It would open: that it is not tried is what the receipt shows.
            _ = try await place.queue.enqueue(place.sealed([line()]))
            for _ in 0..<2 {
                let lease = try #require(
                    try place.queue.lease(
                        LeaseRequest(
                            bundlesMax: 1, bytesMax: 1, duration: .seconds(60), wait: .zero)))
                try place.queue.settle(lease, [.retry(after: .zero, charged: true)]) {}
            }
            let receipts = try await place.working { try await place.receipts(1) }
            #expect(receipts[0]["code"]?.text == "processing_failed")
            #expect(try place.number("SELECT count(*) FROM dead_letters") == 1)
        }
    }

    @Test func aDeadLetterThatCannotBeWrittenIsNoAttemptAndHoldsBackNobodyElse() async throws {
        try await TestServer.withDatabase { database in
            let place = try await Workplace.open(database, options: quick)
            defer { place.close() }
            let other = try await Workplace.enroll(place.store)
            try FileManager.default.removeItem(atPath: place.folder + "/dead-letters")
            _ = try await place.queue.enqueue(
                place.sealed([line()], secret: [UInt8](repeating: 1, count: 32)))
            let bundle = BundleID.random()
            _ = try await place.queue.enqueue(
                place.message(
                    [try place.part([line()], bundle: bundle, by: other)], bundle: bundle,
                    by: other.device))
            let receipts = try await place.working {
                try await place.receipts(1, of: other.device.deviceID)
            }
            #expect(receipts[0]["state"]?.text == "settled")
            #expect(place.queue.status.depth == 1)
            #expect(try place.number("SELECT count(*) FROM dead_letters") == 0)
        }
    }

    @Test func theLeaseLivesOnWhilePartsAreAuthenticatedAndStreamed() async throws {
        try await TestServer.withDatabase { database in
            var options = quick
            // Every sign of life extends the lease.
            options.leaseDuration = .zero
            let extensions = Counter()
            let place = try await Workplace.open(database, options: options) {
                WatchedQueue(queue: $0, extensions: extensions)
            }
            defer { place.close() }
            _ = try await place.queue.enqueue(place.sealed(parts: [[line()], [line()], [line()]]))
            _ = try await place.working { try await place.receipts(1) }
            // Structure, code and header of each part before, lines of each part after.
            #expect(extensions.value >= 12)
        }
    }

    @Test func aLeaseThatWasLostEndsTheWorkWithoutAnAttempt() async throws {
        try await TestServer.withDatabase { database in
            var options = quick
            options.leaseDuration = .zero
            let extensions = Counter(failing: 1)
            let place = try await Workplace.open(database, options: options) {
                WatchedQueue(queue: $0, extensions: extensions)
            }
            defer { place.close() }
            _ = try await place.queue.enqueue(place.sealed(parts: [[line()], [line()]]))
            let receipts = try await place.working { try await place.receipts(1) }
            #expect(receipts.map { $0["state"]?.text } == ["settled"])
            #expect(
                try place.number(
                    """
                    SELECT (details ->> 'attempt')::bigint FROM audit_events
                    WHERE kind = 'bundle.settled'
                    """) == 1)
        }
    }
}

/// Counts extensions; the first ones may fail.
private final class Counter: Sendable {
    private let state: Mutex<(count: Int, failing: Int)>

    init(failing: Int = 0) { state = Mutex((0, failing)) }

    var value: Int { state.withLock { $0.count } }

    /// True when this one fails.
    func next() -> Bool {
        state.withLock { state in
            state.count += 1
            state.failing -= 1
            return state.failing >= 0
        }
    }
}

/// A queue whose leases last a minute, whatever is asked for.
private struct WatchedQueue: ListenerQueue {
    let queue: DiskQueue
    let extensions: Counter

    func enqueue(_ message: BundleMessage) async throws(QueueError) -> EnqueueResult {
        try await queue.enqueue(message)
    }
    func find(_ key: BundleKey) -> BundleEntry? { queue.find(key) }
    func forget(_ key: BundleKey) { queue.forget(key) }
    func lease(_ request: LeaseRequest) throws(QueueError) -> Lease? {
        var request = request
        request.duration = .seconds(60)
        return try queue.lease(request)
    }
    func settle(
        _ lease: Lease, _ results: [Settlement], whenDurable: @escaping @Sendable () -> Void
    ) throws(QueueError) {
        try queue.settle(lease, results, whenDurable: whenDurable)
    }
    func extend(_ lease: Lease, by duration: Duration) throws(QueueError) -> Lease {
        if extensions.next() { throw .staleLease }
        return try queue.extend(lease, by: .seconds(60))
    }
    func wake() { queue.wake() }
    func beginOpening(_ delivery: Delivery) -> OpeningMark { queue.beginOpening(delivery) }
    func endOpening(_ mark: OpeningMark) { queue.endOpening(mark) }
}

/// A database whose first settlements fail.
private final class FailingSettler: BundleSettler {
    private let settler: Settler
    private let failures: Counter
    private let sqlState: String

    init(settler: Settler, failures: Counter, sqlState: String) {
        self.settler = settler
        self.failures = failures
        self.sqlState = sqlState
    }

    func connect() throws(StoreError) { try settler.connect() }

    func openEpochs(_ devices: Set<DeviceID>) throws(StoreError) -> [DeviceID: [Int]] {
        try settler.openEpochs(devices)
    }

    func secrets(_ wanted: [DeviceEpoch]) throws(StoreError) -> [DeviceEpoch: DeviceSecret] {
        try settler.secrets(wanted)
    }

    func receipted(_ bundles: [BundleKey]) throws(StoreError) -> Set<BundleKey> {
        try settler.receipted(bundles)
    }

    func settle(
        _ bundles: [BundleToSettle], rows: (inout SettlementTransaction) throws -> Void
    ) throws -> [SettledBundle] {
        guard !failures.next() else {
            throw StoreError(
                PostgresError.server(
                    ServerFault(sqlState: sqlState, message: "", constraint: nil, detail: "")))
        }
        return try settler.settle(bundles, rows: rows)
    }
}

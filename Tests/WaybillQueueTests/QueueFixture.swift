import DiskSimulation
import Foundation
import Logging
import SegmentedLog
import Testing
import WaybillModel
import WaybillThreads

@testable import WaybillQueue

/// A directory of its own for one test, removed with the object.
final class QueueFixture: Sendable {
    let root: URL

    init() throws {
        root = FileManager.default.temporaryDirectory
            .appending(path: "waybill-queue-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: root, withIntermediateDirectories: true)
    }

    deinit {
        // What stays behind lies in the system's temporary directory.
        try? FileManager.default.removeItem(at: root)
    }

    func options(_ name: String = "log") -> DiskQueueOptions {
        var options = DiskQueueOptions(
            directory: root.appending(path: name).path,
            masterKey: [UInt8](repeating: 7, count: 32))
        options.segmentBytes = 32 << 10
        return options
    }

    func open(
        _ options: DiskQueueOptions, fileSystem: any FileSystem = PosixFileSystem(),
        onFatal: @escaping @Sendable (QueueError) -> Void = { _ in }
    ) throws -> DiskQueue {
        let checker = OrderChecker(fileSystem, onViolation: { Issue.record("\($0)") })
        let queue = try DiskQueue.open(
            options: options, fileSystem: checker,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, onFatal: onFatal)
        checkers.withLock { $0[ObjectIdentifier(queue)] = checker }
        return queue
    }

    /// What a killed process leaves: a copy of the directory as it is now.
    func crash(_ name: String, as copy: String) throws {
        try FileManager.default.copyItem(
            at: root.appending(path: name), to: root.appending(path: copy))
    }

    static func device(_ number: UInt64) -> DeviceID { DeviceID(high: 1, low: number) }

    /// A bundle of one inline part that starts with its number.
    static func message(
        device: UInt64 = 1, bundle: UInt64, bytes: Int = 16, tenant: Int32 = 1
    ) throws -> BundleMessage {
        let content = [UInt8](repeating: UInt8(truncatingIfNeeded: bundle), count: bytes)
        let digest = Digest256.of(content)
        return BundleMessage(
            tenant: TenantID(tenant), tenantSlug: try #require(TenantSlug("acme")),
            deviceID: Self.device(device), bundleID: BundleID(high: 2, low: bundle), epoch: 1,
            bundleDigest: Digest256.ofBundle(parts: [digest]),
            parts: [PartContent(digest: digest, byteCount: bytes, location: .inline(content))],
            startedAt: Timestamp(microseconds: 1), receivedAt: Timestamp(microseconds: 2),
            source: "192.0.2.1")
    }

    static func request(
        bundles: Int = 100, bytes: Int = 1 << 20, wait: Duration = .zero
    ) -> LeaseRequest {
        LeaseRequest(
            bundlesMax: bundles, bytesMax: bytes, duration: .seconds(60), wait: wait)
    }
}

extension Lease {
    var bundles: [UInt64] { deliveries.map { $0.message.bundleID.low } }
}

/// What watches the files of each queue that a fixture opened.
private let checkers = Monitor<[ObjectIdentifier: OrderChecker]>([:])

extension DiskQueue {
    private var checker: OrderChecker? { checkers.withLock { $0[ObjectIdentifier(self)] } }

    /// In place of the queue's own, for all tests: what was enqueued must be durable by then.
    func enqueue(_ message: BundleMessage) async throws(QueueError) -> EnqueueResult {
        let queue: any BundleQueue = self
        let result = try await queue.enqueue(message)
        if result == .enqueued { checker?.willTell(type: QueueRecord.bundleType) }
        return result
    }

    /// Settles all of a lease and waits until that is durable.
    func settleAndWait(_ lease: Lease, _ settlement: Settlement = .settled) throws {
        let durable = Monitor(false)
        let results = [Settlement](repeating: settlement, count: lease.deliveries.count)
        let (checker, isWritten) = (checker, settlement.isWritten)
        try settle(lease, results) {
            if isWritten { checker?.willTell(type: QueueRecord.settlementType) }
            durable.update { $0 = true }
        }
        try #require(durable.wait(timeout: .seconds(10)) { $0 ? true : nil } == true)
    }
}

extension Settlement {
    /// Whether it leaves a record.
    fileprivate var isWritten: Bool {
        if case .retry(_, let isCharged) = self { isCharged } else { true }
    }
}

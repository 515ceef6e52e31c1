import Foundation
import SegmentedLog
import Testing
import WaybillModel
import WaybillThreads

@testable import WaybillQueue

@Suite struct DiskQueueTests {
    let fixture: QueueFixture

    init() throws {
        fixture = try QueueFixture()
    }

    @Test func deliversWhatWasEnqueuedWithItsBytes() async throws {
        let queue = try fixture.open(fixture.options())
        defer { queue.close() }
        let message = try QueueFixture.message(bundle: 5)
        #expect(try await queue.enqueue(message) == .enqueued)
        #expect(queue.find(message.key)?.state == .queued)
        let lease = try #require(try queue.lease(QueueFixture.request()))
        #expect(lease.deliveries.map(\.message) == [message])
        #expect(lease.deliveries.map(\.attempt) == [1])
        #expect(queue.find(message.key)?.state == .processing)
        #expect(queue.status.leased == 1)
        try queue.settleAndWait(lease)
        let entry = try #require(queue.find(message.key))
        #expect(entry.state == .settled && entry.partByteCounts == [16])
        #expect(queue.status.depth == 0 && queue.status.leased == 0)
        #expect(try queue.lease(QueueFixture.request()) == nil)
    }

    @Test func takesASettledBundleAgainOnceItIsForgottenButNeverAnUnsettledOne() async throws {
        let queue = try fixture.open(fixture.options())
        defer { queue.close() }
        let message = try QueueFixture.message(bundle: 5)
        #expect(try await queue.enqueue(message) == .enqueued)
        queue.forget(message.key)
        #expect(queue.find(message.key)?.state == .queued)
        let lease = try #require(try queue.lease(QueueFixture.request()))
        try queue.settleAndWait(lease)
        queue.forget(message.key)
        #expect(queue.find(message.key) == nil)
        #expect(try await queue.enqueue(message) == .enqueued)
    }

    @Test func refusesASecondBundleOfTheSameKeyAndTellsWhatItHas() async throws {
        let queue = try fixture.open(fixture.options())
        defer { queue.close() }
        let message = try QueueFixture.message(bundle: 1)
        let results = try await withThrowingTaskGroup(of: EnqueueResult.self) { group in
            for _ in 0..<32 { group.addTask { try await queue.enqueue(message) } }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(results.filter { $0 == .enqueued }.count == 1)
        #expect(queue.status.depth == 1)
        let lease = try #require(try queue.lease(QueueFixture.request()))
        try queue.settleAndWait(lease, .quarantined)
        let again = try await queue.enqueue(message)
        guard case .existing(let entry) = again else {
            Issue.record("a settled bundle was enqueued again")
            return
        }
        #expect(entry.state == .quarantined && entry.bundleDigest == message.bundleDigest)
    }

    @Test func acknowledges256ConcurrentSendersAndRecoversAll() async throws {
        let queue = try fixture.open(fixture.options())
        try await withThrowingTaskGroup(of: EnqueueResult.self) { group in
            for sender in 0..<256 as Range<UInt64> {
                group.addTask {
                    try await queue.enqueue(
                        QueueFixture.message(device: sender, bundle: sender, bytes: 500))
                }
            }
            for try await result in group { #expect(result == .enqueued) }
        }
        try fixture.crash("log", as: "copy")
        queue.close()
        let reopened = try fixture.open(fixture.options("copy"))
        defer { reopened.close() }
        #expect(reopened.status.depth == 256 && reopened.recoveryFaults.isEmpty)
        var seen: Set<UInt64> = []
        while let lease = try reopened.lease(QueueFixture.request()) {
            seen.formUnion(lease.bundles)
            try reopened.settleAndWait(lease)
        }
        #expect(seen == Set(0..<256))
    }

    @Test func aRestartDeliversUnsettledBundlesAgainAndRemembersChargedAttempts() async throws {
        let queue = try fixture.open(fixture.options())
        for bundle in 1...3 as ClosedRange<UInt64> {
            _ = try await queue.enqueue(QueueFixture.message(bundle: bundle))
        }
        let lease = try #require(try queue.lease(QueueFixture.request()))
        let durable = Monitor(false)
        try queue.settle(
            lease,
            [.settled, .retry(after: .zero, charged: true), .retry(after: .zero, charged: false)]
        ) { durable.update { $0 = true } }
        try #require(durable.wait(timeout: .seconds(10)) { $0 ? true : nil } == true)
        let held = try #require(try queue.lease(QueueFixture.request()))
        #expect(held.deliveries.map(\.attempt) == [2, 1])
        try fixture.crash("log", as: "copy")
        queue.close()
        let reopened = try fixture.open(fixture.options("copy"))
        defer { reopened.close() }
        let again = try #require(try reopened.lease(QueueFixture.request()))
        #expect(again.bundles == [2, 3])
        #expect(again.deliveries.map(\.attempt) == [2, 1])
        #expect(reopened.find(lease.deliveries[0].message.key)?.state == .settled)
    }

    @Test func deletesSegmentsOnceNothingInThemIsNeeded() async throws {
        let queue = try fixture.open(fixture.options())
        for bundle in 0..<200 as Range<UInt64> {
            _ = try await queue.enqueue(QueueFixture.message(bundle: bundle, bytes: 1000))
        }
        let full = queue.status
        #expect(full.segments > 5 && full.logBytes > 200_000 && full.bytes == 200_000)
        let first = try #require(try queue.lease(QueueFixture.request(bundles: 1)))
        try queue.settleAndWait(first)
        while let lease = try queue.lease(QueueFixture.request()) { try queue.settleAndWait(lease) }
        // Settled by the same thread that deletes, so this one comes after the deletions.
        _ = try await queue.enqueue(QueueFixture.message(bundle: 1000))
        _ = try await queue.enqueue(QueueFixture.message(bundle: 1001))
        #expect(queue.status.segments <= 2)
        #expect(queue.backlog == (bundles: 2, bytes: 32) && queue.status.bytes == 32)
        queue.close()
        let reopened = try fixture.open(fixture.options())
        defer { reopened.close() }
        #expect(reopened.recoveryFaults.isEmpty)
        #expect(reopened.status.bytes == 32)
        #expect(try reopened.lease(QueueFixture.request())?.bundles == [1000, 1001])
    }

    @Test func aFullDiskRefusesBundlesAndGoesOnSettling() async throws {
        let queue = try fixture.open(fixture.options())
        _ = try await queue.enqueue(QueueFixture.message(bundle: 1))
        queue.close()
        var options = fixture.options()
        options.freeBytesFloor = .max
        let full = try fixture.open(options)
        defer { full.close() }
        let message = try QueueFixture.message(bundle: 2)
        await #expect(throws: QueueError.diskFull) { try await full.enqueue(message) }
        #expect(full.find(message.key) == nil)
        try full.settleAndWait(#require(try full.lease(QueueFixture.request())))
        #expect(full.status.isHealthy && full.status.depth == 0)
    }

    @Test func aFailedSyncStopsAllAcknowledgement() async throws {
        let fatal = Monitor<[QueueError]>([])
        let fileSystem = FailingSyncFileSystem()
        let queue = try fixture.open(fixture.options(), fileSystem: fileSystem) { error in
            fatal.update { $0.append(error) }
        }
        defer { queue.close() }
        _ = try await queue.enqueue(QueueFixture.message(bundle: 1))
        let lease = try #require(try queue.lease(QueueFixture.request()))
        fileSystem.isFailing.update { $0 = true }
        await #expect(throws: QueueError.unhealthy) {
            try await queue.enqueue(QueueFixture.message(bundle: 2))
        }
        #expect(fatal.wait(timeout: .seconds(10)) { $0.isEmpty ? nil : $0 } == [.unhealthy])
        #expect(throws: QueueError.unhealthy) { try queue.settle(lease, [.settled]) {} }
        #expect(throws: QueueError.unhealthy) {
            try queue.lease(QueueFixture.request(wait: .seconds(60)))
        }
        #expect(!queue.status.isHealthy)
    }

    @Test func wakesAListenerThatWaits() async throws {
        let queue = try fixture.open(fixture.options())
        defer { queue.close() }
        let leased = Monitor<[UInt64]?>(nil)
        let listener = try NamedThread(name: "listener") {
            // A failure shows as no lease.
            let lease = try? queue.lease(QueueFixture.request(wait: .seconds(60)))
            leased.update { $0 = lease?.bundles ?? [] }
        }
        _ = try await queue.enqueue(QueueFixture.message(bundle: 7))
        #expect(leased.wait(timeout: .seconds(20)) { $0 } == [7])
        listener.join()
    }

    @Test func aCancelledRequestAndAClosedQueueEndTheWait() throws {
        let queue = try fixture.open(fixture.options())
        let isCancelled = Monitor(false)
        let ended = Monitor(0)
        let cancelled = try NamedThread(name: "cancelled") {
            var request = QueueFixture.request(wait: .seconds(60))
            request.isCancelled = { isCancelled.withLock { $0 } }
            // A failure counts as the end of the wait, too.
            if (try? queue.lease(request)) == nil { ended.update { $0 += 1 } }
        }
        isCancelled.update { $0 = true }
        queue.wake()
        #expect(ended.wait(timeout: .seconds(20)) { $0 == 1 ? true : nil } == true)
        let waiting = try NamedThread(name: "waiting") {
            // As above.
            if (try? queue.lease(QueueFixture.request(wait: .seconds(60)))) == nil {
                ended.update { $0 += 1 }
            }
        }
        queue.close()
        #expect(ended.wait(timeout: .seconds(20)) { $0 == 2 ? true : nil } == true)
        cancelled.join()
        waiting.join()
    }

    @Test func aBundleWhoseRecordWasDamagedIsLostAndMayBeSentAgain() async throws {
        let queue = try fixture.open(fixture.options())
        defer { queue.close() }
        let message = try QueueFixture.message(bundle: 1)
        _ = try await queue.enqueue(message)
        let path = fixture.options().directory + "/0000000000000001.seg"
        let file = try FileHandle(forUpdating: URL(filePath: path))
        let position = try #require(
            queue.shared.withLock { $0.state.bundles.values.first?.position })
        try file.seek(toOffset: UInt64(position.offset) + 40)
        try file.write(contentsOf: Data([1, 2, 3, 4]))
        try file.close()
        #expect(try queue.lease(QueueFixture.request()) == nil)
        #expect(queue.find(message.key)?.state == .lost)
        #expect(try await queue.enqueue(message) == .enqueued)
        #expect(try queue.lease(QueueFixture.request())?.bundles == [1])
    }

    @Test func aBundleThatAListenerLostIsLostAfterARestartToo() async throws {
        let queue = try fixture.open(fixture.options())
        let message = try QueueFixture.message(bundle: 1)
        _ = try await queue.enqueue(message)
        let lease = try #require(try queue.lease(QueueFixture.request()))
        #expect(lease.deliveries.map(\.isRedelivered) == [false])
        try queue.settleAndWait(lease, .lost)
        #expect(queue.find(message.key)?.state == .lost && queue.status.depth == 0)
        queue.close()
        let reopened = try fixture.open(fixture.options())
        defer { reopened.close() }
        #expect(reopened.find(message.key)?.state == .lost)
        #expect(try await reopened.enqueue(message) == .enqueued)
        let again = try #require(try reopened.lease(QueueFixture.request()))
        #expect(again.deliveries.map(\.isRedelivered) == [false])
        try reopened.settleAndWait(again, .retry(after: .zero, charged: false))
        #expect(
            try reopened.lease(QueueFixture.request())?.deliveries.map(\.isRedelivered) == [true])
    }

    @Test func namesTheFilesOfUnsettledBundles() async throws {
        let queue = try fixture.open(fixture.options())
        var message = try QueueFixture.message(bundle: 1)
        message.parts = ["a", "b"].map { name in
            PartContent(digest: .zero, byteCount: 10, location: .file(name: name))
        }
        _ = try await queue.enqueue(message)
        _ = try await queue.enqueue(QueueFixture.message(bundle: 2))
        queue.close()
        let reopened = try fixture.open(fixture.options())
        defer { reopened.close() }
        #expect(try reopened.liveFileNames() == ["a", "b"])
        let lease = try #require(try reopened.lease(QueueFixture.request()))
        #expect(lease.deliveries.map(\.message) == [message])
        try reopened.settleAndWait(lease)
        #expect(try reopened.liveFileNames().isEmpty)
    }

    @Test func namesTheWrongKeyAndRefusesASecondOpener() throws {
        let queue = try fixture.open(fixture.options())
        #expect(throws: QueueError.locked) { try fixture.open(fixture.options()) }
        queue.close()
        var options = fixture.options()
        options.masterKey = [UInt8](repeating: 8, count: 32)
        let key = try #require(MasterKey([UInt8](repeating: 7, count: 32)))
        #expect(throws: QueueError.wrongKey(keyID: key.keyID)) { try fixture.open(options) }
    }
}

/// The operating system's files; syncs fail on demand.
final class FailingSyncFileSystem: FileSystem {
    let isFailing = Monitor(false)
    private let real = PosixFileSystem()

    func makeDirectory(_ path: String) throws(LogError) { try real.makeDirectory(path) }

    func open(_ path: String, _ mode: FileMode) throws(LogError) -> any OpenFile {
        FailingSyncFile(file: try real.open(path, mode), isFailing: isFailing)
    }

    func syncDirectory(_ path: String) throws(LogError) { try real.syncDirectory(path) }
    func rename(_ path: String, to newPath: String) throws(LogError) {
        try real.rename(path, to: newPath)
    }
    func unlink(_ path: String) throws(LogError) { try real.unlink(path) }
    func list(_ path: String) throws(LogError) -> [String] { try real.list(path) }
    func freeBytes(_ path: String) throws(LogError) -> Int { try real.freeBytes(path) }
    func lock(_ path: String) throws(LogError) -> any OpenFile { try real.lock(path) }
}

private final class FailingSyncFile: OpenFile {
    private let file: any OpenFile
    private let isFailing: Monitor<Bool>

    init(file: any OpenFile, isFailing: Monitor<Bool>) {
        self.file = file
        self.isFailing = isFailing
    }

    func write(_ bytes: ArraySlice<UInt8>, at offset: Int) throws(LogError) -> Int {
        try file.write(bytes, at: offset)
    }
    func read(at offset: Int, count: Int) throws(LogError) -> [UInt8] {
        try file.read(at: offset, count: count)
    }
    func synchronize(overwriting: Bool) throws(LogError) {
        guard !isFailing.withLock({ $0 }) else { throw .io(errno: 5, operation: "fdatasync") }
        try file.synchronize(overwriting: overwriting)
    }
    func allocate(_ byteCount: Int) throws(LogError) { try file.allocate(byteCount) }
    func truncate(_ byteCount: Int) throws(LogError) { try file.truncate(byteCount) }
    func byteCount() throws(LogError) -> Int { try file.byteCount() }
}

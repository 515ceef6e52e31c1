import DiskSimulation
import Foundation
import Logging
import SegmentedLog
import Testing
import WaybillModel
import WaybillThreads

@testable import WaybillQueue

/// Segments of which little is still needed.
@Suite struct CompactionTests {
    let fixture: QueueFixture

    init() throws {
        fixture = try QueueFixture()
    }

    private static let waiting: [UInt64] = [10, 40, 41, 75, 110, 149]

    /// 150 bundles of as many devices in some segments; all are settled but ``waiting``, which are held or
    /// come again in an hour.
    ///
    /// - Returns: the lease of those that are held.
    private func fill(_ queue: DiskQueue, holding: Bool) async throws -> [Lease] {
        for bundle in UInt64(1)...150 {
            _ = try await queue.enqueue(
                QueueFixture.message(device: bundle, bundle: bundle, bytes: 1000))
        }
        var held: [Lease] = []
        while let lease = try queue.lease(
            LeaseRequest(bundlesMax: 1, bytesMax: 1 << 20, duration: .seconds(3600), wait: .zero))
        {
            let isWaiting = lease.bundles.contains(where: Self.waiting.contains)
            if isWaiting, holding {
                held.append(lease)
            } else if isWaiting {
                try queue.settle(lease, [.retry(after: .seconds(3600), charged: true)]) {}
            } else {
                try queue.settleAndWait(lease)
            }
        }
        return held
    }

    /// Until there is nothing left to do: what one segment is rid of may be what pinned another.
    private func compactAll(_ queue: DiskQueue) async throws -> Int {
        var (count, idle) = (0, 0)
        while idle < 50 {
            let done = queue.compact(isAtRest: false)
            count += done
            idle = done > 0 ? 0 : idle + 1
            try await Task.sleep(for: .milliseconds(1))
        }
        return count
    }

    private func closedBytes(_ queue: DiskQueue, _ name: String = "log") throws -> (
        segments: Int, bytes: Int
    ) {
        let directory = fixture.options(name).directory
        let files = try FileManager.default.contentsOfDirectory(atPath: directory)
            .filter { $0.hasSuffix(".seg") }.sorted().dropLast()
        let sizes = try files.map { name in
            try FileManager.default.attributesOfItem(atPath: directory + "/" + name)[.size] as? Int
                ?? 0
        }
        return (files.count, sizes.reduce(0, +))
    }

    @Test(arguments: [false, true])
    func case36BundlesThatWaitKeepTheirOwnBytesOnly(_ isHeld: Bool) async throws {
        let queue = try fixture.open(fixture.options())
        let held = try await fill(queue, holding: isHeld)
        #expect(queue.backlog.bundles == Self.waiting.count)
        let before = try closedBytes(queue)
        #expect(before.bytes > 120_000)
        #expect(try await compactAll(queue) > 0)
        let after = try closedBytes(queue)
        // A header of 8 KiB for each that is left, the bundles, their names, and a few settlements.
        #expect(after.bytes < after.segments * 8192 + Self.waiting.count * 1450 + 4000)
        #expect(after.segments <= Self.waiting.count)
        // Who holds one settles it as if nothing had happened.
        for lease in held.dropFirst() { try queue.settleAndWait(lease) }
        queue.close()
        let again = try fixture.open(fixture.options())
        defer { again.close() }
        #expect(again.recoveryFaults.isEmpty)
        var seen: [UInt64] = []
        while let lease = try again.lease(QueueFixture.request()) {
            for delivery in lease.deliveries {
                #expect(isHeld || delivery.attempt == 2)
                let part = try #require(delivery.message.parts.first)
                let bundle = delivery.message.bundleID.low
                let content = [UInt8](repeating: UInt8(truncatingIfNeeded: bundle), count: 1000)
                #expect(part.digest == .of(content))
                seen.append(bundle)
            }
            try again.settleAndWait(lease)
        }
        let first = held.first?.bundles ?? []
        #expect(seen.sorted() == (isHeld ? first : Self.waiting))
        try await again.waitUntilSegments(1)
    }

    @Test func findsARecordThatMovedBetweenTheGrantAndTheReading() async throws {
        let queue = try fixture.open(fixture.options())
        defer { queue.close() }
        let held = try await fill(queue, holding: true)
        let grants = held.flatMap { lease in
            lease.deliveries.compactMap { delivery in
                queue.shared.withLock {
                    $0.state.position(of: delivery.sequence, number: delivery.number)
                }
            }
        }
        #expect(try await compactAll(queue) > 0)
        let moved = held.flatMap(\.deliveries).compactMap { delivery in
            queue.shared.withLock {
                $0.state.position(of: delivery.sequence, number: delivery.number)
            }
        }
        #expect(grants.count == moved.count && grants != moved)
        for (lease, (old, new)) in zip(held, zip(grants, moved)) {
            let record = try queue.log.read(new)
            #expect(record.sequence == lease.deliveries[0].sequence)
            let stale = try? queue.log.read(old)
            #expect(old == new || stale?.sequence != record.sequence)
        }
    }

    @Test func aSegmentThatChangesIsLeftInPeace() throws {
        let disk = SimulatedDisk(capacity: 4 << 20)
        let (queue, held) = try fill(disk)
        defer { queue.close() }
        #expect(queue.compact() == 0)
        try queue.settle(try #require(held.first), [.settled]) {}
        queue.work()
        let sparse = queue.shared.withLock { $0.state.shelf.sparse }
        #expect(sparse.count > 2)
        #expect(queue.compact() == sparse.count - 1)
        #expect(queue.compact() == 1)
        #expect(queue.compact() == 0)
    }

    @Test func aDamagedSegmentStaysAsItIs() async throws {
        let options = fixture.options()
        let queue = try fixture.open(options)
        defer { queue.close() }
        _ = try await fill(queue, holding: true)
        let names = try FileManager.default.contentsOfDirectory(atPath: options.directory)
            .filter { $0.hasSuffix(".seg") }.sorted()
        let path = options.directory + "/" + (try #require(names.first))
        var bytes = try Data(contentsOf: URL(filePath: path))
        bytes[bytes.count - 100] ^= 1
        let file = try FileHandle(forWritingTo: URL(filePath: path))
        try file.write(contentsOf: bytes)
        try file.close()
        _ = try await compactAll(queue)
        #expect(try Data(contentsOf: URL(filePath: path)) == bytes)
        #expect(queue.lostBundles.isEmpty)
    }

    /// An index is not synced: a power cut may take it before the next opening.
    @Test func case08ADamagedRecordOfARewrittenSegmentIsNamedWithoutItsIndex() async throws {
        let options = fixture.options()
        let queue = try fixture.open(options)
        let held = try await fill(queue, holding: true)
        #expect(try await compactAll(queue) > 0)
        let lease = try #require(held.first)
        let bundle = try #require(lease.bundles.first)
        let delivery = try #require(lease.deliveries.first)
        let position = try #require(
            queue.shared.withLock {
                $0.state.position(of: delivery.sequence, number: delivery.number)
            })
        queue.close()
        let names = try FileManager.default.contentsOfDirectory(atPath: options.directory)
        for name in names where name.hasSuffix(".idx") {
            try FileManager.default.removeItem(atPath: options.directory + "/" + name)
        }
        let digits = String(position.segment, radix: 16)
        let name = String(repeating: "0", count: 16 - digits.count) + digits
        let handle = try FileHandle(
            forUpdating: URL(filePath: options.directory + "/\(name).seg"))
        try handle.seek(toOffset: UInt64(position.offset) + 60)
        let byte = try #require(try handle.read(upToCount: 1)?.first)
        try handle.seek(toOffset: UInt64(position.offset) + 60)
        try handle.write(contentsOf: [byte ^ 4])
        try handle.close()
        let again = try fixture.open(options)
        defer { again.close() }
        #expect(again.lostBundles.map(\.key.bundleID.low) == [bundle])
        #expect(again.find(delivery.message.key)?.state == .lost)
    }

    @Test func aSegmentThatIsPutBackAsItWasIsRefusedAndNamed() async throws {
        let options = fixture.options()
        let queue = try fixture.open(options)
        _ = try await fill(queue, holding: true)
        try fixture.crash("log", as: "old")
        #expect(try await compactAll(queue) > 0)
        queue.close()
        // A further life, so that there is a manifest that knows.
        try fixture.open(options).close()
        let names = try FileManager.default.contentsOfDirectory(atPath: options.directory)
            .filter { $0.hasSuffix(".seg") }.sorted()
        let path = options.directory + "/" + (try #require(names.first))
        let old = fixture.root.appending(path: "old/" + (try #require(names.first)))
        try Data(contentsOf: old).write(to: URL(filePath: path))
        let again = try fixture.open(options)
        defer { again.close() }
        #expect(again.recoveryFaults.contains { $0.contains("outdated") })
        #expect(!again.lostBundles.isEmpty)
        #expect(again.lostBundles.allSatisfy { Self.waiting.contains($0.key.bundleID.low) })
        var seen = again.lostBundles.map(\.key.bundleID.low)
        while let lease = try again.lease(QueueFixture.request()) {
            seen += lease.bundles
            try again.settleAndWait(lease)
        }
        #expect(seen.sorted() == Self.waiting)
    }

    /// The power is cut at each call of the disk in turn.
    @Test func case06AtEveryStepOfACompaction() throws {
        var step = 0
        var hasEnded = false
        while !hasEnded {
            step += 1
            hasEnded = try compactWithPowerCut(after: step)
        }
        #expect(step > 20)
    }

    private func open(_ disk: SimulatedDisk) throws -> DiskQueue {
        let now = Deadline.now
        var options = DiskQueueOptions(
            directory: "/queue", masterKey: [UInt8](repeating: 7, count: 32))
        options.segmentBytes = 16 << 10
        options.reserveBytes = 4 << 10
        return try DiskQueue.open(
            options: options, fileSystem: disk,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            hasThreads: false, clock: { now }, wallClock: { Timestamp(microseconds: 1) },
            onFatal: { _ in })
    }

    /// 24 bundles in some segments; all are settled but some in each that are held.
    private func fill(_ disk: SimulatedDisk) throws -> (queue: DiskQueue, held: [Lease]) {
        let queue = try open(disk)
        for bundle in UInt64(1)...24 {
            queue.enqueue(
                try QueueFixture.message(device: bundle, bundle: bundle, bytes: 1000)
            ) { _ in }
            queue.work()
        }
        var held: [Lease] = []
        while let lease = try queue.lease(QueueFixture.request(bundles: 1)) {
            if lease.bundles.allSatisfy({ $0 % 5 == 0 || $0 % 6 == 0 }) {
                held.append(lease)
            } else {
                try queue.settle(lease, [.settled]) {}
                queue.work()
            }
        }
        return (queue, held)
    }

    /// False if the power was cut before all was over.
    private func compactWithPowerCut(after step: Int) throws -> Bool {
        let disk = SimulatedDisk(capacity: 4 << 20)
        var chance = SeededChance(seed: UInt64(step))
        let (queue, held) = try fill(disk)
        var plan = SimulatedDisk.Plan()
        plan.powerCutAt = disk.counts.calls + step
        disk.setPlan(plan)
        for _ in 0..<3 {
            queue.compact(isAtRest: false)
            queue.work()
        }
        let isOver = !disk.isOut
        plan.powerCutAt = nil
        disk.setPlan(plan)
        disk.cutPower(&chance)
        let again = try open(disk)
        #expect(again.recoveryFaults.isEmpty)
        var seen: [UInt64] = []
        while let lease = try again.lease(QueueFixture.request()) {
            seen += lease.bundles
            try again.settle(lease, lease.deliveries.map { _ in .settled }) {}
            again.work()
        }
        #expect(seen.sorted() == held.flatMap(\.bundles), "cut at call \(step)")
        again.close()
        return isOver
    }
}

extension DiskQueue {
    /// Waits until the log has no more segments than that.
    func waitUntilSegments(_ count: Int) async throws {
        for _ in 0..<10_000 {
            if status.segments <= count { return }
            try await Task.sleep(for: .milliseconds(1))
        }
        Issue.record("\(status.segments) segments are left")
    }
}

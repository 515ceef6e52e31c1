import Foundation
import SegmentedLog
import Testing
import WaybillModel
import WaybillThreads

@testable import WaybillQueue

/// Bundles that lie in closed segments only: 32 KiB of them at a time.
@Suite struct SegmentIndexTests {
    let fixture: QueueFixture

    init() throws {
        fixture = try QueueFixture()
    }

    /// A queue with many small segments; all but the last two or so are indexed on return.
    private func fill(
        _ name: String = "log", devices: UInt64 = 3, bundles: ClosedRange<UInt64> = 1...150
    ) async throws -> DiskQueue {
        let queue = try fixture.open(fixture.options(name))
        for bundle in bundles {
            _ = try await queue.enqueue(
                QueueFixture.message(device: bundle % devices, bundle: bundle, bytes: 1000))
        }
        try await waitUntilIndexed(queue)
        return queue
    }

    private func waitUntilIndexed(_ queue: DiskQueue) async throws {
        for _ in 0..<20_000 {
            let isDone = queue.shared.withLock { shared in
                shared.state.shelf.nextToIndex == nil && shared.state.shelf.hasIndexes
            }
            if isDone { return }
            try await Task.sleep(for: .milliseconds(1))
        }
        Issue.record("closed segments got no index")
    }

    @Test func looksForAHashWhereItStands() {
        for count in [1, 1000, 60_000, 1 << 24] {
            for place in stride(from: 0, to: count, by: count / 100 + 1) {
                let hash = UInt32((UInt64(place) << 32) / UInt64(count))
                #expect(abs(SegmentIndex.guessedPlace(of: hash, among: count) - place) <= 1)
            }
        }
    }

    private func drain(_ queue: DiskQueue) throws -> [DeviceID: [UInt64]] {
        var seen: [DeviceID: [UInt64]] = [:]
        while let lease = try queue.lease(QueueFixture.request(bundles: 7)) {
            for delivery in lease.deliveries {
                #expect(
                    delivery.message.parts.map(\.digest)
                        == [
                            .of(
                                [UInt8](
                                    repeating: UInt8(
                                        truncatingIfNeeded: delivery.message.bundleID.low),
                                    count: 1000))
                        ])
                seen[delivery.message.deviceID, default: []].append(
                    delivery.message.bundleID.low)
            }
            try queue.settleAndWait(lease)
        }
        return seen
    }

    private func indexFiles(_ name: String = "log") throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: fixture.options(name).directory)
            .filter { $0.hasSuffix(".idx") }.sorted()
    }

    private static func expected(_ bundles: ClosedRange<UInt64>, devices: UInt64)
        -> [DeviceID: [UInt64]]
    {
        Dictionary(grouping: bundles) { QueueFixture.device($0 % devices) }
    }

    @Test func keepsInMemoryOnlyWhatIsNotInAnIndex() async throws {
        let queue = try await fill()
        defer { queue.close() }
        let resident = queue.shared.withLock { $0.state.bundles.count }
        #expect(resident < 40 && queue.status.depth == 150)
        #expect(queue.status.bytes == 150_000)
        #expect(queue.status.oldestReceivedAt == Timestamp(microseconds: 2))
        #expect(try drain(queue) == Self.expected(1...150, devices: 3))
        #expect(queue.status.depth == 0 && queue.status.bytes == 0)
        #expect(queue.shared.withLock { $0.state.bundles.isEmpty && $0.state.devices.isEmpty })
    }

    @Test func findsAndTracesBundlesThatLieOnDiskOnly() async throws {
        let queue = try await fill()
        defer { queue.close() }
        let message = try QueueFixture.message(device: 1, bundle: 1, bytes: 1000)
        let isResident = queue.shared.withLock { $0.state.find(message.key) != nil }
        #expect(!isResident)
        #expect(queue.find(message.key)?.state == .queued)
        #expect(queue.find(message.key)?.bundleDigest == message.bundleDigest)
        guard case .existing(let entry) = try await queue.enqueue(message) else {
            Issue.record("a bundle that lies in an index was enqueued again")
            return
        }
        #expect(entry.partByteCounts == [1000])
        let other = try QueueFixture.message(device: 9, bundle: 1)
        #expect(queue.find(other.key) == nil, "the same bundle id on another device")
        let bundle = try queue.traces(of: TracedID(high: 2, low: 1), limit: 10)
        #expect(bundle.count == 1 && bundle.first.map(\.key) == [message.key])
        let device = try queue.traces(of: TracedID(high: 1, low: 1), limit: 4)
        #expect(device.count == 50 && device.first.map(\.key.bundleID.low) == [1, 4, 7, 10])
    }

    @Test func aStartReadsIndexesAndDeliversInOrder() async throws {
        let queue = try await fill()
        var settled: [UInt64] = []
        for _ in 0..<5 {
            let lease = try #require(try queue.lease(QueueFixture.request(bundles: 6)))
            settled += lease.bundles
            try queue.settleAndWait(lease)
        }
        try fixture.crash("log", as: "copy")
        queue.close()
        let reopened = try fixture.open(fixture.options("copy"))
        defer { reopened.close() }
        #expect(reopened.recoveryFaults.isEmpty)
        #expect(reopened.status.depth == 150 - settled.count)
        let rest = Self.expected(1...150, devices: 3).mapValues { bundles in
            bundles.filter { !settled.contains($0) }
        }
        #expect(try drain(reopened) == rest)
    }

    @Test func anIndexThatIsMissingTornDamagedOrOfAnotherSegmentIsMadeAgain() async throws {
        let queue = try await fill()
        queue.close()
        let names = try indexFiles()
        #expect(names.count >= 3)
        let directory = URL(filePath: fixture.options().directory)
        let whole = try names.map { try Data(contentsOf: directory.appending(path: $0)) }
        for kind in 0..<5 {
            for (name, data) in zip(names, whole) {
                let path = directory.appending(path: name)
                switch kind {
                case 0: try FileManager.default.removeItem(at: path)
                case 1: try data.prefix(data.count / 2).write(to: path)
                case 2: try Data(data.enumerated().map { $0 % 700 == 3 ? ~$1 : $1 }).write(to: path)
                case 3: try whole[name == names[0] ? 1 : 0].write(to: path)
                default: try Data().write(to: path)
                }
            }
            let reopened = try fixture.open(fixture.options())
            #expect(reopened.recoveryFaults.isEmpty && reopened.status.depth == 150)
            try await waitUntilIndexed(reopened)
            reopened.close()
        }
        let reopened = try fixture.open(fixture.options())
        defer { reopened.close() }
        #expect(try drain(reopened) == Self.expected(1...150, devices: 3))
    }

    /// The file changes under the running queue, which read its beginning before.
    @Test func anIndexThatIsDamagedWhileItIsUsedIsMadeAgain() async throws {
        let queue = try await fill()
        defer { queue.close() }
        let path = URL(filePath: fixture.options().directory).appending(path: try indexFiles()[0])
        let file = try FileHandle(forUpdating: path)
        try file.seek(toOffset: 600)
        try file.write(contentsOf: Data(repeating: 0x5a, count: 9000))
        try file.close()
        var seen: [UInt64] = []
        for _ in 0..<20 where seen.count < 150 {
            guard let lease = try queue.lease(QueueFixture.request(wait: .seconds(5))) else {
                continue
            }
            seen += lease.bundles
            try queue.settleAndWait(lease)
        }
        #expect(seen.sorted() == Array(1...150))
    }

    /// Writes over a file from there on.
    private func overwrite(_ name: String, at offset: Int, with bytes: Data) throws {
        let path = URL(filePath: fixture.options().directory).appending(path: name)
        let file = try FileHandle(forUpdating: path)
        try file.seek(toOffset: UInt64(offset))
        try file.write(contentsOf: bytes)
        try file.close()
    }

    /// Of the segment only the last record is left, and not those that name the others; the index has
    /// its rows.
    @Test func case08WhatADamagedIndexStillTellsOfDamagedRecordsIsNamed() async throws {
        let queue = try await fill()
        defer { queue.close() }
        let index = try #require(queue.shared.withLock { $0.state.shelf[2]?.index })
        let last = try #require(try index.readRow(of: index.readSequences().last ?? 0))
        let end = Int(last.bundle.position.offset)
        try overwrite(
            "0000000000000002.seg", at: 8192, with: Data(repeating: 0x5a, count: end - 8192))
        // Behind the header, the summary, three devices and the rows stand the hashes.
        let hashes = 512 + (40 + 16) + (3 * 32 + 16) + (IndexRow.byteCount * index.bundleCount + 16)
        try overwrite("0000000000000002.idx", at: hashes, with: Data(repeating: 0x5a, count: 8))
        #expect(queue.find(last.bundle.key)?.state == .queued, "its record is whole")
        let lost = queue.lostBundles
        #expect(lost.count == index.bundleCount - 1)
        #expect(lost.allSatisfy { queue.find($0.key)?.state == .lost })
        #expect(queue.recoveryFaults.isEmpty && queue.faults.count == 1)
        let delivered = try drain(queue).values.flatMap(\.self)
        #expect((delivered + lost.map(\.key.bundleID.low)).sorted() == Array(1...150))
    }

    /// As above, and the rows are gone too: nobody knows any more what the records were.
    @Test func case08DamageThatNothingNamesIsToldByItsSequences() async throws {
        let queue = try await fill()
        defer { queue.close() }
        let index = try #require(queue.shared.withLock { $0.state.shelf[2]?.index })
        let sequences = try index.readSequences().all
        let last = try #require(try index.readRow(of: sequences.last ?? 0))
        let end = Int(last.bundle.position.offset)
        try overwrite(
            "0000000000000002.seg", at: 8192, with: Data(repeating: 0x5a, count: end - 8192))
        let rows = 512 + (40 + 16) + (3 * 32 + 16)
        try overwrite("0000000000000002.idx", at: rows, with: Data(repeating: 0x5a, count: 8))
        let delivered = try drain(queue).values.flatMap(\.self)
        #expect(delivered.count == 150 - (sequences.count - 1))
        // The names behind the last record are those of the batch before it.
        #expect(queue.lostBundles.map(\.sequence) == [sequences[sequences.count - 2]])
        // The segment's manifest was the first of them.
        let missing = sequences[0] - 1..<sequences[sequences.count - 1]
        #expect(
            queue.faults == ["segment 2: damaged, bytes 8192..<\(end), sequences \(missing)"])
    }

    @Test func case10BundlesOfASegmentThatIsGoneAreNamedAndTheirDeviceMaySendThemAgain()
        async throws
    {
        let queue = try await fill()
        queue.close()
        let path = URL(filePath: fixture.options().directory)
            .appending(path: "0000000000000001.seg")
        try FileManager.default.removeItem(at: path)
        let reopened = try fixture.open(fixture.options())
        defer { reopened.close() }
        #expect(reopened.recoveryFaults.count == 1)
        let delivered = try drain(reopened)
        let lost = (1...150 as ClosedRange<UInt64>).filter { bundle in
            let key = BundleKey(
                deviceID: QueueFixture.device(bundle % 3), bundleID: BundleID(high: 2, low: bundle))
            return reopened.find(key)?.state == .lost
        }
        #expect(!lost.isEmpty && lost.count < 60)
        #expect((delivered.values.flatMap(\.self) + lost).sorted() == Array(1...150))
        let message = try QueueFixture.message(device: lost[0] % 3, bundle: lost[0], bytes: 1000)
        #expect(try await reopened.enqueue(message) == .enqueued)
    }

    @Test func case08AWalkNamesWhatIsDamagedAndNothingElseIsLost() async throws {
        let queue = try await fill()
        defer { queue.close() }
        let path = URL(filePath: fixture.options().directory)
            .appending(path: "0000000000000002.seg")
        let file = try FileHandle(forUpdating: path)
        try file.seek(toOffset: 8192 + 3000)
        let old = try #require(try file.read(upToCount: 1))
        try file.seek(toOffset: 8192 + 3000)
        try file.write(contentsOf: Data([old[0] ^ 4]))
        try file.close()
        let result = try await queue.verify()
        #expect(result.faults.count == 1 && result.lost.count == 1)
        let lost = try #require(result.lost.first)
        #expect(queue.find(lost.key)?.state == .lost && queue.lostBundles == [lost])
        #expect(queue.status.depth == 149)
        var delivered = try drain(queue).values.flatMap(\.self)
        delivered.append(lost.key.bundleID.low)
        #expect(delivered.sorted() == Array(1...150))
    }

    /// The file of losses outlives the segments; a bundle that was sent again is not lost any more.
    @Test func remembersLossesUntilTheyAreSentAgainHoweverOftenItStarts() async throws {
        var queue = try await fill()
        queue.close()
        let directory = URL(filePath: fixture.options().directory)
        try FileManager.default.removeItem(at: directory.appending(path: "0000000000000001.seg"))
        queue = try fixture.open(fixture.options())
        let lost = queue.lostBundles
        #expect(!lost.isEmpty && queue.status.depth == 150 - lost.count)
        #expect(lost.allSatisfy { queue.find($0.key)?.state == .lost })
        _ = try drain(queue)
        queue.close()
        queue = try fixture.open(fixture.options())
        #expect(queue.lostBundles == lost && queue.recoveryFaults.isEmpty)
        let again = try QueueFixture.message(
            device: lost[0].key.deviceID.low, bundle: lost[0].key.bundleID.low, bytes: 1000)
        #expect(try await queue.enqueue(again) == .enqueued)
        queue.close()
        queue = try fixture.open(fixture.options())
        defer { queue.close() }
        #expect(queue.lostBundles == Array(lost.dropFirst()))
        #expect(queue.find(lost[0].key)?.state == .queued)
    }

    @Test func remembersChargesLossesAndFilesThroughIndexes() async throws {
        let queue = try fixture.open(fixture.options())
        var withFiles = try QueueFixture.message(device: 1, bundle: 1)
        withFiles.parts = ["a", "b"].map {
            PartContent(digest: .zero, byteCount: 10, location: .file(name: $0))
        }
        _ = try await queue.enqueue(withFiles)
        _ = try await queue.enqueue(QueueFixture.message(device: 2, bundle: 2))
        _ = try await queue.enqueue(QueueFixture.message(device: 3, bundle: 3))
        let first = try #require(try queue.lease(QueueFixture.request(bundles: 1)))
        let rest = try #require(try queue.lease(QueueFixture.request()))
        #expect(first.bundles == [1] && rest.bundles == [2, 3])
        try queue.settle(first, [.retry(after: .zero, charged: true)]) {}
        try queue.settle(rest, [.lost, .settled]) {}
        for bundle in 10...120 as ClosedRange<UInt64> {
            _ = try await queue.enqueue(
                QueueFixture.message(device: 4, bundle: bundle, bytes: 1000))
        }
        try await waitUntilIndexed(queue)
        queue.close()
        let reopened = try fixture.open(fixture.options())
        defer { reopened.close() }
        #expect(try reopened.liveFileNames() == ["a", "b"])
        #expect(reopened.find(try QueueFixture.message(device: 2, bundle: 2).key)?.state == .lost)
        let again = try #require(try reopened.lease(QueueFixture.request(bundles: 1)))
        #expect(again.deliveries.map(\.message) == [withFiles])
        #expect(again.deliveries.map(\.attempt) == [2])
        #expect(reopened.status.bytes == 20 + 111 * 1000)
    }

    @Test func bitsOfSequencesAreASet() {
        var bits = SequenceBits(from: 100)
        for sequence in [100, 163, 164, 1000] as [UInt64] { bits.insert(sequence) }
        #expect(bits.base == 64 && bits.first == 100 && bits.last == 1000 && bits.count == 4)
        #expect(bits.all == [100, 163, 164, 1000])
        #expect(bits.rank(of: 164) == 2 && bits.rank(of: 5000) == 4 && bits.rank(of: 3) == 0)
        #expect(SequenceBits(base: bits.base, bits.bytes) == bits)
        bits.remove(100)
        bits.remove(7)
        #expect(!bits.contains(100) && !bits.contains(7) && !bits.contains(1 << 40))
        #expect(bits.first == 163)
    }
}

import Foundation
import SegmentedLog
import Testing
import WaybillModel
import WaybillThreads

@testable import WaybillQueue

/// Damage in the segment that was being written when the process ended: no index says what it held.
@Suite struct OpenSegmentTests {
    let fixture: QueueFixture

    init() throws {
        fixture = try QueueFixture()
    }

    /// Five bundles, each in a batch of its own; the process ends after that.
    ///
    /// - Returns: where their records lie.
    private func fill(settling: Bool = false) async throws -> [RecordPosition] {
        let queue = try fixture.open(fixture.options())
        defer { queue.close() }
        for bundle in UInt64(1)...5 {
            _ = try await queue.enqueue(
                QueueFixture.message(device: bundle, bundle: bundle, bytes: 300))
        }
        let positions = queue.shared.withLock { shared in
            shared.state.bundles.sorted { $0.key < $1.key }.map(\.value.position)
        }
        if settling {
            try queue.settleAndWait(
                try #require(try queue.lease(QueueFixture.request(bundles: 2))))
        }
        try fixture.crash("log", as: "crashed")
        return positions
    }

    private func flip(_ position: RecordPosition, in name: String) throws {
        let directory = fixture.root.appending(path: name)
        let file = try #require(
            try FileManager.default.contentsOfDirectory(atPath: directory.path)
                .filter { $0.hasSuffix(".seg") }.sorted().last)
        let handle = try FileHandle(forUpdating: directory.appending(path: file))
        let offset = UInt64(position.offset) + 40
        try handle.seek(toOffset: offset)
        let byte = try #require(try handle.read(upToCount: 1)?.first)
        try handle.seek(toOffset: offset)
        try handle.write(contentsOf: [byte ^ 4])
        try handle.close()
    }

    @Test(arguments: [0, 1, 3])
    func case08ADamagedRecordIsNamedByALaterOne(_ hit: Int) async throws {
        let positions = try await fill()
        try flip(positions[hit], in: "crashed")
        let expected = UInt64(hit + 1)
        // The first opening finds it; the second has it from the file.
        for _ in 0..<2 {
            let queue = try fixture.open(fixture.options("crashed"))
            #expect(queue.lostBundles.map(\.key.bundleID.low) == [expected])
            let lost = try #require(queue.lostBundles.first)
            #expect(lost.key.deviceID == QueueFixture.device(expected) && lost.byteCount == 300)
            #expect(queue.find(lost.key)?.state == .lost)
            #expect(queue.backlog.bundles == 4)
            queue.close()
        }
        let queue = try fixture.open(fixture.options("crashed"))
        defer { queue.close() }
        let again = try QueueFixture.message(device: expected, bundle: expected, bytes: 300)
        #expect(try await queue.enqueue(again) == .enqueued)
        #expect(queue.lostBundles.isEmpty)
        let lease = try #require(try queue.lease(QueueFixture.request()))
        #expect(lease.bundles.sorted() == [1, 2, 3, 4, 5])
    }

    @Test func twoNeighboursThatAreDamagedAreNamedBoth() async throws {
        let positions = try await fill()
        try flip(positions[1], in: "crashed")
        try flip(positions[2], in: "crashed")
        let queue = try fixture.open(fixture.options("crashed"))
        defer { queue.close() }
        #expect(queue.lostBundles.map(\.key.bundleID.low) == [2, 3])
    }

    @Test func whatWasSettledBeforeIsNotLost() async throws {
        let positions = try await fill(settling: true)
        try flip(positions[0], in: "crashed")
        let queue = try fixture.open(fixture.options("crashed"))
        defer { queue.close() }
        #expect(queue.lostBundles.isEmpty && queue.recoveryFaults.count == 1)
        #expect(queue.backlog.bundles == 3)
    }
}

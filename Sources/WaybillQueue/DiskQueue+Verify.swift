internal import Logging
internal import Metrics
internal import SegmentedLog
internal import WaybillModel
internal import WaybillThreads

/// What a walk through the queue's log found.
package struct QueueVerification: Sendable, Equatable {
    /// Closed segments that were read.
    package var segments = 0
    /// Records that are what was written.
    package var records = 0
    /// Damage in words, also where nothing is lost by it.
    package var faults: [String] = []
    /// Bundles that the walk found damaged before they were delivered: their devices are told to send
    /// them again.
    package var lost: [LostBundle] = []

    package init() {}
}

extension DiskQueue {
    /// Reads every closed segment and checks each record. Bundles that are damaged and still to be
    /// delivered are lost from then on.
    ///
    /// What is in memory, or lies in the segment that is being written, is checked when it is handed
    /// out. Takes as long as it takes, on a thread of its own.
    ///
    /// - Throws: ``QueueError/io(errno:operation:)`` (retry).
    package func verify() async throws(QueueError) -> QueueVerification {
        try await onThread("queue-verify") { () throws(QueueError) in try self.verifyHere() }
    }

    /// As ``verify()``, on the caller's thread; blocks.
    package func verifyHere() throws(QueueError) -> QueueVerification {
        var result = QueueVerification()
        for number in log.closedSegments {
            do throws(LogError) {
                try verify(number, &result)
            } catch .noSuchSegment {
                // It was settled and deleted meanwhile.
                continue
            } catch {
                if case .damaged(let segment, _) = error { indexing.rebuildSoon(segment) }
                throw QueueError(error, ofIndex: true)
            }
        }
        return result
    }

    private func verify(
        _ number: UInt64, _ result: inout QueueVerification
    ) throws(LogError) {
        var found: Set<UInt64> = []
        let faults = try LogError.catching { try log.scan(number) { found.insert($0.sequence) } }
            .faults
        result.segments += 1
        result.records += found.count
        guard !faults.isEmpty else { return }
        result.faults += faults.map(\.description)
        guard let index = shared.withLock({ $0.state.shelf[number]?.index }) else { return }
        var damaged: [IndexRow] = []
        try index.forEachRow { if !found.contains($0.sequence) { damaged.append($0) } }
        let rows = damaged
        let time = wallClock()
        let (effect, lost) = shared.update { shared in
            let effect = shared.state.lose(rows, at: time)
            let known = shared.state.lost
            return (
                effect, rows.compactMap { known[$0.bundle.key] }.filter { $0.foundAt == time }
            )
        }
        for bundle in lost {
            logger.error(
                "a bundle was damaged in the log and is lost: its device is told to send it again",
                metadata: [
                    "bundle.id": "\(bundle.key.bundleID)", "device.id": "\(bundle.key.deviceID)",
                    "queue.sequence": "\(bundle.sequence)",
                ])
        }
        Counter(label: "waybill_bundles_lost_total").increment(by: lost.count)
        result.lost += lost
        write(effect) {}
        indexing.wake()
    }
}

internal import Logging
internal import SegmentedLog
internal import WaybillModel
internal import WaybillThreads

/// An index that was written, and what the queue takes from it.
struct IndexBuild: Sendable {
    let index: SegmentIndex
    let filter: BundleFilter
    let devices: [IndexedDevice]

    /// Writes the index of a closed segment from what is in memory of it; nil if nothing is.
    ///
    /// - Throws: ``LogError/diskFull``, ``LogError/io(errno:operation:)``: nothing is lost then.
    static func make(
        _ shelf: SegmentShelf, _ segment: StoredSegment
    ) throws(LogError) -> IndexBuild? {
        guard let known = shelf[segment.number] else { return nil }
        return try make(
            bundles: known.bundles, settlements: known.settlements, segment)
    }

    static func make(
        bundles: [(sequence: UInt64, bundle: QueuedBundle)], settlements: [IndexedSettlement],
        _ segment: StoredSegment
    ) throws(LogError) -> IndexBuild {
        let draft = SegmentIndex.draft(
            bundles, from: bundles.first?.sequence ?? 0, settlements: settlements)
        let file = try segment.writeIndex(draft.sections)
        guard let index = try SegmentIndex(file, of: segment.number) else {
            throw .damaged(segment: segment.number, offset: 0)
        }
        return IndexBuild(index: index, filter: try index.readFilter(), devices: draft.devices)
    }
}

/// Writes the indexes of segments once they are closed, on a thread of its own: no answer waits for
/// it, and nothing is lost if it never comes to it.
final class Indexing: Sendable {
    private struct Work: Sendable {
        var isDue = false
        var isClosed = false
        /// Segments whose index is damaged.
        var damaged: Set<UInt64> = []
    }

    private let shared: Monitor<DiskQueue.Shared>
    private let log: SegmentedLog
    private let logger: Logger
    private let work = Monitor(Work())
    private let thread: Monitor<NamedThread?>

    /// Devices whose bundles go out of memory while the queue stands still.
    private static let sliceMax = 128
    private static let retryInterval = Duration.seconds(1)

    init(
        shared: Monitor<DiskQueue.Shared>, log: SegmentedLog, logger: Logger, hasThread: Bool
    ) throws(ThreadError) {
        self.shared = shared
        self.log = log
        self.logger = logger
        thread = Monitor(nil)
        guard hasThread else { return }
        let started = try NamedThread(name: "queue-index") { [weak self, work] in
            var interval: Duration?
            while true {
                let isClosed = work.wait(timeout: interval) { work -> Bool? in
                    guard work.isDue || work.isClosed else { return nil }
                    work.isDue = false
                    return work.isClosed
                }
                guard isClosed != true, let self else { return }
                interval = self.run() ? nil : Self.retryInterval
            }
        }
        thread.withLock { $0 = started }
    }

    /// There may be something to do.
    func wake() {
        work.update { $0.isDue = true }
    }

    /// An index is not what was written.
    func rebuildSoon(_ segment: UInt64) {
        work.update { work in
            work.damaged.insert(segment)
            work.isDue = true
        }
    }

    func close() {
        work.update { $0.isClosed = true }
        let started = thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        started?.join()
    }

    /// Does all that there is to do; false if some of it is to be tried again.
    func run() -> Bool {
        do {
            while let segment = work.withLock({ $0.damaged.min() }) {
                try rebuild(segment)
                work.withLock { _ = $0.damaged.remove(segment) }
            }
            while !work.withLock({ $0.isClosed }), try indexNext() {}
            return true
        } catch {
            logger.warning(
                "an index of the log is to be tried again", metadata: ["queue.error": "\(error)"])
            return false
        }
    }

    /// Always the lowest one first: bundles of a device go out of memory in their order.
    private func indexNext() throws(LogError) -> Bool {
        let next = shared.withLock { shared -> (UInt64, SegmentShelf.Segment)? in
            let shelf = shared.state.shelf
            return shelf.nextToIndex.flatMap { number in shelf[number].map { (number, $0) } }
        }
        guard let (number, known) = next, let segment = log.storedSegment(number) else {
            return false
        }
        let built = try IndexBuild.make(
            bundles: known.bundles, settlements: known.settlements, segment)
        install(built, of: number)
        return true
    }

    private func install(_ built: IndexBuild, of number: UInt64) {
        shared.withLock { shared in
            if shared.state.shelf[number] != nil {
                shared.state.setIndex(built.index, built.filter)
            }
        }
        for start in stride(from: 0, to: built.devices.count, by: Self.sliceMax) {
            let slice = built.devices[start..<min(start + Self.sliceMax, built.devices.count)]
            shared.withLock { $0.state.convert(slice, of: number) }
        }
    }

    /// Makes an index anew from the segment's records. What is in neither is lost.
    func rebuild(_ number: UInt64) throws(LogError) {
        guard let segment = log.storedSegment(number) else { return }
        var bundles: [(sequence: UInt64, bundle: QueuedBundle)] = []
        var settlements: [IndexedSettlement] = []
        _ = try LogError.catching {
            try log.scan(number) { record in
                if let message = QueueRecord.decodeBundle(record.payload, withBytes: false),
                    record.type == QueueRecord.bundleType
                {
                    bundles.append(
                        (record.sequence, QueuedBundle(message, position: record.position)))
                } else if let settlement = SettlementRecord(record.payload) {
                    settlements += settlement.entries.map {
                        IndexedSettlement(entry: $0, time: settlement.time, bytes: $0.bytes)
                    }
                }
            }
        }
        let built = try IndexBuild.make(bundles: bundles, settlements: settlements, segment)
        let found = Set(bundles.map(\.sequence))
        let gone = shared.update { shared in
            shared.state.replaceIndex(built, found: found)
        }
        logger.error(
            "an index of the log was damaged and has been made again",
            metadata: ["queue.segment": "\(number)", "queue.lost": "\(gone.count)"])
    }
}

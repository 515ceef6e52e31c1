internal import Logging
internal import SegmentedLog
internal import WaybillModel
internal import WaybillThreads

/// An index that was written, and what the queue takes from it.
struct IndexBuild: Sendable {
    let index: SegmentIndex
    let filter: BundleFilter
    let devices: [IndexedDevice]

    /// Writes the index of a closed segment; where that cannot be done now, it stays in memory.
    static func make(
        bundles: [(sequence: UInt64, bundle: QueuedBundle)], settlements: [IndexedSettlement],
        _ segment: StoredSegment, _ logger: Logger
    ) throws(LogError) -> IndexBuild {
        let draft = SegmentIndex.draft(
            bundles, from: bundles.first?.sequence ?? 0, settlements: settlements)
        var source = SegmentIndex.Source.memory(draft.sections)
        do throws(LogError) {
            source = .file(try segment.writeIndex(draft.sections))
        } catch {
            logger.warning(
                "an index of the log cannot be written",
                metadata: [
                    "queue.segment": "\(segment.number)",
                    "queue.error": "\(error.shortDescription)",
                ])
        }
        guard let index = try SegmentIndex(source, of: segment.number) else {
            throw .damaged(segment: segment.number, offset: 0)
        }
        return IndexBuild(index: index, filter: draft.filter, devices: draft.devices)
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

    let shared: Monitor<DiskQueue.Shared>
    let log: SegmentedLog
    let logger: Logger
    private let work = Monitor(Work())
    private let thread: Monitor<NamedThread?>
    /// The losses that are written down.
    let writtenLosses: Monitor<Int>
    let sparse = Monitor(SparseSegments())
    /// Damage in words that was found when an index was made again, by segment.
    let damage = Monitor<[UInt64: [String]]>([:])

    /// Bundles that go out of memory while the queue stands still, but for those of one device.
    private static let sliceMax = 256
    private static let retryInterval = Duration.seconds(1)
    /// How often segments are looked for of which little is still needed.
    private static let compactionInterval = Duration.seconds(10)

    init(
        shared: Monitor<DiskQueue.Shared>, log: SegmentedLog, logger: Logger, hasThread: Bool
    ) throws(ThreadError) {
        self.shared = shared
        self.log = log
        self.logger = logger
        thread = Monitor(nil)
        // Those that are known are written once more: the master key may be another one now.
        writtenLosses = Monitor(
            shared.withLock { $0.state.lost.count == 0 ? $0.state.lost.version : -1 })
        guard hasThread else { return }
        let started = try NamedThread(name: "queue-index") { [weak self, work] in
            var interval: Duration?
            var compaction = Deadline.after(Self.compactionInterval)
            while true {
                let isClosed = work.wait(timeout: interval) { work -> Bool? in
                    guard work.isDue || work.isClosed else { return nil }
                    work.isDue = false
                    return work.isClosed
                }
                guard isClosed != true, let self else { return }
                let isDone = self.run()
                if isDone, compaction.hasPassed {
                    self.compact()
                    compaction = .after(Self.compactionInterval)
                }
                // Nobody says when there is little left in a segment.
                let hasClosed = self.shared.withLock { $0.state.shelf.hasIndexes }
                interval =
                    isDone ? (hasClosed ? Self.compactionInterval : nil) : Self.retryInterval
            }
        }
        thread.withLock { $0 = started }
    }

    deinit {
        work.update { $0.isClosed = true }
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

    /// Makes an index anew that is not what was written; false if that is to be tried again.
    func rebuildNow(_ segment: UInt64) -> Bool {
        do throws(LogError) {
            try rebuild(segment)
            return true
        } catch {
            rebuildSoon(segment)
            return false
        }
    }

    /// Reads an index; one that is damaged is made again first, which blocks for as long as that takes.
    func reading<Value>(
        _ index: SegmentIndex, _ read: (SegmentIndex) throws(LogError) -> Value
    ) throws(LogError) -> Value {
        do throws(LogError) {
            return try read(index)
        } catch {
            guard case .damaged = error else { throw error }
            if !isReplaced(index) { try rebuild(index.segment) }
            let made = shared.withLock { $0.state.shelf[index.segment]?.index }
            guard let made else { throw error }
            return try read(made)
        }
    }

    /// Whether another index has taken the place of this one.
    func isReplaced(_ index: SegmentIndex) -> Bool {
        !index.isSame(as: shared.withLock { $0.state.shelf[index.segment]?.index })
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
            try writeLosses()
            while !work.withLock({ $0.isClosed }), try indexNext() {}
            return try writeRest()
        } catch {
            logger.warning(
                "an index of the log is to be tried again", metadata: ["queue.error": "\(error)"])
            return false
        }
    }

    /// Writes the indexes that are in memory only; false if there are some left.
    private func writeRest() throws(LogError) -> Bool {
        let unwritten = shared.withLock { $0.state.shelf.unwrittenIndexes }
        for index in unwritten {
            guard let sections = index.unwritten, let segment = log.storedSegment(index.segment)
            else { continue }
            let file: IndexFile
            do throws(LogError) {
                file = try segment.writeIndex(sections)
            } catch {
                return false
            }
            guard let written = try SegmentIndex(.file(file), of: index.segment) else { continue }
            let isThere = shared.withLock { $0.state.shelf.setWritten(written) }
            if !isThere { try segment.removeIndex() }
        }
        return true
    }

    private func writeLosses() throws(LogError) {
        let (lost, last) = shared.withLock { ($0.state.lost, $0.state.lostThrough) }
        guard lost.version != writtenLosses.withLock({ $0 }) else { return }
        try LossFile(log: log).write(lost.all, through: last)
        writtenLosses.withLock { $0 = lost.version }
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
            bundles: known.bundles, settlements: known.settlements, segment, logger)
        let isThere = shared.withLock { shared in
            guard shared.state.shelf[number] != nil else { return false }
            shared.state.setIndex(built.index, built.filter)
            return true
        }
        guard isThere else {
            // It was settled and deleted meanwhile.
            try segment.removeIndex()
            return true
        }
        var rest = built.devices[...]
        while !rest.isEmpty {
            var rows = 0
            let slice = rest.prefix { device in
                defer { rows += Int(device.rowCount) }
                return rows < Self.sliceMax
            }
            shared.withLock { $0.state.convert(slice, of: number) }
            rest = rest.dropFirst(slice.count)
        }
        return true
    }
}

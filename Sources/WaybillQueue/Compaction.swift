internal import Logging
internal import Metrics
internal import SegmentedLog
internal import WaybillModel
internal import WaybillThreads

/// What becomes of a segment that holds little that is still to be delivered: it is written anew with
/// that, and with what its settlements say of bundles that are still in the log. So a bundle that waits
/// for long keeps its own bytes on the disk, and no others.
private struct Compaction {
    let segment: UInt64
    let index: SegmentIndex
    /// As all was when it began; nothing of the segment was on its way to the disk then.
    let shelf: SegmentShelf

    /// Nil if the segment is not what it is written anew for.
    init?(of number: UInt64, _ state: QueueState) {
        guard let pinned = state.shelf.sparse[number], let index = state.shelf[number]?.index,
            pinned < index.bundleCount
        else { return nil }
        segment = number
        self.index = index
        shelf = state.shelf
    }

    /// Writes the draft, and says what the queue is to know of it. Blocks.
    func run(_ log: SegmentedLog) throws(LogError) -> (draft: SegmentDraft, made: CompactedSegment)
    {
        guard let live = shelf[segment]?.live else { throw .noSuchSegment(segment) }
        var rows: [UInt64: QueuedBundle] = [:]
        try index.forEachRow { row in
            if live.contains(row.sequence) { rows[row.sequence] = row.bundle }
        }
        let (settlements, references) = try neededSettlements()
        let records = Set(settlements.map(\.record))
        let draft = try log.draft(of: segment) { record in
            record.type == QueueRecord.bundleType
                ? live.contains(record.sequence) : records.contains(record.sequence)
        } naming: { record in
            rows[record.sequence].map { BundleName($0).encode() } ?? []
        }
        let bundles = draft.records.compactMap { record in
            rows[record.sequence].map { (record.sequence, $0.placed(at: record.position)) }
        }
        let content = SegmentIndex.draft(
            bundles, from: bundles.first?.0 ?? 0, settlements: settlements)
        guard let made = try SegmentIndex(.memory(content.sections), of: segment) else {
            throw .damaged(segment: segment, offset: 0)
        }
        return (
            draft,
            CompactedSegment(
                index: made, filter: content.filter, devices: content.devices, bundles: bundles,
                references: references, endings: shelf.endings(in: segment))
        )
    }

    /// The settlements of the segment's records that say something of a bundle that is still in the
    /// log, and which segments those are in.
    private func neededSettlements() throws(LogError) -> (
        [IndexedSettlement], [UInt64: SegmentShelf.References]
    ) {
        let all = try index.readSettlements()
        var known: [UInt64: SequenceBits] = [:]
        var references: [UInt64: SegmentShelf.References] = [:]
        var records: Set<UInt64> = []
        for settlement in all {
            let sequence = settlement.entry.sequence
            guard let target = shelf.segment(of: sequence), let place = shelf[target] else {
                continue
            }
            if target == segment {
                guard place.live.contains(sequence) else { continue }
            } else {
                if known[target] == nil, let other = place.index {
                    known[target] = try other.readSequences()
                }
                // Without an index nobody has taken anything out of it.
                if let there = known[target], !there.contains(sequence) { continue }
                references[target, default: SegmentShelf.References()]
                    .add(isEnd: settlement.entry.outcome.state != nil)
            }
            records.insert(settlement.record)
        }
        return (all.filter { records.contains($0.record) }, references)
    }
}

/// A segment that was written anew, as the queue is to know it.
struct CompactedSegment: Sendable {
    let index: SegmentIndex
    let filter: BundleFilter
    let devices: [IndexedDevice]
    /// In their new places.
    let bundles: [(sequence: UInt64, bundle: QueuedBundle)]
    let references: [UInt64: SegmentShelf.References]
    /// Settlements in other segments that nobody needs any more, by segment.
    let endings: [UInt64: Int]
}

/// Segments of which little was needed when they were looked at last.
struct SparseSegments: Sendable {
    /// How many bundles in each.
    var bundles: [UInt64: Int] = [:]
    var damaged: Set<UInt64> = []
    /// What the last try failed of; nil if it went well.
    var failure: String?
}

extension Indexing {
    /// Writes segments anew of which little is still needed; returns how many.
    ///
    /// - Parameter isAtRest: true: only those that have not changed since the last time. A queue that
    ///   drains is done with its segments sooner than they are written anew.
    @discardableResult
    func compact(isAtRest: Bool = true) -> Int {
        let now = shared.withLock { $0.state.shelf.sparse }
        let due = sparse.withLock { sparse in
            defer { sparse.bundles = now }
            return now.filter { number, count in
                !sparse.damaged.contains(number)
                    && (!isAtRest || sparse.bundles[number] == count)
            }
        }.keys.sorted()
        var count = 0
        for number in due {
            do throws(LogError) {
                guard try compact(number) else { continue }
                count += 1
                sparse.withLock { $0.failure = nil }
            } catch {
                let failure = error.shortDescription
                let isKnown = sparse.withLock { sparse in
                    defer { sparse.failure = failure }
                    return sparse.failure == failure
                }
                // A disk may be full for hours: said once.
                logger.log(
                    level: isKnown ? .debug : .warning, "a log segment cannot be written anew",
                    metadata: ["queue.segment": "\(number)", "queue.error": "\(failure)"])
                guard case .damaged = error else { break }
                // It stays as it is, for those who look for what it held.
                sparse.withLock { _ = $0.damaged.insert(number) }
            }
        }
        if count > 0 {
            deleteSegments()
            _ = run()
        }
        return count
    }

    private func compact(_ number: UInt64) throws(LogError) -> Bool {
        let written = writtenLosses.withLock { $0 }
        let compaction = shared.withLock { shared -> Compaction? in
            // What is lost is to be known from elsewhere, before its record goes.
            guard shared.state.lost.version == written else { return nil }
            return Compaction(of: number, shared.state)
        }
        guard let compaction else { return false }
        let (draft, made) = try compaction.run(log)
        try log.replace(with: draft) { apply in
            self.shared.update { shared in
                apply()
                shared.state.replace(with: made)
            }
        }
        // Made here: the queue is opened before the metrics are.
        Counter(label: "waybill_log_rewritten_segments_total").increment()
        logger.info(
            "log segment written anew",
            metadata: [
                "queue.segment": "\(number)", "queue.bundles": "\(made.bundles.count)",
                "queue.bytes": "\(draft.byteCount)",
            ])
        return true
    }

    /// Deletes segments that are needed no more.
    func deleteSegments() {
        let deletable = shared.withLock { shared in
            shared.state.shelf.takeDeletable { log.closedSegments }
        }
        guard !deletable.isEmpty else { return }
        logger.debug("log segments deleted", metadata: ["queue.segments": "\(deletable.count)"])
        log.delete(deletable)
    }
}

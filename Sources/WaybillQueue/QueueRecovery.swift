internal import Logging
internal import SegmentedLog
internal import WaybillModel
internal import WaybillThreads

/// Takes in what an opening finds in the log, segment by segment, oldest first.
final class QueueRecovery {
    private var state: QueueState
    private let now: Deadline
    private let wallClock: Timestamp
    private let logger: Logger
    private var lastSequence: UInt64 = 0
    /// The records that speak of losses, by the sequence of the bundle.
    private var recordsOfLosses: [UInt64: UInt64] = [:]
    /// Bundles that are in no segment that was read, and that settlements end.
    private var ended: Set<UInt64> = []
    /// Segments whose records are gone and whose index is there.
    private var gone: [(segment: StoredSegment, index: SegmentIndex)] = []

    init(state: QueueState, now: Deadline, wallClock: Timestamp, logger: Logger) {
        self.state = state
        self.now = now
        self.wallClock = wallClock
        self.logger = logger
    }

    /// True if the segment's index says all that is to be known of it.
    func begin(_ segment: StoredSegment) throws -> Bool {
        do {
            guard let file = try segment.readIndex(),
                let index = try SegmentIndex(.file(file), of: segment.number)
            else {
                if segment.isGone {
                    logger.error(
                        "nobody knows which bundles lay in a segment that is gone",
                        metadata: ["queue.segment": "\(segment.number)"])
                }
                return false
            }
            let bits = try index.readSequences()
            state.adopt(
                index, try index.readFilter(), bits, devices: try index.readDevices())
            lastSequence = max(lastSequence, bits.last ?? 0)
            apply(try index.readSettlements(), in: segment.number)
            if segment.isGone { gone.append((segment, index)) }
            return true
        } catch {
            // What was taken in of it is found again in the records, or is gone with them.
            logger.warning(
                "an index of the log cannot be read",
                metadata: ["queue.segment": "\(segment.number)", "queue.error": "\(error)"])
            state.drop(segment.number)
            return false
        }
    }

    /// Puts a closed segment that was read into an index, so that it need not stay in memory.
    func end(_ segment: StoredSegment) throws(LogError) {
        guard let known = state.shelf[segment.number] else { return }
        let built = try IndexBuild.make(
            bundles: known.bundles, settlements: known.settlements, segment, logger)
        state.noteSizes(of: segment.number)
        state.setIndex(built.index, built.filter)
        state.convert(built.devices[...], of: segment.number)
    }

    func replay(_ record: LogRecord) throws {
        switch record.type {
        case QueueRecord.bundleType:
            guard let message = QueueRecord.decodeBundle(record.payload, withBytes: false) else {
                throw QueueError.corrupt("record \(record.sequence) is a bundle of another version")
            }
            _ = state.insert(
                QueuedBundle(message, position: record.position), sequence: record.sequence)
            lastSequence = max(lastSequence, record.sequence)
        case QueueRecord.settlementType:
            guard let settlement = SettlementRecord(record.payload) else {
                throw QueueError.corrupt(
                    "record \(record.sequence) is a settlement of another version")
            }
            apply(
                state.settlements(of: settlement, at: record.sequence),
                in: record.position.segment, isKept: true)
        default:
            throw QueueError.corrupt(
                "record \(record.sequence) has the unknown type \(record.type)")
        }
    }

    private func apply(
        _ settlements: [IndexedSettlement], in segment: UInt64, isKept: Bool = false
    ) {
        for settlement in settlements where settlement.entry.outcome.state != nil {
            let sequence = settlement.entry.sequence
            if !state.shelf.isLive(sequence) { ended.insert(sequence) }
        }
        let lost = state.replay(
            settlements, in: segment, now: now, wallClock: wallClock, isKept: isKept)
        for settlement in settlements where settlement.entry.outcome == .lost {
            recordsOfLosses[settlement.entry.sequence] = settlement.record
        }
        for settlement in lost {
            let sequence = settlement.entry.sequence
            // Where its index cannot be read, the file of losses may still name it.
            guard let number = state.shelf.segment(of: sequence),
                let row = try? state.shelf[number]?.index?.readRow(of: sequence)
            else { continue }
            state.addLost(
                LostBundle(row.bundle, sequence: sequence, foundAt: settlement.time))
        }
    }

    /// Ends what lay in segments that are gone, and remembers it where a restart finds it.
    ///
    /// - Parameters:
    ///   - file: says which bundles were lost before.
    ///   - damaged: bundles whose records are damaged, as far as later ones name them.
    func finish(_ file: LossFile, naming damaged: [LostRecord]) -> QueueState {
        do throws(LogError) {
            let (known, last) = try file.read()
            let named = Set(known.map(\.sequence))
            for bundle in known { state.addLost(bundle) }
            let isNaming = name(damaged)
            for bundle in state.lost.all {
                let record = recordsOfLosses[bundle.sequence] ?? .max
                // What the file heeds and does not name was sent again.
                if wasSentAgain(bundle) || (record <= last && !named.contains(bundle.sequence)) {
                    state.removeLost(bundle.key)
                }
            }
            if !gone.isEmpty {
                try loseGone(file)
            } else if isNaming {
                try file.write(state.lost.all, through: state.lostThrough)
            }
        } catch {
            // The indexes of what is gone are still there: the next start tries again.
            logger.error(
                "lost bundles cannot be written down",
                metadata: ["queue.error": "\(error.shortDescription)"])
        }
        for (key, sequence) in state.finishedSequences
        where isFollowed(key, sequence, ifUnreadable: true) { state.forget(key) }
        state.endReplay(through: lastSequence)
        return state
    }

    /// Takes in the names of bundles whose records are damaged; false if none of them was to be
    /// delivered.
    private func name(_ damaged: [LostRecord]) -> Bool {
        let before = state.lost.version
        for record in damaged where !ended.contains(record.sequence) {
            // A dead letter's bundle keeps its receipt: only this try is lost.
            guard let name = BundleName(record.name), !name.isRetry else { continue }
            state.addLost(LostBundle(name, sequence: record.sequence, foundAt: wallClock))
        }
        guard state.lost.version != before else { return false }
        logger.error(
            "bundles were damaged in the log and are lost: devices are told to send them again",
            metadata: ["queue.lost": "\(state.lost.count)"])
        return true
    }

    /// Whether the disk holds a later bundle of this key, or one that is to be delivered.
    private func isFollowed(_ key: BundleKey, _ sequence: UInt64, ifUnreadable: Bool) -> Bool {
        state.shelf.indexes(naming: key.bundleID, after: sequence).contains { index in
            guard let rows = try? index.readRows(of: key.bundleID) else { return ifUnreadable }
            return rows.contains { row in
                row.bundle.key == key
                    && (row.sequence > sequence || state.shelf.isLive(row.sequence))
            }
        }
    }

    private func loseGone(_ file: LossFile) throws(LogError) {
        for (segment, index) in gone {
            var rows: [IndexRow] = []
            do throws(LogError) {
                try index.forEachRow { rows.append($0) }
            } catch {
                logger.error(
                    "not all bundles of a segment that is gone can be named",
                    metadata: [
                        "queue.segment": "\(segment.number)",
                        "queue.error": "\(error.shortDescription)",
                    ])
            }
            state.lose(rows, of: segment.number, at: wallClock)
        }
        logger.error(
            "segments of the log are gone: devices are told to send their bundles again",
            metadata: ["queue.lost": "\(state.lost.count)"])
        try file.write(state.lost.all, through: state.lostThrough)
        for (segment, _) in gone { try segment.removeIndex() }
    }

    /// A later bundle of the same key is in the log, as far as that can be read.
    private func wasSentAgain(_ bundle: LostBundle) -> Bool {
        if let entry = state.find(bundle.key), entry.state != .lost { return true }
        return isFollowed(bundle.key, bundle.sequence, ifUnreadable: false)
    }
}

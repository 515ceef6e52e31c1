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
                let index = try SegmentIndex(file, of: segment.number)
            else { return false }
            let bits = try index.readSequences()
            state.adopt(
                index, try index.readFilter(), bits, devices: try index.readDevices())
            lastSequence = max(lastSequence, bits.last ?? 0)
            try apply(try index.readSettlements(), in: segment.number)
            return true
        } catch LogError.damaged {
            // What was taken in of it is found again in the records, or is gone with them.
            state.drop(segment.number)
            return false
        }
    }

    /// Puts a closed segment that was read into an index, so that it need not stay in memory.
    func end(_ segment: StoredSegment) throws {
        let built: IndexBuild
        do throws(LogError) {
            guard let made = try IndexBuild.make(state.shelf, segment) else { return }
            built = made
        } catch {
            logger.warning(
                "a segment of the log got no index",
                metadata: [
                    "queue.segment": "\(segment.number)",
                    "queue.error": "\(error.shortDescription)",
                ])
            return
        }
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
            try apply(state.settlements(of: settlement), in: record.position.segment, isKept: true)
        default:
            throw QueueError.corrupt(
                "record \(record.sequence) has the unknown type \(record.type)")
        }
    }

    private func apply(
        _ settlements: [IndexedSettlement], in segment: UInt64, isKept: Bool = false
    ) throws {
        let lost = state.replay(
            settlements, in: segment, now: now, wallClock: wallClock, isKept: isKept)
        for sequence in lost {
            guard let number = state.shelf.segment(of: sequence),
                let row = try state.shelf[number]?.index?.readRow(of: sequence)
            else { continue }
            state.addLost(row.bundle)
        }
    }

    func finish() -> QueueState {
        state.endReplay(through: lastSequence)
        return state
    }
}

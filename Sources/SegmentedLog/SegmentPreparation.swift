internal import WaybillThreads

/// A file that is to become a segment: reserved, and filled with zeros up to some point.
struct PreparedSegment: Sendable {
    let number: UInt64
    let draft: String
    let file: any OpenFile
    /// What is reserved.
    let byteCount: Int
    var filledBytes = 0
}

/// The file of the next segment, which is made in pieces while the current one is written, by another
/// thread than the writer's: a new segment then costs its header and its name.
final class SegmentPreparation: Sendable {
    private struct State {
        /// The next segment's number; nil while nobody wants it.
        var number: UInt64?
        /// How much of it is wanted by now.
        var wantedBytes = 0
        var prepared: PreparedSegment?
        var isWorking = false
        /// It did not work for this segment; the writer will see why.
        var hasFailed = false
        var isOver = false

        var hasWork: Bool {
            guard number != nil, !hasFailed, !isWorking else { return false }
            return prepared.map { $0.filledBytes < min(wantedBytes, $0.byteCount) } ?? true
        }
    }

    /// What is filled and synced in one go.
    static let pieceBytes = 4 << 20

    private let factory: SegmentFactory
    private let state = Monitor(State())

    init(_ factory: SegmentFactory) {
        self.factory = factory
    }

    /// Works until ``end()``.
    func run() {
        while state.wait(until: { $0.isOver ? false : $0.hasWork ? true : nil }) == true { work() }
    }

    /// Makes one more piece, if one is wanted.
    func work() {
        let task = state.withLock { state -> (number: UInt64, prepared: PreparedSegment?)? in
            guard !state.isOver, state.hasWork, let number = state.number else { return nil }
            state.isWorking = true
            return (number, state.prepared)
        }
        guard let task else { return }
        let result = step(task.number, task.prepared)
        let isLate = state.update { state in
            state.isWorking = false
            state.prepared = result
            state.hasFailed = result == nil
            return state.isOver
        }
        if isLate { discard(result) }
    }

    /// Nil if there is no room, or the disk does not work.
    private func step(_ number: UInt64, _ prepared: PreparedSegment?) -> PreparedSegment? {
        var prepared = prepared
        do throws(LogError) {
            var segment: PreparedSegment
            if let prepared {
                segment = prepared
            } else {
                segment = try factory.reserve(number: number)
            }
            prepared = segment
            let end = min(segment.byteCount, segment.filledBytes + Self.pieceBytes)
            try factory.fill(&segment, to: end)
            // Only for the sake of time: the sync of the header covers this, too.
            try segment.file.synchronize(overwriting: false)
            return segment
        } catch {
            discard(prepared)
            return nil
        }
    }

    /// The writer has come so far in the segment before, of so many bytes.
    func follow(_ number: UInt64, written: UInt64, of whole: UInt64) {
        let options = factory.options
        let bytes = options.segmentBytes + options.reserveBytes
        // A quarter ahead: it is ready before it is needed.
        let wanted = min(bytes, Int(Double(bytes) * 1.25 * Double(written) / Double(max(whole, 1))))
        let wakes = state.withLock { state in
            state.number = number
            state.wantedBytes = wanted / Self.pieceBytes * Self.pieceBytes
            if wanted == bytes { state.wantedBytes = bytes }
            return state.wantedBytes > 0 && state.hasWork
        }
        if wakes { state.update { _ in } }
    }

    /// What there is of the segment, which is the writer's from now on.
    func take(_ number: UInt64) -> PreparedSegment? {
        let taken = state.wait { state -> PreparedSegment?? in
            guard !state.isWorking else { return nil }
            defer {
                state.number = nil
                state.wantedBytes = 0
                state.prepared = nil
                state.hasFailed = false
            }
            return .some(state.prepared)
        }
        guard let prepared = taken.flatMap(\.self) else { return nil }
        if prepared.number == number { return prepared }
        discard(prepared)
        return nil
    }

    /// Gives back what nobody will need.
    func end() {
        let left = state.update { state in
            state.isOver = true
            defer { state.prepared = nil }
            return state.isWorking ? nil : state.prepared
        }
        discard(left)
    }

    private func discard(_ prepared: PreparedSegment?) {
        guard let prepared else { return }
        // A draft that stays behind is unlinked at the next opening.
        try? factory.fileSystem.unlink(prepared.draft)
    }
}

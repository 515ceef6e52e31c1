internal import SegmentedLog
internal import WaybillModel

/// What is kept in memory of the log's segments: which bundles in them are still to be delivered, and
/// which segments are still needed.
///
/// A closed segment can go once no bundle in it is to be delivered, as far as the disk knows, and its
/// settlements speak only of bundles whose segments have gone: else a restart would deliver those
/// again.
struct SegmentShelf: Sendable {
    struct Segment: Sendable {
        /// Bundles that are not done.
        var live: SequenceBits
        var liveCount = 0
        /// Bundles whose end is not on disk yet.
        var pinned = 0
        /// The highest sequence of a bundle in it.
        var lastSequence: UInt64
        /// All bundles in it, until there is an index.
        var bundles: [(sequence: UInt64, bundle: QueuedBundle)] = []
        /// What its records say of bundles, until there is an index.
        var settlements: [IndexedSettlement] = []
        /// The older segments that its settlements speak of, and how often.
        var references: [UInt64: References] = [:]
        var index: SegmentIndex?
        var filter: BundleFilter?
    }

    /// How many settlements in one segment speak of bundles in another.
    struct References: Sendable, Equatable {
        /// Of bundles that they end.
        var ended = 0
        var charged = 0
    }

    /// A segment among those with bundles.
    private struct Place {
        let first: UInt64
        let number: UInt64
        /// The segment's filter once more: every bundle that comes asks each of them.
        var filter: BundleFilter?
    }

    private(set) var segments: [UInt64: Segment] = [:]
    /// Segments with bundles, by their first sequence, rising; the numbers rise, too.
    private var order: [Place] = []
    /// Bundles that are not done.
    private(set) var liveCount = 0
    /// Bytes of their parts, wherever they lie.
    private(set) var liveBytes = 0
    /// The highest number that was seen: segments below it are closed.
    private(set) var newest: UInt64 = 0
    private var hasChanged = true

    /// Some segment has an index.
    private(set) var hasIndexes = false

    subscript(number: UInt64) -> Segment? { segments[number] }

    // MARK: Coming in

    /// A bundle whose record is on disk. Sequences only rise.
    mutating func add(_ bundle: QueuedBundle, sequence: UInt64) {
        let number = bundle.position.segment
        notice(number)
        if order.last?.number != number {
            order.append(Place(first: sequence, number: number))
            segments[number, default: Self.empty(from: sequence)].bundles
                .reserveCapacity(lastBundleCount)
        }
        segments[number, default: Self.empty(from: sequence)].add(bundle, sequence)
        liveCount += 1
        liveBytes += bundle.sizes.total
    }

    /// A settlement that is on disk in `segment`.
    ///
    /// - Parameter isKept: false where the segment has an index already.
    mutating func add(
        _ settlements: [IndexedSettlement], in segment: UInt64, isKept: Bool = true
    ) {
        notice(segment)
        segments[segment, default: Self.empty(from: 0)].settlements += isKept ? settlements : []
        for settlement in settlements {
            guard let target = self.segment(of: settlement.entry.sequence) else { continue }
            let isEnd = settlement.entry.outcome.state != nil
            if target != segment {
                segments[segment]?.references[target, default: References()]
                    .add(isEnd: isEnd)
            }
            guard isEnd else { continue }
            segments[target]?.pinned -= 1
            if segments[target]?.pinned == 0 { hasChanged = true }
        }
    }

    private static func empty(from first: UInt64) -> Segment {
        Segment(live: SequenceBits(from: first), lastSequence: first)
    }

    /// A closed segment as its index tells of it; all its bundles count as not done.
    mutating func add(
        _ number: UInt64, index: SegmentIndex, filter: BundleFilter, _ bits: SequenceBits
    ) {
        notice(number)
        var segment = Segment(live: bits, lastSequence: bits.last ?? 0)
        segment.liveCount = index.bundleCount
        segment.pinned = index.bundleCount
        segment.index = index
        segment.filter = filter
        hasIndexes = true
        segments[number] = segment
        if let first = bits.first {
            order.append(Place(first: first, number: number, filter: filter))
        }
        liveCount += index.bundleCount
        liveBytes += index.byteCount
    }

    /// From now on the segment's bundles are found in its index.
    mutating func setIndex(_ index: SegmentIndex, _ filter: BundleFilter, of number: UInt64) {
        hasIndexes = true
        segments[number]?.index = index
        segments[number]?.filter = filter
        segments[number]?.bundles = []
        segments[number]?.settlements = []
        if let place = order.lastIndex(where: { $0.number == number }) {
            order[place].filter = filter
        }
    }

    /// Indexes that are in memory only.
    var unwrittenIndexes: [SegmentIndex] {
        segments.values.compactMap { $0.index?.unwritten == nil ? nil : $0.index }
    }

    /// The index is on disk by now; false if its segment is gone.
    mutating func setWritten(_ index: SegmentIndex) -> Bool {
        guard let segment = segments[index.segment] else { return false }
        if index.isSame(as: segment.index) { segments[index.segment]?.index = index }
        return true
    }

    /// How many bundles the last segment with bundles but one has: the next has as many, likely.
    private var lastBundleCount: Int {
        order.dropLast().last.flatMap { segments[$0.number] }.map {
            max($0.bundles.count, $0.index?.bundleCount ?? 0)
        } ?? 0
    }

    // MARK: Going out

    /// The bundle is done; its segment stays until ``add(_:in:isKept:)`` says that the disk knows.
    ///
    /// - Returns: false if it was done already.
    mutating func finish(_ sequence: UInt64, bytes: Int) -> Bool {
        guard let number = segment(of: sequence),
            segments[number]?.live.contains(sequence) == true
        else { return false }
        segments[number]?.live.remove(sequence)
        segments[number]?.liveCount -= 1
        liveCount -= 1
        liveBytes -= bytes
        return true
    }

    /// Takes out the segments that are needed no more; cheap when nothing changed.
    mutating func takeDeletable(closed: () -> [UInt64]) -> [UInt64] {
        guard hasChanged else { return [] }
        hasChanged = false
        let closed = closed()
        var existing = Set(closed)
        var deletable: [UInt64] = []
        for number in closed {
            let segment = segments[number]
            guard segment?.pinned ?? 0 == 0,
                !(segment?.references.keys.contains(where: existing.contains) ?? false)
            else { continue }
            existing.remove(number)
            remove(number)
            deletable.append(number)
        }
        return deletable
    }

    /// The segment is not there any more, and nothing in it is to be delivered.
    mutating func remove(_ number: UInt64) {
        segments[number] = nil
        order.removeAll { $0.number == number }
    }

    // MARK: Compaction

    /// Closed segments that hold at most half as many bundles to be delivered as bundles, with how many
    /// of them; and of whose other bundles the disk knows that they are done.
    var sparse: [UInt64: Int] {
        segments.compactMapValues { segment in
            guard let index = segment.index, index.bundleCount > 0,
                segment.pinned == segment.liveCount, 2 * segment.pinned <= index.bundleCount
            else { return nil }
            return segment.pinned
        }
    }

    /// How many settlements in each segment end bundles of this one.
    func endings(in number: UInt64) -> [UInt64: Int] {
        segments.compactMapValues { $0.references[number]?.ended }
    }

    /// Takes in that a segment was written anew, without bundles that were done and what settlements in
    /// it were not needed any more.
    ///
    /// - Parameters:
    ///   - references: of the settlements that it has now.
    ///   - endings: the settlements elsewhere that nobody needs now; see ``endings(in:)``.
    mutating func replace(
        _ number: UInt64, with index: SegmentIndex, _ filter: BundleFilter,
        references: [UInt64: References], endings: [UInt64: Int]
    ) {
        setIndex(index, filter, of: number)
        segments[number]?.references = references
        for (other, count) in endings {
            guard var left = segments[other]?.references[number] else { continue }
            left.ended -= count
            segments[other]?.references[number] = left == References() ? nil : left
        }
        hasChanged = true
    }

    /// Takes back what an index said of a segment.
    mutating func drop(_ number: UInt64) {
        guard let segment = segments[number], let index = segment.index else { return }
        liveCount -= segment.liveCount
        liveBytes -= index.byteCount
        remove(number)
    }

    // MARK: Looking

    /// Sequences of the bundles in a segment that are not done, rising.
    func sequences(in number: UInt64) -> [UInt64] {
        segments[number]?.live.all ?? []
    }

    /// The segment in which a bundle lies, if it is still there.
    func segment(of sequence: UInt64) -> UInt64? {
        if let last = order.last, sequence >= last.first { return last.number }
        var (low, high) = (0, order.count)
        while low < high {
            let middle = (low + high) / 2
            if order[middle].first <= sequence { low = middle + 1 } else { high = middle }
        }
        return low > 0 ? order[low - 1].number : nil
    }

    func isLive(_ sequence: UInt64) -> Bool {
        segment(of: sequence).flatMap { segments[$0]?.live.contains(sequence) } ?? false
    }

    /// Indexes in which the bundle may be found as not done, newest first.
    func candidates(_ bundleID: BundleID) -> [SegmentIndex] {
        var found: [SegmentIndex] = []
        for place in order.indices.reversed()
        where order[place].filter?.mayHold(bundleID) == true {
            guard let segment = segments[order[place].number], segment.liveCount > 0,
                let index = segment.index
            else { continue }
            found.append(index)
        }
        return found
    }

    /// Indexes in which a bundle may be found that is not done or has a higher sequence.
    func indexes(naming bundleID: BundleID, after sequence: UInt64) -> [SegmentIndex] {
        segments.values.compactMap { segment in
            guard segment.liveCount > 0 || segment.lastSequence > sequence,
                segment.filter?.mayHold(bundleID) == true
            else { return nil }
            return segment.index
        }
    }

    /// The lowest sequence of a bundle that is not done.
    var firstLive: (sequence: UInt64, segment: UInt64)? {
        for place in order {
            guard let segment = segments[place.number], segment.liveCount > 0,
                let sequence = segment.live.first
            else { continue }
            return (sequence, place.number)
        }
        return nil
    }

    /// The lowest closed segment that has no index.
    var nextToIndex: UInt64? {
        segments.filter { $0.value.index == nil && $0.key < newest }.keys.min()
    }

    /// Indexes of segments that have bundles to deliver.
    var liveIndexes: [SegmentIndex] {
        order.compactMap { place in
            segments[place.number].flatMap { $0.liveCount > 0 ? $0.index : nil }
        }
    }

    /// Segments that have bundles to deliver, each with a sequence below theirs.
    var neededSegments: [UInt64: UInt64] {
        segments.filter { $0.value.liveCount > 0 }.mapValues(\.live.base)
    }

    /// Told of a segment's number: those below it are closed.
    mutating func notice(_ segment: UInt64) {
        guard segment > newest else { return }
        newest = segment
        hasChanged = true
    }
}

extension SegmentShelf.References {
    mutating func add(isEnd: Bool) {
        if isEnd { ended += 1 } else { charged += 1 }
    }
}

extension SegmentShelf.Segment {
    fileprivate mutating func add(_ bundle: QueuedBundle, _ sequence: UInt64) {
        if liveCount == 0, bundles.isEmpty { live = SequenceBits(from: sequence) }
        live.insert(sequence)
        liveCount += 1
        pinned += 1
        lastSequence = sequence
        bundles.append((sequence, bundle))
    }
}

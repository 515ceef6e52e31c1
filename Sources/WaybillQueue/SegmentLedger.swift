/// Which segments are still needed.
///
/// A closed segment can go once it holds no bundle that is to be delivered, and its settlements
/// speak only of bundles whose segments have gone: else a restart would deliver those again.
struct SegmentLedger: Sendable {
    private var live: [UInt64: Int] = [:]
    /// For each segment, the older ones that its settlements speak of.
    private var references: [UInt64: Set<UInt64>] = [:]
    private var newest: UInt64 = 0
    private var hasChanged = true

    mutating func addBundle(in segment: UInt64) {
        live[segment, default: 0] += 1
        notice(segment)
    }

    /// Counts a settlement that is on disk in `segment`.
    ///
    /// - Parameters:
    ///   - done: segments of the bundles that are done with it, one each.
    ///   - charged: segments of those whose attempts it counts.
    mutating func addSettlement(in segment: UInt64, done: [UInt64], charged: [UInt64]) {
        notice(segment)
        for bundleSegment in done {
            let left = (live[bundleSegment] ?? 1) - 1
            live[bundleSegment] = left > 0 ? left : nil
            if left <= 0 { hasChanged = true }
        }
        for bundleSegment in done + charged where bundleSegment != segment {
            references[segment, default: []].insert(bundleSegment)
        }
    }

    /// Takes out the segments that are needed no more; cheap when nothing changed.
    mutating func takeDeletable(closed: () -> [UInt64]) -> [UInt64] {
        guard hasChanged else { return [] }
        hasChanged = false
        let closed = closed()
        var existing = Set(closed)
        var deletable: [UInt64] = []
        for segment in closed where live[segment] == nil {
            guard references[segment]?.isDisjoint(with: existing) ?? true else { continue }
            existing.remove(segment)
            references[segment] = nil
            deletable.append(segment)
        }
        return deletable
    }

    private mutating func notice(_ segment: UInt64) {
        guard segment > newest else { return }
        newest = segment
        hasChanged = true
    }
}

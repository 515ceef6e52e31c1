internal import WaybillModel

/// Bundles whose bytes were found damaged and that were not sent again yet: the device that asks is
/// to hear of it, however late.
///
/// Lives in memory. A restart finds them again from the log for as long as the segments that hold
/// their records are there, which other bundles in them decide; after that a bundle that was lost is
/// as unknown as one that never came. Both times sending again is taken as new.
struct LostBundles: Sendable {
    private struct Entry {
        let bundle: BundleEntry
        /// Of the entry's place in the line.
        let number: UInt64
    }

    private let entriesMax: Int
    private var entries: [BundleKey: Entry] = [:]
    /// Oldest first; also of those that were sent again meanwhile.
    private var order = Line<(key: BundleKey, number: UInt64)>()
    private var nextNumber: UInt64 = 0

    /// - Parameter entriesMax: beyond it the oldest is forgotten.
    init(entriesMax: Int) {
        self.entriesMax = entriesMax
    }

    subscript(key: BundleKey) -> BundleEntry? { entries[key]?.bundle }

    mutating func add(_ bundle: BundleEntry, for key: BundleKey) {
        entries[key] = Entry(bundle: bundle, number: nextNumber)
        order.append((key, nextNumber))
        nextNumber += 1
        while order.count > entriesMax, let oldest = order.popFirst() {
            guard entries[oldest.key]?.number == oldest.number else { continue }
            entries[oldest.key] = nil
        }
    }

    /// The bundle was sent again.
    mutating func remove(_ key: BundleKey) {
        entries[key] = nil
    }
}

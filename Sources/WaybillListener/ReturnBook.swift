internal import Synchronization
internal import WaybillThreads

/// How often bundles were given back for reasons that are not their own, and when that was logged
/// last; in memory, for all listeners of a pool.
final class ReturnBook: Sendable {
    /// What is to be done about a bundle that is given back now.
    struct Note: Equatable {
        /// How often it was given back, this time included.
        let count: Int
        /// Nothing was logged of it for a minute.
        let isWorthALine: Bool
    }

    private struct Entry {
        var count = 0
        var quietUntil: Deadline?
    }

    /// Beyond that it begins anew: the waits are short again, and lines come again.
    private static let entriesMax = 10_000
    private static let quietFor = Duration.seconds(60)

    private let entries = Mutex<[UInt64: Entry]>([:])

    /// - Parameter sequence: the bundle's in the queue.
    func note(_ sequence: UInt64, now: Deadline = .now) -> Note {
        entries.withLock { entries in
            var entry = entries[sequence] ?? Entry()
            if entry.count == 0, entries.count >= Self.entriesMax { entries = [:] }
            entry.count += 1
            let isWorthALine = entry.quietUntil.map { $0 <= now } ?? true
            if isWorthALine { entry.quietUntil = now.advanced(by: Self.quietFor) }
            entries[sequence] = entry
            return Note(count: entry.count, isWorthALine: isWorthALine)
        }
    }

    /// The bundle is done.
    func forget(_ sequence: UInt64) {
        entries.withLock { entries in
            guard !entries.isEmpty else { return }
            entries[sequence] = nil
        }
    }
}

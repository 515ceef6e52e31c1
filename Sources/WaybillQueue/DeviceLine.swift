internal import SegmentedLog
internal import WaybillModel
internal import WaybillThreads

/// The bundles of one device that wait, in the order in which they were received.
struct DeviceLine: Sendable {
    /// A device's bundles in a segment that has an index.
    struct Run: Sendable, Equatable {
        let segment: UInt32
        /// Where to go on reading.
        let row: UInt32
    }

    let tenant: TenantID
    /// In memory, next first; older than those in `runs`.
    var waiting = Line<UInt64>()
    /// On disk only; some of them may be done or in memory.
    var runs = Line<Run>()
    /// In memory; younger than those in `runs`.
    private(set) var tail = Line<UInt64>()
    var leased = 0
    /// Nothing is handed out before; set by a retry.
    var due: Deadline?
    /// Somebody reads its first run.
    var isLoading = false

    /// How many at a time become ready, so that the rest may go out of memory.
    private static let stepMax = 64

    init(tenant: TenantID) {
        self.tenant = tenant
    }

    /// Nothing waits, as far as can be said without reading its runs.
    var isEmpty: Bool { waiting.isEmpty && runs.isEmpty && tail.isEmpty }

    /// The next bundle is to be read from an index.
    var needsLoading: Bool { waiting.isEmpty && !runs.isEmpty }

    /// Takes in the youngest bundle.
    ///
    /// - Returns: true if there was nothing to hand out and nothing handed out before.
    mutating func arrive(_ sequence: UInt64) -> Bool {
        defer { tail.append(sequence) }
        return isEmpty && leased == 0
    }

    /// The next bundle that is in memory.
    mutating func first() -> UInt64? {
        guard waiting.isEmpty, runs.isEmpty, !tail.isEmpty else { return waiting.first }
        if tail.count <= Self.stepMax {
            waiting = tail
            tail = Line()
        } else {
            for _ in 0..<Self.stepMax {
                if let sequence = tail.popFirst() { waiting.append(sequence) }
            }
        }
        return waiting.first
    }

    /// Takes the bundles of a segment out of memory, where they are found by `run` from now on.
    mutating func convert(through last: UInt64, to run: Run) -> [UInt64] {
        var converted: [UInt64] = []
        while let sequence = tail.first, sequence <= last {
            _ = tail.popFirst()
            converted.append(sequence)
        }
        if !converted.isEmpty { runs.append(run) }
        return converted
    }

    /// Drops what was done while the log was read: bundles in memory, and runs in segments.
    mutating func keep(where isWanted: (UInt64) -> Bool, in isNeeded: (UInt32) -> Bool) {
        tail.removeAll { !isWanted($0) }
        runs.removeAll { !isNeeded($0.segment) }
    }

    mutating func dropRuns(in segment: UInt32) {
        runs.removeAll { $0.segment == segment }
    }

    /// Reads a segment's rows anew, from another one on.
    mutating func replaceRun(in segment: UInt32, from row: UInt32) {
        var changed = Line<Run>()
        for run in runs.all {
            changed.append(run.segment == segment ? Run(segment: segment, row: row) : run)
        }
        runs = changed
    }
}

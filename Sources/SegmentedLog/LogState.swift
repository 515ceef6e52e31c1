/// A segment that can be read.
struct SegmentInfo: Sendable {
    let cipher: SegmentCipher
    /// Where its synced records end.
    var end: UInt64
    /// Its file's size.
    var fileBytes: Int
    /// Of its header.
    let salt: [UInt8]
    /// It is not what it was written as first.
    var isRewritten = false
}

/// A record on its way to the disk.
struct PendingAppend: Sendable {
    let type: UInt16
    let payload: [UInt8]
    let name: [UInt8]
    let recordClass: RecordClass
    let completion: @Sendable (Result<AppendedRecord, LogError>) -> Void
}

/// What callers and the writer share; see ``SegmentedLog/SegmentedLog``.
struct LogState: Sendable {
    var pending: [PendingAppend] = []
    var pendingBytes = 0
    var deletions: [UInt64] = []
    /// Segments whose deletion was asked for, until their files are gone.
    var deleting: Set<UInt64> = []
    /// Rewritten segments that are to take the places of the old ones.
    var replacements: [SegmentReplacement] = []
    /// Segments that were written anew in this life.
    var rewritten: Set<UInt64> = []
    /// How many records have to wait before the writer is woken.
    var wakeCount = 1
    var isClosing = false
    /// Set once, by the writer.
    var failure: LogError?
    var segments: [UInt64: SegmentInfo]
    var current: UInt64
    /// Open files of segments that were read lately.
    var files: [UInt64: any OpenFile] = [:]

    /// Whether the writer has anything to do.
    var hasWork: Bool {
        !pending.isEmpty || !deletions.isEmpty || !replacements.isEmpty || isClosing
    }

    /// What the writer does next.
    enum Work: Sendable {
        case batch([PendingAppend], deletions: [UInt64], replacements: [SegmentReplacement])
        case close
    }

    /// Takes all that has arrived, up to `bytesMax`; nil when there is nothing to do.
    mutating func takeWork(bytesMax: Int) -> Work? {
        if pending.isEmpty, deletions.isEmpty, replacements.isEmpty {
            return isClosing ? .close : nil
        }
        var bytes = 0
        let end =
            pending.firstIndex { append in
                bytes += append.payload.count
                return bytes > bytesMax
            } ?? pending.count
        let count = max(end, min(1, pending.count))
        let taken: [PendingAppend]
        if count == pending.count {
            taken = pending
            pending = []
            pending.reserveCapacity(count)
        } else {
            taken = Array(pending[..<count])
            pending.removeFirst(count)
        }
        pendingBytes -= taken.reduce(0) { $0 + $1.payload.count }
        defer {
            deletions = []
            replacements = []
        }
        return .batch(taken, deletions: deletions, replacements: replacements)
    }
}

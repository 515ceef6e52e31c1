/// Why the log could not do what it was asked.
package enum LogError: Error, Sendable, Equatable {
    /// A write or sync failed, now or earlier: this process acknowledges nothing more. Fatal.
    case failed(errno: Int32, operation: String)
    /// No room for the record; nothing was kept of it. Retry later.
    case diskFull
    /// The log was closed.
    case closed
    /// A segment's key is wrapped by a master key that was not given; this is its id.
    case wrongKey(keyID: String)
    /// The directory cannot be opened as a log of this version.
    case unreadable(String)
    /// Another process, or another log in this one, owns the directory.
    case locked
    /// The payload is over the limit for a record.
    case tooLarge(byteCount: Int)
    /// More bytes wait to be written than may be held in memory. Retry later.
    case overloaded
    /// No good record lies at this position.
    case damaged(segment: UInt64, offset: UInt32)
    /// The segment was deleted.
    case noSuchSegment(UInt64)
    /// A system call failed and nothing was lost by it.
    case io(errno: Int32, operation: String)

    /// True when the same call may succeed later.
    package var isRetryable: Bool {
        switch self {
        case .diskFull, .locked, .overloaded, .io: true
        default: false
        }
    }

    /// True when this process cannot go on with the log.
    package var isFatal: Bool {
        switch self {
        case .failed, .wrongKey, .unreadable: true
        default: false
        }
    }

    /// From a closed set, for metric labels.
    package var shortDescription: String {
        switch self {
        case .failed: "failed"
        case .diskFull: "disk_full"
        case .closed: "closed"
        case .wrongKey: "wrong_key"
        case .unreadable: "unreadable"
        case .locked: "locked"
        case .tooLarge: "too_large"
        case .overloaded: "overloaded"
        case .damaged: "damaged"
        case .noSuchSegment: "no_such_segment"
        case .io: "io"
        }
    }
}

extension LogError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .failed(let number, let operation):
            "\(operation) failed (errno \(number)); the log takes nothing more"
        case .diskFull: "no room on the log's disk"
        case .closed: "the log is closed"
        case .wrongKey(let id): "the log is sealed under the master key \(id)"
        case .unreadable(let reason): "not a log of this version: \(reason)"
        case .locked: "the log's directory is in use"
        case .tooLarge(let count): "a record of \(count) bytes is over the limit"
        case .overloaded: "too many bytes wait to be written"
        case .damaged(let segment, let offset):
            "no good record at offset \(offset) of segment \(segment)"
        case .noSuchSegment(let number): "segment \(number) is gone"
        case .io(let number, let operation): "\(operation) failed (errno \(number))"
        }
    }
}

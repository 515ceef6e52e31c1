/// Why the queue could not do what it was asked.
package enum QueueError: Error, Sendable, Equatable {
    /// A sync or write failed: what is on disk is known only after a restart. Fatal.
    case unhealthy
    /// No room for the record; settling goes on. Retry later.
    case diskFull
    /// The lease has ended and its bundles may be with somebody else. Drop the work.
    case staleLease
    /// The queue was closed.
    case closed
    /// The master key does not open the log; the one wanted has this id.
    case wrongKey(keyID: String)
    /// The directory is not a log that this version can open.
    case corrupt(String)
    /// Another process has the directory open.
    case locked
    /// More bytes wait for the disk than the queue holds in memory. Retry later.
    case overloaded
    /// The message does not fit a record.
    case tooLarge(byteCount: Int)
    /// A system call failed.
    case io(errno: Int32, operation: String)

    /// True when the same call may succeed later.
    package var isRetryable: Bool {
        switch self {
        case .diskFull, .locked, .overloaded, .io: true
        default: false
        }
    }

    /// True when this process cannot go on with the queue.
    package var isFatal: Bool {
        switch self {
        case .unhealthy, .wrongKey, .corrupt: true
        default: false
        }
    }

    /// From a closed set, for metric labels.
    package var shortDescription: String {
        switch self {
        case .unhealthy: "unhealthy"
        case .diskFull: "disk_full"
        case .staleLease: "stale_lease"
        case .closed: "closed"
        case .wrongKey: "wrong_key"
        case .corrupt: "corrupt"
        case .locked: "locked"
        case .overloaded: "overloaded"
        case .tooLarge: "too_large"
        case .io: "io"
        }
    }
}

extension QueueError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .unhealthy: "a sync or write of the queue's log failed; it takes nothing more"
        case .diskFull: "no room for the queue's log"
        case .staleLease: "the lease has ended"
        case .closed: "the queue is closed"
        case .wrongKey(let id): "the queue's log was sealed under the master key \(id)"
        case .corrupt(let reason): "the queue's log cannot be opened: \(reason)"
        case .locked: "another process has the queue's directory open"
        case .overloaded: "too many bytes wait for the disk"
        case .tooLarge(let count): "a message of \(count) bytes does not fit a record"
        case .io(let number, let operation): "\(operation) failed (errno \(number))"
        }
    }
}

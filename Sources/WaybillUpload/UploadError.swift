package import WaybillQueue
package import WaybillSealing

/// Why a part or its bundle was not received.
package enum UploadError: Error, Sendable {
    /// The part has more bytes than a part may have.
    case tooLarge(bytesMax: Int)
    /// The bytes do not have the digest that the sender told.
    case digestMismatch(DigestAlgorithm)
    /// The part breaks the profile of a sealed bundle; it was not kept.
    case refused(ArchiveRefusal)
    /// Other bytes are known under this bundle id.
    case conflict
    /// No room for the part's file, or the disk's floor is reached.
    case diskFull
    /// More is waiting to be settled than may wait.
    case backlogFull
    /// An operator lets nothing new in.
    case draining
    /// A system call on a part's file failed.
    case io(errno: Int32, operation: String)
    /// No thread for the files of parts.
    case noThread(errno: Int32)
    /// The queue did not take the bundle.
    case queue(QueueError)

    /// Sorts a failed system call by what the sender can do about it.
    init(errno number: Int32, operation: String) {
        self =
            number == Self.noSpace || number == Self.quota
            ? .diskFull : .io(errno: number, operation: operation)
    }

    /// True when sending the same bytes again may succeed.
    package var isRetryable: Bool {
        switch self {
        case .tooLarge, .digestMismatch, .refused, .conflict: false
        case .diskFull, .backlogFull, .draining, .io, .noThread: true
        case .queue(let error): error.isRetryable || error.isFatal || error == .closed
        }
    }

    /// True when this process cannot receive anything more.
    package var isFatal: Bool {
        guard case .queue(let error) = self else { return false }
        return error.isFatal
    }

    /// From a closed set, for metric labels.
    package var shortDescription: String {
        switch self {
        case .tooLarge: "too_large"
        case .digestMismatch: "digest_mismatch"
        case .refused(let refusal): refusal.shortDescription
        case .conflict: "idempotency_conflict"
        case .diskFull: "disk_full"
        case .backlogFull: "backlog_full"
        case .draining: "draining"
        case .io: "io"
        case .noThread: "no_thread"
        case .queue(let error): "queue_" + error.shortDescription
        }
    }
}

extension UploadError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .tooLarge(let bytesMax): "a part has at most \(bytesMax) bytes"
        case .digestMismatch(let algorithm): "the bytes do not have the \(algorithm.rawValue) told"
        case .refused(let refusal): refusal.description
        case .conflict: "other bytes are known under this bundle id"
        case .diskFull: "no room for the part"
        case .backlogFull: "too much is waiting to be settled"
        case .draining: "nothing new is let in"
        case .io(let number, let operation): "\(operation) failed (errno \(number))"
        case .noThread(let number): "cannot start a thread (errno \(number))"
        case .queue(let error): error.description
        }
    }
}

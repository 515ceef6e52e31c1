package import WaybillQueue
package import WaybillSealing
internal import WaybillThreads

/// Why a part or its bundle was not received.
package enum UploadError: Error, Sendable {
    /// The part has more bytes than a part may have.
    case tooLarge(bytesMax: Int)
    /// The bytes do not have the digest that the sender told.
    case digestMismatch(DigestAlgorithm)
    /// The part breaks the profile of a sealed bundle; it was not kept.
    case refused(ArchiveRefusal)
    /// Other bytes, or another declaration, are known under this bundle id.
    case conflict
    /// A part has more bytes than were declared.
    case pastDeclared(byteCount: Int)
    /// A part has fewer bytes than were declared, so that its digest cannot be the declared one.
    case shortOfDeclared(byteCount: Int)
    /// The parts declared have more bytes than a bundle may have.
    case bundleTooLarge(bytesMax: Int)
    /// More parts are declared than a bundle may have.
    case tooManyParts(max: Int)
    /// The device has as much unfinished as it may have.
    case tooManyOpen(OpenLimit)
    /// No such part is declared; nil parts when the whole bundle is not.
    case notDeclared(partCount: Int?)
    /// All parts of the bundle are here: it cannot be given up.
    case alreadyComplete
    /// The database was asked for a bundle that is not on this server, and did not answer.
    case historyUnavailable
    /// The device has no such upload.
    case uploadUnknown
    /// The upload was ended, replaced or has expired.
    case uploadGone
    /// All bytes of the upload are here already.
    case uploadComplete(offset: Int)
    /// The bytes are not those that come next.
    case offsetMismatch(expected: Int, provided: Int)
    /// The sender contradicts what was said of the upload's length before.
    case lengthMismatch(offset: Int)
    /// Another request for the same upload has come.
    case takenOver
    /// A concatenation of what is no complete piece of this device.
    case notConcatenable
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

    /// Makes a directory, mode 0700, if it is missing; durable on return.
    static func makeDirectory(_ path: String) throws(UploadError) {
        do throws(DurableDirectory.Failure) {
            try DurableDirectory.make(path)
        } catch {
            throw UploadError(errno: error.errno, operation: error.operation)
        }
    }

    /// True when sending the same bytes again may succeed.
    package var isRetryable: Bool {
        switch self {
        case .tooLarge, .digestMismatch, .refused, .conflict, .pastDeclared, .shortOfDeclared,
            .bundleTooLarge, .tooManyParts, .notDeclared, .alreadyComplete, .uploadUnknown,
            .uploadGone, .uploadComplete, .lengthMismatch, .notConcatenable, .offsetMismatch,
            .takenOver:
            false
        case .diskFull, .backlogFull, .draining, .io, .noThread, .tooManyOpen,
            .historyUnavailable:
            true
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
        case .pastDeclared: "past_declared"
        case .shortOfDeclared: "short_of_declared"
        case .bundleTooLarge: "bundle_too_large"
        case .tooManyParts: "too_many_parts"
        case .tooManyOpen: "too_many_open"
        case .notDeclared: "not_declared"
        case .alreadyComplete: "already_complete"
        case .historyUnavailable: "history_unavailable"
        case .uploadUnknown: "upload_unknown"
        case .uploadGone: "upload_gone"
        case .uploadComplete: "upload_complete"
        case .offsetMismatch: "offset_mismatch"
        case .lengthMismatch: "length_mismatch"
        case .takenOver: "taken_over"
        case .notConcatenable: "not_concatenable"
        case .diskFull: "disk_full"
        case .backlogFull: "backlog_full"
        case .draining: "draining"
        case .io: "io"
        case .noThread: "no_thread"
        case .queue(let error): "queue_" + error.shortDescription
        }
    }
}

/// What a device may have unfinished.
package enum OpenLimit: Sendable, Equatable, CustomStringConvertible {
    case bundles(max: Int)
    case bytes(max: Int)
    case pieces(max: Int)

    package var description: String {
        switch self {
        case .bundles(let max): "a device has at most \(max) unfinished bundles"
        case .pieces(let max): "a device has at most \(max) uploads that are to be concatenated"
        case .bytes(let max): "the unfinished bundles of a device have at most \(max) bytes"
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
        case .pastDeclared(let count): "the part was declared with \(count) bytes and has more"
        case .shortOfDeclared(let count): "the part was declared with \(count) bytes and has fewer"
        case .bundleTooLarge(let bytesMax): "a bundle has at most \(bytesMax) bytes"
        case .tooManyParts(let max): "a bundle has at most \(max) parts"
        case .tooManyOpen(let limit): limit.description
        case .notDeclared(let count?): "the bundle was declared with \(count) parts"
        case .notDeclared(nil): "the bundle was not declared"
        case .alreadyComplete: "all parts of the bundle are here"
        case .historyUnavailable: "the database does not say whether it knows the bundle"
        case .uploadUnknown: "there is no such upload"
        case .uploadGone: "the upload was ended"
        case .uploadComplete: "all bytes of the upload are here"
        case .offsetMismatch(let expected, let provided):
            "the next byte is number \(expected), not \(provided)"
        case .lengthMismatch: "another length was told before"
        case .takenOver: "another request for the same upload has come"
        case .notConcatenable: "only complete pieces can be concatenated"
        case .diskFull: "no room for the part"
        case .backlogFull: "too much is waiting to be settled"
        case .draining: "nothing new is let in"
        case .io(let number, let operation): "\(operation) failed (errno \(number))"
        case .noThread(let number): "cannot start a thread (errno \(number))"
        case .queue(let error): error.description
        }
    }
}

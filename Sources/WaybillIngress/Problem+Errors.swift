internal import WaybillModel
internal import WaybillQueue
internal import WaybillSealing
internal import WaybillStore
internal import WaybillUpload

extension Problem {
    /// What a device is told of a failed upload.
    init(_ error: UploadError) {
        switch error {
        case .tooLarge(let bytesMax):
            self.init(.tooLarge, "A part has at most \(bytesMax) bytes.")
        case .digestMismatch(let algorithm):
            self.init(
                .digestMismatch,
                "The bytes received do not have the \(algorithm.rawValue) that was sent or declared."
            )
        case .refused(let refusal):
            self = .archive(
                code: refusal.code.rawValue,
                detail: "Broken rule: \(refusal.rule) (byte \(refusal.offset)).")
        case .conflict:
            self.init(
                .idempotencyConflict,
                "Other bytes are known under this bundle id; seal them under a new one.")
        case .pastDeclared(let byteCount):
            self.init(.tooLarge, "The part was declared with \(byteCount) bytes, not more.")
        case .shortOfDeclared(let byteCount):
            self.init(
                .digestMismatch,
                "The part was declared with \(byteCount) bytes: these cannot be the ones.")
        case .bundleTooLarge(let bytesMax):
            self.init(.tooLarge, "A bundle has at most \(bytesMax) bytes.")
        case .tooManyParts(let max):
            self.init(.tooLarge, "A bundle has at most \(max) parts.")
        case .tooManyOpen(let limit):
            self.init(
                .tooManyOpen, "Finish some or give them up: \(limit.description).", retryAfter: 60)
        case .notDeclared(let count?):
            self.init(.notFound, "The bundle was declared with \(count) parts.")
        case .notDeclared(nil):
            self.init(.notFound, "This device declared no such bundle.")
        case .alreadyComplete:
            self.init(
                .alreadyComplete, "The bundle is complete; its receipt says what became of it.")
        case .historyUnavailable:
            self.init(.databaseUnavailable, "The database does not answer.", retryAfter: 5)
        case .uploadUnknown, .uploadGone, .uploadComplete, .offsetMismatch, .lengthMismatch,
            .takenOver, .notConcatenable:
            self.init(ofUpload: error)
        case .diskFull:
            self.init(.diskFull, "There is no room for the part.", retryAfter: 60)
        case .backlogFull:
            self.init(
                .backlogFull, "Too many bundles are waiting to be processed.", retryAfter: 30)
        case .draining:
            self.init(.shuttingDown, "The server takes no new bundles.", retryAfter: 30)
        case .io, .noThread:
            self.init(.internalError, "The part could not be stored.", retryAfter: 10)
        case .queue(let error):
            self.init(error)
        }
    }

    /// What a device is told that goes on with an upload and cannot.
    private init(ofUpload error: UploadError) {
        switch error {
        case .uploadGone:
            self.init(.gone, "The upload was ended; ask `GET /v1/bundles/{id}` how to go on.")
        case .uploadComplete:
            self.init(.alreadyComplete, "All bytes of the upload are here.")
            type = Self.uploadTypes + "completed-upload"
        case .offsetMismatch(let expected, let provided):
            self.init(.offsetConflict, "The next byte is number \(expected), not \(provided).")
            type = Self.uploadTypes + "mismatching-upload-offset"
            expectedOffset = expected
            providedOffset = provided
        case .lengthMismatch:
            self.init(.invalidRequest, "The upload was said to have another length.")
            type = Self.uploadTypes + "inconsistent-upload-length"
        case .takenOver:
            self.init(.offsetConflict, "Another request for the same upload has come.")
        case .notConcatenable:
            self.init(
                .invalidRequest, "Upload-Concat names complete partial uploads of this device.")
        default:
            self.init(.notFound, "This device has no such upload.")
        }
    }

    /// Where the IETF's resumable upload names its problems.
    private static let uploadTypes = "https://iana.org/assignments/http-problem-types#"

    private init(_ error: QueueError) {
        switch error {
        case .diskFull:
            self.init(.diskFull, "There is no room for the bundle.", retryAfter: 60)
        case .overloaded:
            self.init(.backlogFull, "The queue is taking as much as it can.", retryAfter: 1)
        case .tooLarge:
            self.init(.tooLarge, "The part does not fit the queue.")
        case .unhealthy, .closed:
            self.init(.shuttingDown, "The server takes no more bundles.", retryAfter: 5)
        case .io, .corrupt, .locked, .wrongKey, .staleLease:
            self.init(.internalError, "The bundle could not be stored.", retryAfter: 10)
        }
    }

    /// What a device is told when the database did not do what was asked.
    init(_ error: StoreError) {
        switch error {
        case .codeInvalid:
            self.init(.codeInvalid, "The code is unknown, used or too old.")
        case .notIssued(let last):
            self.init(.notIssued, "The highest receipt number is \(last).")
        case .notFound:
            self.init(.notFound, "There is no such thing.")
        case .alreadyExists:
            self.init(.alreadyExists, "It exists already.")
        case .revoked:
            self.init(.unauthorized, "The device is revoked.")
        case .invalid(let what):
            self.init(.invalidRequest, "Invalid \(what).")
        case .unavailable:
            self.init(.databaseUnavailable, "The database does not answer.", retryAfter: 5)
        case .postgres where error.isRetryable:
            self.init(.databaseUnavailable, "The database does not answer.", retryAfter: 5)
        case .postgres, .unknownDevice, .cannotOpenSealed, .cryptography:
            self.init(.internalError, "The server failed.", retryAfter: 10)
        }
    }
}

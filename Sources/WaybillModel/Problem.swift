package import HTTPTypes

/// An error answer: RFC 9457 `application/problem+json` with a stable code.
package struct Problem: Error, Codable, Sendable, Equatable {
    package static let mediaType = "application/problem+json"

    package var title: String
    package var status: Int
    package var code: String
    package var detail: String
    package var retryable: Bool
    /// Seconds to wait before the next try; sent as `Retry-After` as well.
    package var retryAfter: Int?
    /// A URI that names the problem beyond this project; nil for `about:blank`.
    package var type: String?
    /// Where an upload stands, and where the device took it to stand.
    package var expectedOffset: Int?
    package var providedOffset: Int?

    package init(
        title: String, status: Int, code: String, detail: String, retryable: Bool,
        retryAfter: Int? = nil
    ) {
        self.title = title
        self.status = status
        self.code = code
        self.detail = detail
        self.retryable = retryable
        self.retryAfter = retryAfter
    }

    package init(_ code: ProblemCode, _ detail: String, retryAfter: Int? = nil) {
        self.init(
            title: code.title, status: code.status.code, code: code.rawValue, detail: detail,
            retryable: code.isRetryable, retryAfter: retryAfter)
    }

    /// A refusal of an archive's structure: 422 with the rule's own code.
    package static func archive(code: String, detail: String) -> Problem {
        Problem(
            title: "The archive breaks the profile", status: 422, code: code, detail: detail,
            retryable: false)
    }

    enum CodingKeys: String, CodingKey {
        case title, status, code, detail, retryable, type
        case retryAfter = "retry_after"
        case expectedOffset = "expected-offset"
        case providedOffset = "provided-offset"
    }
}

/// The codes of CONTRACT.md, "Codes": request, server, and the operator's side.
package enum ProblemCode: String, Sendable, CaseIterable {
    case unauthorized
    case notFound = "not_found"
    case invalidRequest = "invalid_request"
    case idempotencyKeyMissing = "idempotency_key_missing"
    case idempotencyConflict = "idempotency_conflict"
    case digestMismatch = "digest_mismatch"
    case offsetConflict = "offset_conflict"
    case gone
    case alreadyComplete = "already_complete"
    case notIssued = "not_issued"
    case tooLarge = "too_large"
    case unsupportedMediaType = "unsupported_media_type"
    case methodNotAllowed = "method_not_allowed"
    case requestTimeout = "request_timeout"
    case headerTooLarge = "header_too_large"
    case tooManyOpen = "too_many_open"
    case rateLimited = "rate_limited"
    case codeInvalid = "code_invalid"
    case forbidden
    case alreadyExists = "already_exists"
    case preconditionFailed = "precondition_failed"
    case databaseUnavailable = "database_unavailable"
    case backlogFull = "backlog_full"
    case shuttingDown = "shutting_down"
    case diskFull = "disk_full"
    case internalError = "internal_error"

    package var status: HTTPResponse.Status {
        switch self {
        case .unauthorized: .unauthorized
        case .notFound: .notFound
        case .invalidRequest, .idempotencyKeyMissing: .badRequest
        case .idempotencyConflict, .digestMismatch: .unprocessableContent
        case .gone: .gone
        case .offsetConflict, .alreadyComplete, .notIssued, .alreadyExists: .conflict
        case .preconditionFailed: .preconditionFailed
        case .tooLarge: .contentTooLarge
        case .unsupportedMediaType: .unsupportedMediaType
        case .methodNotAllowed: .methodNotAllowed
        case .requestTimeout: .requestTimeout
        case .headerTooLarge: .requestHeaderFieldsTooLarge
        case .tooManyOpen, .rateLimited: .tooManyRequests
        case .codeInvalid, .forbidden: .forbidden
        case .databaseUnavailable, .backlogFull, .shuttingDown: .serviceUnavailable
        case .diskFull: .init(code: 507, reasonPhrase: "Insufficient Storage")
        case .internalError: .internalServerError
        }
    }

    package var isRetryable: Bool {
        switch self {
        case .databaseUnavailable, .backlogFull, .shuttingDown, .diskFull, .rateLimited,
            .tooManyOpen, .requestTimeout, .internalError:
            true
        default: false
        }
    }

    package var title: String {
        switch self {
        case .unauthorized: "No valid token"
        case .notFound: "Not found"
        case .invalidRequest: "The request is not valid"
        case .idempotencyKeyMissing: "Idempotency-Key is missing"
        case .idempotencyConflict: "Other bytes under a known bundle id"
        case .digestMismatch: "The digest does not match the bytes"
        case .offsetConflict: "The offset does not match"
        case .gone: "The upload was ended"
        case .alreadyComplete: "The bundle is complete"
        case .notIssued: "No such receipt was issued"
        case .tooLarge: "Too large"
        case .unsupportedMediaType: "Media type not supported"
        case .methodNotAllowed: "Method not allowed"
        case .requestTimeout: "The request came too slowly"
        case .headerTooLarge: "Header too large"
        case .tooManyOpen: "Too many unfinished bundles"
        case .rateLimited: "Too many requests"
        case .codeInvalid: "The code is not valid"
        case .forbidden: "Not allowed"
        case .alreadyExists: "It exists already"
        case .preconditionFailed: "Somebody else changed it"
        case .databaseUnavailable: "The database is away"
        case .backlogFull: "The backlog is full"
        case .shuttingDown: "The server is shutting down"
        case .diskFull: "The disk is full"
        case .internalError: "The server failed"
        }
    }
}

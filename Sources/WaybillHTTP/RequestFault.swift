package import WaybillModel

/// Why a connection's bytes are no request that is answered; the connection ends.
package enum RequestFault: Error, Sendable, Equatable, CaseIterable {
    case requestLine
    case version
    case target
    case field
    case foldedField
    case lineEnd
    case host
    case contentLength
    case transferEncoding
    case chunk
    /// A digest that comes after the body: it would not be checked.
    case lateDigest
    case headTooLarge
    case tooManyFields
    case headTooSlow
    case bodyTooSlow
    case truncated
    case readerTooSlow
    /// No fault of the peer's: the server ends and cannot wait for the rest.
    case shuttingDown

    /// Nobody sent it by mistake: sending the same again brings the same, but for the slow ones.
    package var isRetryable: Bool {
        switch self {
        case .headTooSlow, .bodyTooSlow, .truncated, .readerTooSlow, .shuttingDown: true
        default: false
        }
    }

    package var isFatal: Bool { false }

    /// Whether the peer is to blame.
    package var isPeers: Bool { self != .shuttingDown }

    /// From a closed set, for metric labels.
    package var shortDescription: String {
        switch self {
        case .requestLine: "request_line"
        case .version: "version"
        case .target: "target"
        case .field: "field"
        case .foldedField: "folded_field"
        case .lineEnd: "line_end"
        case .host: "host"
        case .contentLength: "content_length"
        case .transferEncoding: "transfer_encoding"
        case .chunk: "chunk"
        case .lateDigest: "late_digest"
        case .headTooLarge: "head_too_large"
        case .tooManyFields: "too_many_fields"
        case .headTooSlow: "head_too_slow"
        case .bodyTooSlow: "body_too_slow"
        case .truncated: "truncated"
        case .readerTooSlow: "reader_too_slow"
        case .shuttingDown: "shutting_down"
        }
    }

    /// What the peer is told.
    package var problem: Problem {
        switch self {
        case .headTooLarge, .tooManyFields: Problem(.headerTooLarge, detail)
        case .headTooSlow, .bodyTooSlow, .readerTooSlow: Problem(.requestTimeout, detail)
        case .shuttingDown: Problem(.shuttingDown, detail, retryAfter: 5)
        default: Problem(.invalidRequest, detail)
        }
    }

    private var detail: String {
        switch self {
        case .requestLine: "The request line is not `METHOD target HTTP/1.1`."
        case .version: "HTTP/1.1 and HTTP/1.0 are spoken here."
        case .target: "The request's target is not a path or an http URL."
        case .field: "A header field has a character that it must not have, or no colon."
        case .foldedField: "A header field goes on in a second line."
        case .lineEnd: "A line does not end with CR LF."
        case .host: "There must be one Host field, with a host."
        case .contentLength:
            "There must be one Content-Length of digits, not beside Transfer-Encoding."
        case .transferEncoding: "Transfer-Encoding is `chunked`, once, in HTTP/1.1, or absent."
        case .chunk: "A chunk of the body is malformed."
        case .lateDigest: "Send Content-Digest and Repr-Digest before the body, not as trailers."
        case .headTooLarge: "The request's head is too large."
        case .tooManyFields: "The request has too many header fields."
        case .headTooSlow: "The request's head took too long."
        case .bodyTooSlow: "The request's body came too slowly."
        case .truncated: "The body ended before its announced end."
        case .readerTooSlow: "The answer was read too slowly."
        case .shuttingDown: "The server is ending before the body has."
        }
    }
}

extension RequestFault: CustomStringConvertible {
    package var description: String { detail }
}

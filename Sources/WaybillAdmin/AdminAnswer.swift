internal import Foundation
internal import HTTPTypes
internal import Hummingbird
internal import NIOCore
internal import WaybillListener
internal import WaybillModel
internal import WaybillQueue
internal import WaybillStore

/// Answers of the operator's side.
enum AdminAnswer {
    /// How often an answer that takes long says that there is more to come.
    static let signOfLife = Duration.seconds(5)

    static func json(
        _ value: some Encodable, status: HTTPResponse.Status = .ok, headers: HTTPFields = [:]
    ) throws -> Response {
        var headers = headers
        headers[.contentType] = "application/json"
        let body = try Self.body(value)
        return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: body))
    }

    static func body(_ value: some Encodable) throws -> ByteBuffer {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        return ByteBuffer(bytes: try encoder.encode(value))
    }

    static func text(
        _ text: String, status: HTTPResponse.Status = .ok,
        type: String = "text/plain; charset=utf-8"
    ) -> Response {
        Response(
            status: status, headers: [.contentType: type],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }

    static func problem(_ problem: Problem) throws -> Response {
        var headers: HTTPFields = [:]
        if let seconds = problem.retryAfter { headers[.retryAfter] = String(seconds) }
        if problem.status == 401 { headers[.wwwAuthenticate] = "Bearer" }
        let status = ProblemCode(rawValue: problem.code)?.status
        var response = try json(
            problem, status: status ?? .init(code: problem.status), headers: headers)
        response.headers[.contentType] = Problem.mediaType
        return response
    }
}

extension Problem {
    /// What an operator is told of any error.
    init(operatorError error: any Error) {
        switch error {
        case let problem as Problem: self = problem
        case let error as StoreError: self.init(error)
        case let error as ListenerError: self.init(error)
        case let error as QueueError: self.init(error)
        case let error as any HTTPResponseError where error.status == .notFound:
            self.init(.notFound, "There is nothing at this path.")
        case let error as any HTTPResponseError where error.status == .contentTooLarge:
            self.init(.tooLarge, "The body is too large.")
        default: self.init(.internalError, "The server failed.", retryAfter: 10)
        }
    }

    private init(_ error: ListenerError) {
        switch error {
        case .outOfRange: self.init(.invalidRequest, error.description)
        case .deadLetterMissing: self = .deadLetterElsewhere("another")
        default: self.init(.internalError, "The server failed: \(error.shortDescription).")
        }
    }

    private init(_ error: QueueError) {
        switch error {
        case .diskFull: self.init(.diskFull, "There is no room for the queue.", retryAfter: 30)
        case .closed: self.init(.shuttingDown, "The server is shutting down.", retryAfter: 10)
        case .overloaded: self.init(.backlogFull, "The queue takes no more now.", retryAfter: 5)
        case .unhealthy, .staleLease, .wrongKey, .corrupt, .locked, .tooLarge, .io:
            self.init(.internalError, "The queue failed: \(error.shortDescription).")
        }
    }

    private init(_ error: StoreError) {
        switch error {
        case .notFound: self.init(.notFound, "There is no such thing.")
        case .alreadyExists: self.init(.alreadyExists, "It exists already.")
        case .revoked:
            self.init(
                title: "The device is revoked", status: 409, code: "device_revoked",
                detail: "A revoked device does not come back; invite a new one.",
                retryable: false)
        case .invalid(let what): self.init(.invalidRequest, "Invalid \(what).")
        case .unavailable:
            self.init(.databaseUnavailable, "The database does not answer.", retryAfter: 5)
        case .postgres where error.isRetryable:
            self.init(.databaseUnavailable, "The database does not answer.", retryAfter: 5)
        case .codeInvalid, .notIssued, .postgres, .unknownDevice, .cannotOpenSealed,
            .cryptography:
            self.init(.internalError, "The server failed: \(error.shortDescription).")
        }
    }
}

internal import AsyncHTTPClient
internal import Foundation
internal import NIOCore
internal import NIOHTTP1
internal import WaybillModel

/// Sends calls to one server and turns answers into values or ``ClientError``.
struct Transport: Sendable {
    /// Without a slash at its end.
    let baseURL: String
    let token: String?
    let session: ClientSession
    /// An answer over this is not read to its end.
    static let answerBytesMax = 64 << 20

    init(baseURL: String, token: String?, session: ClientSession) {
        var url = baseURL
        while url.hasSuffix("/") { url.removeLast() }
        self.baseURL = url
        self.token = token
        self.session = session
    }

    /// The body of a 2xx answer.
    func send(_ call: Call) async throws(ClientError) -> [UInt8] {
        var request = HTTPClientRequest(url: baseURL + call.target)
        request.method = call.method
        request.headers.add(name: "User-Agent", value: "waybill-client/1")
        if let token { request.headers.add(name: "Authorization", value: "Bearer \(token)") }
        for (name, value) in call.headers { request.headers.add(name: name, value: value) }
        if let body = call.body { request.body = .bytes(ByteBuffer(bytes: body)) }
        let answer: (status: Int, retryAfter: Int?, body: [UInt8])
        do {
            let response = try await session.client.execute(
                request, timeout: .init(call.timeout))
            let body = try await response.body.collect(upTo: Self.answerBytesMax)
            answer = (
                Int(response.status.code),
                response.headers.first(name: "Retry-After").flatMap { Int($0) },
                Array(body.readableBytesView)
            )
        } catch {
            throw .unreachable("\(error)")
        }
        guard (200..<300).contains(answer.status) else {
            throw Self.failure(answer.status, answer.retryAfter, answer.body)
        }
        return answer.body
    }

    /// Sends a call and decodes the JSON of its answer.
    func value<Answer: Decodable>(
        _ call: Call, as type: Answer.Type = Answer.self
    ) async throws(ClientError) -> Answer {
        try Self.decode(Answer.self, from: try await send(call))
    }

    /// Sends a call with a JSON body and decodes the JSON of its answer.
    func value<Answer: Decodable>(
        _ call: Call, json body: some Encodable, as type: Answer.Type = Answer.self
    ) async throws(ClientError) -> Answer {
        try Self.decode(Answer.self, from: try await send(call, json: body))
    }

    func send(_ call: Call, json body: some Encodable) async throws(ClientError) -> [UInt8] {
        var call = call
        do {
            call.body = Array(try JSONEncoder().encode(body))
        } catch {
            throw .malformed("the request cannot be encoded: \(error)")
        }
        call.headers.append(("Content-Type", "application/json"))
        return try await send(call)
    }

    static func decode<Answer: Decodable>(
        _ type: Answer.Type, from body: [UInt8]
    ) throws(ClientError) -> Answer {
        do {
            return try JSONDecoder().decode(Answer.self, from: Data(body))
        } catch {
            throw .malformed("\(error)")
        }
    }

    private static func failure(_ status: Int, _ retryAfter: Int?, _ body: [UInt8]) -> ClientError {
        // An answer that is no problem document comes from something in between; its status is
        // all that can be told.
        guard var problem = try? JSONDecoder().decode(Problem.self, from: Data(body)) else {
            return .problem(
                Problem(
                    title: "HTTP status \(status)", status: status, code: "http_\(status)",
                    detail: "the answer is not a problem document",
                    retryable: status == 408 || status == 429 || status >= 500,
                    retryAfter: retryAfter),
                status: status)
        }
        problem.retryAfter = problem.retryAfter ?? retryAfter
        return .problem(problem, status: status)
    }
}

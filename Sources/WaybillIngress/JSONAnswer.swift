internal import Foundation
internal import HTTPTypes
internal import Hummingbird
internal import NIOCore
internal import WaybillModel
internal import WaybillUpload

/// Answers with a body of JSON.
enum JSONAnswer {
    /// A new one each time. Escapes no slashes, so that URLs stay readable.
    static var encoder: JSONEncoder {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        return encoder
    }

    static func response(
        _ value: some Encodable, status: HTTPResponse.Status = .ok, headers: HTTPFields = [:]
    ) throws -> Response {
        let bytes = try encoder.encode(value)
        return response(buffer: ByteBuffer(bytes: bytes), status: status, headers: headers)
    }

    static func response(
        text: String, status: HTTPResponse.Status = .ok, headers: HTTPFields = [:]
    ) -> Response {
        response(buffer: ByteBuffer(string: text), status: status, headers: headers)
    }

    static func response(_ problem: Problem) -> Response {
        let status = HTTPResponse.Status(
            code: problem.status, reasonPhrase: problem.status == 507 ? "Insufficient Storage" : "")
        var headers: HTTPFields = [:]
        if let seconds = problem.retryAfter { headers[.retryAfter] = String(seconds) }
        if problem.status == 401 { headers[.wwwAuthenticate] = "Bearer" }
        let body: ByteBuffer
        do {
            body = ByteBuffer(bytes: try encoder.encode(problem))
        } catch {
            body = ByteBuffer(string: #"{"status":500,"code":"internal_error","retryable":true}"#)
        }
        var response = response(
            buffer: body, status: problem.knownStatus ?? status, headers: headers)
        response.headers[.contentType] = Problem.mediaType
        return response
    }

    /// A bundle's status; a receipt is put in as the text that was signed.
    ///
    /// - Parameter base: the server's URL, for those of the parts that are to be sent.
    static func text(_ standing: BundleStanding, of bundleID: BundleID, base: String) -> String {
        var text = #"{"bundle_id":"\#(bundleID)","state":"\#(standing.state.rawValue)","parts":["#
        for (index, part) in standing.parts.enumerated() {
            let size = part.byteCount.map { String($0) } ?? "null"
            let isWanted = standing.state == .receiving && !part.isComplete
            let path =
                part.upload.map { "uploads/\($0)" } ?? "bundles/\(bundleID)/parts/\(index + 1)"
            let upload = isWanted ? #""\#(base)/v1/\#(path)""# : "null"
            if index > 0 { text += "," }
            text +=
                #"{"part":\#(index + 1),"size":\#(size),"received":\#(part.receivedByteCount),"#
                + #""complete":\#(part.isComplete),"upload":\#(upload)}"#
        }
        text += #"],"receipt":"#
        text += standing.receipt ?? "null"
        text += "}"
        return text
    }

    private static func response(
        buffer: ByteBuffer, status: HTTPResponse.Status, headers: HTTPFields
    ) -> Response {
        var headers = headers
        headers[.contentType] = "application/json"
        return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: buffer))
    }
}

extension Problem {
    /// The status with its usual reason.
    var knownStatus: HTTPResponse.Status? {
        ProblemCode(rawValue: code).flatMap { $0.status.code == status ? $0.status : nil }
    }
}

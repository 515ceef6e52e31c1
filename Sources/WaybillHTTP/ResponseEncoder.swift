package import Foundation
internal import HTTPTypes
internal import NIOCore
internal import WaybillModel

/// Turns answers into bytes: heads, chunks, ends.
struct ResponseEncoder {
    /// How the body of the answer in progress is framed.
    enum Framing: Equatable {
        /// There is none, whatever the handler writes.
        case none
        /// As announced, or until the connection ends.
        case plain
        case chunked
    }

    private(set) var framing = Framing.none

    /// Writes a final answer's head.
    ///
    /// - Parameters:
    ///   - request: what is answered.
    ///   - closes: the connection ends after the answer.
    mutating func writeHead(
        _ head: HTTPResponse, answering request: RequestHead, closes: inout Bool,
        into buffer: inout ByteBuffer
    ) {
        Self.writeStatus(head.status, into: &buffer)
        let hasNoBody = head.status.code == 204 || head.status.code == 304
        var hasLength = false
        for field in head.headerFields {
            switch field.name {
            case .connection, .transferEncoding: continue
            case .contentLength:
                guard head.status.code != 204 else { continue }
                hasLength = true
            default: break
            }
            Self.write(field, into: &buffer)
        }
        if hasNoBody || request.request.method == .head {
            framing = .none
        } else if hasLength {
            framing = .plain
        } else if request.isVersion11 {
            framing = .chunked
            buffer.writeStaticString("transfer-encoding: chunked\r\n")
        } else {
            framing = .plain
            closes = true
        }
        if closes {
            buffer.writeStaticString("connection: close\r\n")
        } else if !request.isVersion11 {
            buffer.writeStaticString("connection: keep-alive\r\n")
        }
        buffer.writeStaticString("\r\n")
    }

    /// Writes `100 Continue` and its like, which come before the answer.
    static func writeInformational(_ head: HTTPResponse, into buffer: inout ByteBuffer) {
        writeStatus(head.status, into: &buffer)
        for field in head.headerFields { write(field, into: &buffer) }
        buffer.writeStaticString("\r\n")
    }

    func writeChunkHead(_ byteCount: Int, into buffer: inout ByteBuffer) {
        guard framing == .chunked else { return }
        buffer.writeString(String(byteCount, radix: 16))
        buffer.writeStaticString("\r\n")
    }

    func writeChunkEnd(into buffer: inout ByteBuffer) {
        if framing == .chunked { buffer.writeStaticString("\r\n") }
    }

    func writeEnd(_ trailers: HTTPFields?, into buffer: inout ByteBuffer) {
        guard framing == .chunked else { return }
        buffer.writeStaticString("0\r\n")
        for field in trailers ?? [:] { Self.write(field, into: &buffer) }
        buffer.writeStaticString("\r\n")
    }

    /// The answer to bytes that are no request: a problem document, after which the connection ends.
    static func refusal(_ fault: RequestFault) -> ByteBuffer {
        let problem = fault.problem
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        // A problem of plain texts and numbers can be encoded; without a body the status still says it.
        let body = (try? encoder.encode(problem)) ?? Data()
        var buffer = ByteBuffer()
        writeStatus(
            ProblemCode(rawValue: problem.code)?.status ?? .badRequest, into: &buffer)
        buffer.writeString("content-type: \(Problem.mediaType)\r\n")
        buffer.writeString("content-length: \(body.count)\r\n")
        buffer.writeString("date: \(HTTPDate.text(of: .now))\r\n")
        buffer.writeStaticString("connection: close\r\n\r\n")
        buffer.writeBytes(body)
        return buffer
    }

    private static func writeStatus(_ status: HTTPResponse.Status, into buffer: inout ByteBuffer) {
        if status.code == 200 {
            buffer.writeStaticString("HTTP/1.1 200 OK\r\n")
        } else if status.code == 202 {
            buffer.writeStaticString("HTTP/1.1 202 Accepted\r\n")
        } else {
            buffer.writeString("HTTP/1.1 \(status.code) \(status.reasonPhrase)\r\n")
        }
    }

    private static func write(_ field: HTTPField, into buffer: inout ByteBuffer) {
        buffer.writeString(field.name.rawName)
        buffer.writeStaticString(": ")
        buffer.writeString(field.value)
        buffer.writeStaticString("\r\n")
    }
}

/// The time as HTTP writes it (RFC 9110, section 5.6.7).
package enum HTTPDate {
    package static func text(of date: Date) -> String {
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.timeZone = TimeZone(secondsFromGMT: 0)
        formatter.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
        return formatter.string(from: date)
    }
}

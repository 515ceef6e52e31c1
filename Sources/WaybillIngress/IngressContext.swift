internal import HTTPTypes
package import Hummingbird
internal import Logging
internal import NIOCore
internal import NIOHTTPTypes
internal import Synchronization
internal import WaybillHTTP
internal import WaybillModel

/// One request's surroundings: its connection, and how far its body was read.
package struct IngressContext: RequestContext {
    package var coreContext: CoreRequestContextStorage
    private let channel: any Channel
    private let progress = BodyProgress()
    /// The peer's address, without a port.
    let peerAddress: String?

    package init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        channel = source.channel
        peerAddress = source.channel.remoteAddress?.ipAddress
    }

    /// Bytes of the body that were read so far.
    var bytesRead: Int { progress.byteCount }

    /// The logger with the request's trace; made when there is something to say, which costs a
    /// request that says nothing no name.
    func tracedLogger(of request: Request) -> Logger {
        var logger = logger
        let trace = TraceContext(headers: request.headers[values: .traceparent])
        logger[metadataKey: "trace.id"] = "\(trace.traceID)"
        logger[metadataKey: "span.id"] = "\(trace.spanID)"
        if let parent = trace.parentID {
            logger[metadataKey: "span.parent_id"] = "\(parent)"
        }
        return logger
    }

    /// Hands on the body piece by piece, as `take` has time for it; asks for it where the client
    /// waits to be asked.
    ///
    /// - Throws: ``BrokenRequest`` when the body cannot be read to its end, and what `take` throws.
    func forEachPiece(
        of request: Request, _ take: (ByteBuffer) async throws -> Void
    ) async throws {
        if request.headers[.expect]?.lowercased() == "100-continue" {
            try await inform(HTTPResponse(status: .continue))
        }
        var iterator = request.body.makeAsyncIterator()
        while true {
            let piece: ByteBuffer?
            do {
                piece = try await iterator.next()
            } catch {
                throw BrokenRequest(cause: error)
            }
            guard let piece else { break }
            progress.note(piece.readableBytes)
            try await take(piece)
        }
        progress.isComplete = true
    }

    /// A small body as a whole.
    ///
    /// - Throws: 413 for more than `bytesMax` bytes.
    func body(of request: Request, bytesMax: Int) async throws -> ByteBuffer {
        var whole = ByteBuffer()
        try await forEachPiece(of: request) { piece in
            guard whole.readableBytes + piece.readableBytes <= bytesMax else {
                throw Problem(.tooLarge, "The body has at most \(bytesMax) bytes.")
            }
            whole.writeImmutableBuffer(piece)
        }
        return whole
    }

    /// Sees to a refused request whose body is still on its way: the connection is not kept; it
    /// swallows the rest for a moment, so that the client gets to read the answer.
    func closeIfUnread(_ request: Request, _ response: inout Response) {
        let byteCount = request.headers[.contentLength].flatMap { Int($0) }
        let hasBody = byteCount.map { $0 > 0 } ?? (request.headers[.transferEncoding] != nil)
        guard hasBody, !progress.isComplete else { return }
        // A short rest is read and dropped, and the connection goes on.
        let isWaiting = request.headers[.expect] != nil
        if !isWaiting, let byteCount, byteCount <= Self.restBytesMax { return }
        response.headers[.connection] = "close"
    }

    /// Sees to it that `tell` is called when the client ends its side of the connection, or is gone,
    /// before it is answered.
    func watchPeer(_ tell: @escaping @Sendable () -> Void) -> PeerWatch {
        let watch = PeerWatch(tell)
        let channel = channel
        channel.triggerUserOutboundEvent(watch).whenFailure { _ in
            // A connection that is gone takes no events.
            if !channel.isActive { watch.end() }
        }
        return watch
    }

    /// A refused body up to this size is not worth a connection.
    private static let restBytesMax = 64 << 10

    /// Ends the connection without a word: somebody else goes on with what this request was at.
    func cut() {
        channel.close(mode: .all, promise: nil)
    }

    /// Says something ahead of the answer; a client of HTTP/1.0 is told nothing.
    ///
    /// - Throws: ``BrokenRequest`` when the client is gone.
    func inform(_ head: HTTPResponse) async throws {
        do {
            try await channel.writeAndFlush(HTTPResponsePart.head(head))
        } catch {
            throw BrokenRequest(cause: error)
        }
    }
}

/// How far a body was read.
private final class BodyProgress: Sendable {
    private let value = Atomic(false)
    private let count = Atomic(0)

    var byteCount: Int { count.load(ordering: .relaxed) }

    func note(_ byteCount: Int) {
        count.wrappingAdd(byteCount, ordering: .relaxed)
    }

    var isComplete: Bool {
        get { value.load(ordering: .relaxed) }
        set { value.store(newValue, ordering: .relaxed) }
    }
}

extension HTTPField.Name {
    /// W3C Trace Context. The name is a valid field name.
    fileprivate static let traceparent = HTTPField.Name("traceparent") ?? .referer
}

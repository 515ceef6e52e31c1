internal import HTTPTypes
internal import NIOCore
internal import NIOHTTPTypes

/// One connection: bytes in, parts of requests out, one request at a time.
///
/// A later request on the connection is looked at when the answer before it is complete. What is no
/// request is answered here, and the connection ends; so it does when the peer is too slow. Lives on
/// its event loop.
final class HTTPConnection: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = ByteBuffer

    let limits: ConnectionLimits
    let watch: any ConnectionWatch
    private var parser: RequestParser
    var pace: ConnectionPace
    private var encoder = ResponseEncoder()

    /// The request that is read or answered.
    private var current: RequestHead?
    /// Its body has been read to the end.
    private var isRead = true
    /// Its answer is complete.
    private var isAnswered = true
    /// The connection ends with the answer in progress.
    private var closesAfterAnswer = false
    /// Nothing more is read or answered.
    var isClosing = false
    /// What comes is dropped: the request in progress is broken.
    private var isDeaf = false
    /// The peer sends nothing more.
    var isInputClosed = false
    /// Since when nothing was asked for in the middle of a body.
    var pausedSince: NIODeadline?
    /// Parts are being handed on; a part that comes meanwhile waits.
    private var isPumping = false
    /// The channel asked to read more while enough is here.
    private var owesRead = false

    /// Bytes of the answer that were not handed to the channel yet.
    var outgoing = ByteBuffer()
    /// Bytes handed to the channel so far.
    var bytesWritten = 0
    var timer: (task: Scheduled<Void>, due: NIODeadline)?
    /// To be told when the peer leaves the request in progress.
    private var peerWatch: PeerWatch?

    init(limits: ConnectionLimits, isSecure: Bool, watch: any ConnectionWatch) {
        self.limits = limits
        self.watch = watch
        parser = RequestParser(limits: limits, scheme: isSecure ? "https" : "http")
        pace = ConnectionPace(limits: limits, now: .now())
    }

    func handlerAdded(context: ChannelHandlerContext) {
        watch.connectionOpened()
        arm(context)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        timer?.task.cancel()
        timer = nil
        watch.connectionClosed()
    }

    func channelInactive(context: ChannelHandlerContext) {
        endPeerWatch()
        context.fireChannelInactive()
    }

    // MARK: In

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isClosing, !isDeaf else { return }
        parser.append(unwrapInboundIn(data))
        pump(context)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if pace.phase == .body { pausedSince = .now() }
        context.fireChannelReadComplete()
        // Whatever still comes is swallowed, so that the peer gets to read the last answer.
        if isClosing { context.read() }
    }

    func read(context: ChannelHandlerContext) {
        guard
            isClosing || current == nil || !isRead || parser.pendingBytes < limits.pipelinedBytesMax
        else {
            owesRead = true
            return
        }
        if let pausedSince, NIODeadline.now() - pausedSince > .milliseconds(100) { pace.holdUp() }
        pausedSince = nil
        context.read()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case is ChannelShouldQuiesceEvent:
            closesAfterAnswer = true
            pace.quiesceBegan(now: .now())
            if current == nil, isAllOut(context) {
                close(context)
            } else {
                if current == nil { beginClosing(context) }
                arm(context)
            }
        case let event as ChannelEvent where event == .inputClosed:
            inputClosed(context)
            context.fireUserInboundEventTriggered(event)
        default:
            context.fireUserInboundEventTriggered(event)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.fireErrorCaught(error)
        close(context)
    }

    private func inputClosed(_ context: ChannelHandlerContext) {
        isInputClosed = true
        endPeerWatch()
        if isClosing {
            if pace.phase == .lingering { close(context) }
        } else if current == nil {
            beginClosing(context)
        } else if isRead {
            closesAfterAnswer = true
        } else if !isDeaf {
            fail(.truncated, context)
        }
    }

    private func endPeerWatch() {
        peerWatch?.end()
        peerWatch = nil
    }

    /// Hands on what is complete, up to the end of one request.
    private func pump(_ context: ChannelHandlerContext) {
        guard !isPumping else { return }
        isPumping = true
        defer { isPumping = false }
        do throws(RequestFault) {
            while !isClosing, current == nil || !isRead {
                guard let part = try parser.next() else { break }
                take(part, context)
            }
        } catch {
            fail(error, context)
            return
        }
        if current == nil, !isClosing, parser.pendingBytes > 0 { pace.headBegan(now: .now()) }
        arm(context)
    }

    private func take(_ part: RequestParser.Part, _ context: ChannelHandlerContext) {
        switch part {
        case .head(let head):
            current = head
            isRead = false
            isAnswered = false
            if !head.keepsAlive { closesAfterAnswer = true }
            if head.framing == .none { pace.requestEnded() } else { pace.bodyBegan(now: .now()) }
            context.fireChannelRead(wrapInboundOut(.head(head.request)))
        case .body(let bytes):
            pace.bodyCame(bytes.readableBytes)
            context.fireChannelRead(wrapInboundOut(.body(bytes)))
        case .end:
            isRead = true
            pace.requestEnded()
            context.fireChannelRead(wrapInboundOut(.end(nil)))
            if isAnswered { finishExchange(context) }
        }
    }

    /// Ends the connection for the peer's fault; says so if there is somebody to say it to.
    func fail(_ fault: RequestFault, _ context: ChannelHandlerContext) {
        if fault.isPeers { watch.refused(fault, peer: context.channel.remoteAddress) }
        if current == nil {
            outgoing.writeImmutableBuffer(ResponseEncoder.refusal(fault))
            beginClosing(context)
        } else if isAnswered {
            beginClosing(context)
        } else {
            // The handler that reads the body is told, and its answer is the last one.
            closesAfterAnswer = true
            isDeaf = true
            pace.requestEnded()
            context.fireErrorCaught(fault)
            arm(context)
        }
    }

    // MARK: Out

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard !isClosing else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        switch unwrapOutboundIn(data) {
        case .head(let head):
            if head.status.kind == .informational {
                // HTTP/1.0 has no such answers (RFC 9110, section 15.2).
                if current?.isVersion11 == true {
                    ResponseEncoder.writeInformational(head, into: &outgoing)
                }
            } else if let current, !isAnswered {
                if head.headerFields[.connection]?.lowercased() == "close" {
                    closesAfterAnswer = true
                }
                encoder.writeHead(
                    head, answering: current, closes: &closesAfterAnswer, into: &outgoing)
            }
            promise?.succeed()
        case .body(let bytes):
            writeBody(bytes, context, promise)
        case .end(let trailers):
            encoder.writeEnd(trailers, into: &outgoing)
            writeOut(context, promise)
            answerEnded(context)
        }
    }

    func triggerUserOutboundEvent(
        context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?
    ) {
        guard let watch = event as? PeerWatch else {
            context.triggerUserOutboundEvent(event, promise: promise)
            return
        }
        if isInputClosed || isClosing { watch.end() } else { peerWatch = watch }
        promise?.succeed()
    }

    func flush(context: ChannelHandlerContext) {
        writeOut(context, nil)
        context.flush()
    }

    private func writeBody(
        _ bytes: ByteBuffer, _ context: ChannelHandlerContext, _ promise: EventLoopPromise<Void>?
    ) {
        guard encoder.framing != .none, bytes.readableBytes > 0 else {
            promise?.succeed()
            return
        }
        encoder.writeChunkHead(bytes.readableBytes, into: &outgoing)
        if bytes.readableBytes <= Self.copiedBytesMax {
            outgoing.writeImmutableBuffer(bytes)
            promise?.succeed()
        } else {
            writeOut(context, nil)
            bytesWritten += bytes.readableBytes
            context.write(wrapOutboundOut(bytes), promise: promise)
        }
        encoder.writeChunkEnd(into: &outgoing)
    }

    /// Small bodies are copied behind their head: one write in place of two.
    private static let copiedBytesMax = 16 << 10

    func writeOut(_ context: ChannelHandlerContext, _ promise: EventLoopPromise<Void>?) {
        guard outgoing.readableBytes > 0 else {
            promise?.succeed()
            return
        }
        let bytes = outgoing
        outgoing = ByteBuffer()
        bytesWritten += bytes.readableBytes
        context.write(wrapOutboundOut(bytes), promise: promise)
    }

    private func answerEnded(_ context: ChannelHandlerContext) {
        guard current != nil, !isAnswered else { return }
        isAnswered = true
        if closesAfterAnswer {
            beginClosing(context)
        } else if isRead {
            finishExchange(context)
        }
    }

    /// The next request may come, or is here.
    private func finishExchange(_ context: ChannelHandlerContext) {
        current = nil
        peerWatch = nil
        guard !closesAfterAnswer else {
            beginClosing(context)
            return
        }
        pace.idleBegan(now: .now())
        if owesRead {
            owesRead = false
            context.read()
        }
        guard parser.pendingBytes > 0, !isPumping else { return }
        pump(context)
        context.fireChannelReadComplete()
    }
}

internal import NIOCore
internal import NIOPosix
internal import NIOSSL
internal import NIOTLS
internal import WaybillThreads

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// Why an exchange has no answer, or a connection could not be had.
enum WireFault: String, Sendable {
    case refused = "connection_refused"
    case unreachable
    case connectTimeout = "connect_timeout"
    case tls
    /// Ended without an answer, or in the middle of one.
    case closed = "connection_closed"
    case timeout = "answer_timeout"
    case malformed = "malformed_answer"
    /// On purpose.
    case cut = "cut"
    /// The run is over.
    case stopped

    init(connecting error: any Error) {
        switch error {
        case let error as IOError where error.errnoCode == ECONNREFUSED: self = .refused
        case ChannelError.connectTimeout: self = .connectTimeout
        case is NIOSSLError: self = .tls
        case let error as NIOConnectionError:
            let first = error.connectionErrors.first?.error
            self = first.map { WireFault(connecting: $0) } ?? .unreachable
        default: self = .unreachable
        }
    }
}

/// Who uses connections; called on their event loop.
protocol ConnectionUser: AnyObject {
    /// It has been opened, or an exchange is over: it may be used.
    func connectionIsFree(_ connection: HTTPConnection)
    /// A free connection has ended, or one could not be opened; it comes back by itself.
    func connectionIsGone(_ connection: HTTPConnection, _ fault: WireFault)
    /// `connection.parser` holds the answer. The user may send again at once; else it says
    /// ``HTTPConnection/release()``.
    func answered(_ connection: HTTPConnection)
    func exchangeFailed(_ connection: HTTPConnection, _ fault: WireFault)
}

/// One connection that is kept open, with one exchange at a time, and that comes back whenever it was
/// lost.
///
/// `@unchecked`: everything is touched on `loop` alone.
final class HTTPConnection: @unchecked Sendable {
    private enum State {
        case opening, free, busy
        /// Bytes are on their way out after which it is closed.
        case cutting
        case waiting, stopped
    }

    let loop: any EventLoop
    private let target: ServerTarget
    private let clock: RunClock
    private let readBytes: Int
    weak var user: (any ConnectionUser)?
    private var state = State.waiting
    private var handler: WireHandler?
    /// The next request's bytes; its memory is used again once they have gone out.
    var request = ByteBuffer()
    fileprivate(set) var parser = ResponseParser()
    /// When an exchange is given up; nanoseconds of the run.
    private var deadline = Int64.max
    /// Since when it may be used.
    private(set) var freeSince: Int64 = 0
    private var pause = Backoff(base: .milliseconds(10), ceiling: .seconds(1))
    private var reopening: Scheduled<Void>?
    /// What the user is doing with it.
    var purpose: AnyObject?

    /// - Parameter readBytes: of one read; what answers are usually shorter than.
    init(loop: any EventLoop, target: ServerTarget, clock: RunClock, readBytes: Int) {
        self.loop = loop
        self.target = target
        self.clock = clock
        self.readBytes = readBytes
    }

    func open() {
        guard case .waiting = state else { return }
        state = .opening
        let handler = WireHandler(connection: self, isSecure: target.isSecure)
        self.handler = handler
        target.connect(on: loop, readBytes: readBytes, handler: handler).whenFailure { error in
            self.lost(handler, WireFault(connecting: error))
        }
    }

    /// Ends it for good.
    func stop() {
        let before = state
        drop()
        reopening?.cancel()
        state = .stopped
        switch before {
        case .busy, .cutting: user?.exchangeFailed(self, .stopped)
        default: break
        }
    }

    /// Sends ``request``, which then belongs to the connection until the answer.
    ///
    /// - Parameters:
    ///   - cut: close after that many bytes, or with `.some(nil)` after all of them, and read nothing.
    ///   - seconds: until the answer has to be whole.
    /// - Returns: how many bytes go out.
    @discardableResult
    func send(cut: Int?? = .none, seconds: Double) -> Int {
        precondition(state == .free || state == .busy, "one exchange at a time")
        deadline = clock.now() + Int64(seconds * 1e9)
        parser.reset()
        guard let cut else {
            state = .busy
            handler?.write(request)
            return request.readableBytes
        }
        state = .cutting
        let bytes = request.readSlice(length: min(cut ?? .max, request.readableBytes))
        handler?.write(bytes ?? request, thenClose: true)
        return bytes?.readableBytes ?? request.readableBytes
    }

    /// Clears ``request`` for the next one; memory of a very large one is given back.
    func beginRequest() {
        if request.capacity > 1 << 20 {
            request = ByteBuffer()
        } else {
            request.clear()
        }
    }

    /// The user is done with it.
    func release() {
        guard state == .busy else { return }
        purpose = nil
        deadline = .max
        if parser.closes {
            drop()
            state = .waiting
            open()
        } else {
            state = .free
            freeSince = clock.now()
            user?.connectionIsFree(self)
        }
    }

    /// Gives up an exchange that takes too long; the lane asks now and then.
    func checkDeadline(_ now: Int64) {
        guard now > deadline, let handler else { return }
        lost(handler, .timeout)
    }

    fileprivate func opened(_ handler: WireHandler) {
        guard handler === self.handler, state == .opening else { return }
        state = .free
        freeSince = clock.now()
        user?.connectionIsFree(self)
    }

    fileprivate func received(_ handler: WireHandler, _ bytes: ByteBuffer) {
        guard handler === self.handler else { return }
        guard state == .busy else {
            if state == .free { lost(handler, .closed) }
            return
        }
        switch bytes.withUnsafeReadableBytes({ parser.feed($0) }) {
        case .needsMore: break
        case .malformed: lost(handler, .malformed)
        case .complete(let surplus):
            if surplus > 0 { lost(handler, .malformed) } else { conclude() }
        }
    }

    private func conclude() {
        pause.reset()
        deadline = .max
        user?.answered(self)
    }

    /// The bytes before a cut are out.
    fileprivate func wasCut(_ handler: WireHandler) {
        guard handler === self.handler, state == .cutting else { return }
        lost(handler, .cut)
    }

    /// The connection has ended or has to.
    fileprivate func lost(_ handler: WireHandler, _ fault: WireFault) {
        guard handler === self.handler else { return }
        let before = state
        if before == .busy, fault == .closed, parser.finish() {
            // The answer ended with the connection; `closes` is set, so release opens a new one.
            conclude()
            return
        }
        drop()
        state = .waiting
        deadline = .max
        switch before {
        case .opening, .free: user?.connectionIsGone(self, fault)
        case .busy: user?.exchangeFailed(self, fault)
        case .cutting: user?.exchangeFailed(self, .cut)
        case .waiting, .stopped: return
        }
        purpose = nil
        guard state == .waiting else { return }
        if fault == .cut {
            open()
        } else {
            openLater()
        }
    }

    private func openLater() {
        let components = pause.next().components
        let nanoseconds =
            components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000
        reopening = loop.scheduleTask(in: .nanoseconds(nanoseconds)) { self.open() }
    }

    private func drop() {
        // Closing tells of the end at once: by then this handler is nobody's any more.
        let ended = handler
        handler = nil
        ended?.close()
    }
}

/// Between the connection and its channel; of one TCP connection.
final class WireHandler: ChannelInboundHandler, @unchecked Sendable {
    // `@unchecked`: touched on the connection's event loop alone.
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let connection: HTTPConnection
    private let isSecure: Bool
    private var context: ChannelHandlerContext?
    private var isClosed = false

    init(connection: HTTPConnection, isSecure: Bool) {
        self.connection = connection
        self.isSecure = isSecure
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if isClosed { context.close(promise: nil) }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
    }

    func channelActive(context: ChannelHandlerContext) {
        if !isSecure { connection.opened(self) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted? = event as? TLSUserEvent { connection.opened(self) }
        context.fireUserInboundEventTriggered(event)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        connection.received(self, unwrapInboundIn(data))
    }

    func channelInactive(context: ChannelHandlerContext) {
        connection.lost(self, .closed)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // An unclean end of TLS is an end; what was read counts as it would without TLS.
        let fault: WireFault
        switch error {
        case NIOSSLError.uncleanShutdown: fault = .closed
        case is NIOSSLError: fault = .tls
        default: fault = .closed
        }
        connection.lost(self, fault)
        context.close(promise: nil)
    }

    func write(_ bytes: ByteBuffer, thenClose: Bool = false) {
        guard let context else { return }
        guard thenClose else {
            context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
            return
        }
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.whenComplete { _ in self.connection.wasCut(self) }
        context.writeAndFlush(wrapOutboundOut(bytes), promise: written)
    }

    func close() {
        isClosed = true
        context?.close(promise: nil)
    }
}

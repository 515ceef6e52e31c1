internal import NIOCore

/// What a connection is waiting for, and until when; time is passed in.
struct ConnectionPace {
    enum Phase: Equatable {
        /// Connected, nothing received.
        case fresh
        /// Between two requests.
        case idle
        /// In the middle of a head.
        case head
        /// In the middle of a body.
        case body
        /// The request is complete, its answer is not.
        case serving
        /// The last answer is on its way out.
        case flushing
        /// The last answer is out; the peer may read it.
        case lingering
    }

    enum Verdict: Equatable {
        case wait
        case close
        /// Answer with the fault's problem, then close.
        case refuse(RequestFault)
        /// The handler that reads the body is told.
        case failBody(RequestFault)
        /// Close without a word: nobody reads it.
        case abort(RequestFault)
    }

    private let limits: ConnectionLimits
    private(set) var phase = Phase.fresh
    private var due: NIODeadline
    private var windowBytes = 0
    /// The server itself did not read for a part of the window: the peer is not to blame.
    private var wasHeldUp = false
    private var writingDue: NIODeadline?
    private var drainedBefore = 0
    /// When the server, which is ending, has no more time for what is under way.
    private var graceDue: NIODeadline?

    init(limits: ConnectionLimits, now: NIODeadline) {
        self.limits = limits
        due = now + TimeAmount(limits.headDeadline)
    }

    /// When ``check(now:drained:)`` is to be asked.
    var deadline: NIODeadline {
        [writingDue, graceDue].compactMap(\.self).reduce(due, min)
    }

    /// The first byte of a head; that of a connection's first one counts from the beginning.
    mutating func headBegan(now: NIODeadline) {
        guard phase != .head else { return }
        if phase != .fresh { due = now + TimeAmount(limits.headDeadline) }
        phase = .head
    }

    mutating func bodyBegan(now: NIODeadline) {
        phase = .body
        beginWindow(now)
    }

    mutating func bodyCame(_ byteCount: Int) {
        windowBytes += byteCount
    }

    mutating func holdUp() {
        wasHeldUp = true
    }

    mutating func requestEnded() {
        phase = .serving
        due = .distantFuture
    }

    mutating func idleBegan(now: NIODeadline) {
        phase = .idle
        due = now + TimeAmount(limits.idleTimeout)
    }

    /// - Parameter drained: bytes that have left for the network so far.
    mutating func flushingBegan(now: NIODeadline, drained: Int) {
        phase = .flushing
        due = .distantFuture
        if writingDue == nil { writingStalled(now: now, drained: drained) }
    }

    mutating func lingeringBegan(now: NIODeadline) {
        phase = .lingering
        due = now + TimeAmount(limits.lingering)
        writingDue = nil
    }

    /// More is on its way out than the network takes.
    mutating func writingStalled(now: NIODeadline, drained: Int) {
        writingDue = now + TimeAmount(limits.rateWindow)
        drainedBefore = drained
    }

    mutating func writingWent() {
        if phase != .flushing { writingDue = nil }
    }

    /// The server ends.
    mutating func quiesceBegan(now: NIODeadline) {
        if graceDue == nil { graceDue = now + TimeAmount(limits.shutdownGrace) }
    }

    mutating func check(now: NIODeadline, drained: Int) -> Verdict {
        if let graceDue, graceDue <= now {
            // What is answered then gets as long again as anybody who reads a last answer.
            self.graceDue = now + TimeAmount(limits.lingering)
            switch phase {
            case .fresh, .idle, .head, .flushing: return .close
            case .body: return .failBody(.shuttingDown)
            case .serving where writingDue != nil: return .close
            case .serving, .lingering: break
            }
        }
        if let writingDue, writingDue <= now {
            guard drained - drainedBefore >= limits.bytesPerWindowMin else {
                return .abort(.readerTooSlow)
            }
            writingStalled(now: now, drained: drained)
        }
        guard due <= now else { return .wait }
        switch phase {
        case .fresh, .idle, .lingering: return .close
        case .head: return .refuse(.headTooSlow)
        case .body:
            guard wasHeldUp || windowBytes >= limits.bytesPerWindowMin else {
                return .failBody(.bodyTooSlow)
            }
            beginWindow(now)
            return .wait
        case .serving, .flushing: return .wait
        }
    }

    private mutating func beginWindow(_ now: NIODeadline) {
        due = now + TimeAmount(limits.rateWindow)
        windowBytes = 0
        wasHeldUp = false
    }
}

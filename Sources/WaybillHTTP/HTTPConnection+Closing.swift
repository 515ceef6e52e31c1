internal import NIOCore

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// Deadlines, and how a connection ends.
extension HTTPConnection {
    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            pace.writingWent()
        } else {
            pace.writingStalled(now: .now(), drained: drained(context))
            arm(context)
        }
        context.fireChannelWritabilityChanged()
    }

    /// Sees to it that the deadline is noticed. A timer that is set too early looks again then, so
    /// that requests set none as a rule.
    func arm(_ context: ChannelHandlerContext) {
        let due = pace.deadline
        guard due != .distantFuture else { return }
        if let timer {
            guard due < timer.due else { return }
            timer.task.cancel()
        }
        let task = context.eventLoop.assumeIsolated().scheduleTask(deadline: due) {
            self.timer = nil
            self.look(context)
        }
        timer = (task, due)
    }

    private func look(_ context: ChannelHandlerContext) {
        if pausedSince != nil { pace.holdUp() }
        switch pace.check(now: .now(), drained: drained(context)) {
        case .wait: arm(context)
        case .close:
            // An answer may still be on its way to a slow reader, who has not been idle.
            if pace.phase == .idle, !isAllOut(context) {
                beginClosing(context)
            } else {
                close(context)
            }
        case .refuse(let fault), .failBody(let fault): fail(fault, context)
        case .abort(let fault):
            watch.refused(fault, peer: context.channel.remoteAddress)
            abort(context)
        }
    }

    /// Closes with a reset, so that the kernel keeps nothing for a peer that reads nothing.
    private func abort(_ context: ChannelHandlerContext) {
        if let socket = context.channel as? any SocketOptionProvider {
            // Where it cannot be set the connection is closed all the same.
            socket.setSoLinger(linger(l_onoff: 1, l_linger: 0)).whenComplete { _ in }
        }
        close(context)
    }

    /// Bytes that the channel has passed to the network.
    private func drained(_ context: ChannelHandlerContext) -> Int {
        var waiting = 0
        do {
            waiting =
                try context.channel.syncOptions?.getOption(ChannelOptions.bufferedWritableBytes)
                ?? 0
        } catch {
            // A channel that does not say counts as one that has passed everything on.
            waiting = 0
        }
        return bytesWritten - waiting
    }

    /// Whether the network has everything that was written.
    func isAllOut(_ context: ChannelHandlerContext) -> Bool {
        outgoing.readableBytes == 0 && drained(context) == bytesWritten
    }

    /// Sends what is there as the last, ends this side, and waits a moment for the peer to read it.
    func beginClosing(_ context: ChannelHandlerContext) {
        guard !isClosing else { return }
        isClosing = true
        writeOut(context, nil)
        context.flush()
        pace.flushingBegan(now: .now(), drained: drained(context))
        let isOut = context.eventLoop.makePromise(of: Void.self)
        context.close(mode: .output, promise: isOut)
        isOut.futureResult.assumeIsolated().whenComplete { _ in
            guard context.channel.isActive else { return }
            guard !self.isInputClosed else {
                self.close(context)
                return
            }
            self.pace.lingeringBegan(now: .now())
            self.arm(context)
        }
        arm(context)
        context.read()
    }

    func close(_ context: ChannelHandlerContext) {
        isClosing = true
        context.close(mode: .all, promise: nil)
    }
}

internal import NIOCore
internal import NIOPosix

/// Requests that cost a server next to nothing, sent as uploads are: what both sides of the wire could
/// do at best, beside which acknowledgements are to be seen.
package enum EmptyRequests {
    private static let measuredSeconds = 4.0
    private static let answerSeconds = 10.0

    /// Asks for the server's public keys over so many connections, on one event loop, for four seconds.
    ///
    /// - Parameter url: a server's device address, without `/v1`.
    /// - Returns: answers a second.
    /// - Throws: ``TrafficError``, and where the server does not answer with 200.
    package static func measure(url: String, connections: Int) async throws -> Double {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        do {
            let target = try ServerTarget(url: url, tls: nil)
            let loop = group.next()
            let desk = try await loop.submit {
                NIOLoopBound(
                    EmptyRequestDesk(loop: loop, target: target, connections: connections),
                    eventLoop: loop)
            }.get()
            let answers = try await loop.flatSubmit { desk.value.begin(Self.measuredSeconds) }.get()
            try await loop.submit { desk.value.stop() }.get()
            try await group.shutdownGracefully()
            return answers
        } catch {
            // The first error is the one to tell.
            try? await group.shutdownGracefully()
            throw error
        }
    }

    /// Sends the next request as soon as an answer is there.
    private final class EmptyRequestDesk: ConnectionUser {
        private let loop: any EventLoop
        private let clock = RunClock()
        private let connections: [HTTPConnection]
        private let head: ByteBuffer
        private let done: EventLoopPromise<Double>
        private var answers = 0
        private var since: Int64 = 0
        private var isOver = false

        init(loop: any EventLoop, target: ServerTarget, connections count: Int) {
            self.loop = loop
            let clock = clock
            connections = (0..<count).map { _ in
                HTTPConnection(
                    loop: loop, target: target, clock: clock, readBytes: 4096)
            }
            head = ByteBuffer(
                string:
                    "GET /.well-known/waybill-keys.json HTTP/1.1\r\nHost: \(target.authority)\r\n"
                    + "\r\n")
            done = loop.makePromise()
        }

        func begin(_ seconds: Double) -> EventLoopFuture<Double> {
            since = clock.now()
            for connection in connections {
                connection.user = self
                connection.open()
            }
            let bound = NIOLoopBound(self, eventLoop: loop)
            loop.scheduleTask(in: .nanoseconds(Int64(seconds * 1e9))) { bound.value.finish() }
            return done.futureResult
        }

        func stop() {
            for connection in connections { connection.stop() }
        }

        private func finish() {
            isOver = true
            done.succeed(Double(answers) / (Double(clock.now() - since) / 1e9))
        }

        private func ask(_ connection: HTTPConnection) {
            guard !isOver else { return }
            connection.beginRequest()
            connection.request.writeImmutableBuffer(head)
            _ = connection.send(seconds: EmptyRequests.answerSeconds)
        }

        func connectionIsFree(_ connection: HTTPConnection) { ask(connection) }

        func answered(_ connection: HTTPConnection) {
            guard connection.parser.status == 200 else {
                return fail(.malformed)
            }
            answers += 1
            ask(connection)
        }

        func connectionIsGone(_ connection: HTTPConnection, _ fault: WireFault) { fail(fault) }
        func exchangeFailed(_ connection: HTTPConnection, _ fault: WireFault) { fail(fault) }

        private func fail(_ fault: WireFault) {
            guard !isOver else { return }
            isOver = true
            done.fail(EmptyRequestsError(reason: fault.rawValue))
        }
    }
}

/// Why requests without work could not be measured.
package struct EmptyRequestsError: Error, CustomStringConvertible {
    let reason: String

    package var description: String {
        "the server does not answer requests without work: \(reason)"
    }
}

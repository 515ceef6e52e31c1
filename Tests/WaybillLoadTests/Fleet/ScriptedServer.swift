import NIOCore
import NIOPosix
import Synchronization

/// A server of one test: answers each request as a closure says.
final class ScriptedServer: Sendable {
    struct Request: Sendable {
        var method: String
        /// Path and query.
        var target: String
        /// Names in lower case.
        var headers: [String: String]
        var body: String
    }

    struct Answer: Sendable {
        var status: Int
        var body: String

        init(_ status: Int, _ body: String) {
            self.status = status
            self.body = body
        }

        /// A problem document.
        static func problem(_ status: Int, _ code: String, retryable: Bool = false) -> Answer {
            Answer(
                status,
                #"{"title":"t","status":\#(status),"code":"\#(code)","detail":"d","#
                    + #""retryable":\#(retryable)}"#)
        }
    }

    let address: String
    private let channel: any Channel
    private let journal: Journal

    /// - Parameter answer: called on an event loop; the answer goes out a moment later, so that
    ///   requests overlap.
    init(_ answer: @escaping @Sendable (Request) -> Answer) async throws {
        let journal = Journal()
        channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        ScriptHandler(journal: journal, answer: answer))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        self.journal = journal
        address = "http://127.0.0.1:\(channel.localAddress?.port ?? 0)"
    }

    /// Those that were answered, in order.
    func requests(_ method: String, _ path: String) -> [Request] {
        journal.seen.withLock { seen in
            seen.requests.filter { $0.method == method && $0.target.hasPrefix(path) }
        }
    }

    /// The most requests that were under way at a time.
    var underWayMax: Int { journal.seen.withLock { $0.underWayMax } }

    func close() async throws {
        try await channel.close()
    }
}

private final class Journal: Sendable {
    struct Seen: Sendable {
        var requests: [ScriptedServer.Request] = []
        var underWay = 0
        var underWayMax = 0
    }

    let seen = Mutex(Seen())

    func begin() {
        seen.withLock { seen in
            seen.underWay += 1
            seen.underWayMax = max(seen.underWayMax, seen.underWay)
        }
    }

    func end(_ request: ScriptedServer.Request) {
        seen.withLock { seen in
            seen.underWay -= 1
            seen.requests.append(request)
        }
    }
}

private final class ScriptHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    private var text = ""
    private let journal: Journal
    private let answer: @Sendable (ScriptedServer.Request) -> ScriptedServer.Answer

    init(
        journal: Journal,
        answer: @escaping @Sendable (ScriptedServer.Request) -> ScriptedServer.Answer
    ) {
        self.journal = journal
        self.answer = answer
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        text += String(buffer: unwrapInboundIn(data))
        while let request = nextRequest() {
            journal.begin()
            let channel = context.channel
            let (journal, answer) = (journal, answer)
            context.eventLoop.scheduleTask(in: .milliseconds(2)) {
                let answer = answer(request)
                journal.end(request)
                let head =
                    "HTTP/1.1 \(answer.status) X\r\nContent-Type: application/json\r\n"
                    + "Content-Length: \(answer.body.utf8.count)\r\n\r\n"
                channel.writeAndFlush(ByteBuffer(string: head + answer.body), promise: nil)
            }
        }
    }

    private func nextRequest() -> ScriptedServer.Request? {
        guard let end = text.firstRange(of: "\r\n\r\n") else { return nil }
        let lines = text[..<end.lowerBound].split(separator: "\r\n")
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let pair = line.split(separator: ":", maxSplits: 1)
            guard pair.count == 2 else { continue }
            headers[pair[0].lowercased()] = String(pair[1].drop { $0 == " " })
        }
        let count = headers["content-length"].flatMap { Int($0) } ?? 0
        let rest = Array(text[end.upperBound...].utf8)
        guard rest.count >= count, let words = lines.first?.split(separator: " ") else {
            return nil
        }
        text = String(decoding: rest[count...], as: UTF8.self)
        return ScriptedServer.Request(
            method: String(words[0]), target: String(words[1]), headers: headers,
            body: String(decoding: rest[..<count], as: UTF8.self))
    }
}

import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

/// A request as the fake server has read it, whole or cut off.
struct FakeRequest: Sendable {
    /// Of all requests, from 0, in the order of their heads.
    var order = 0
    /// Of all connections, from 0.
    var connection = 0
    var method = ""
    var target = ""
    /// Names in lower case.
    var fields: [String: String] = [:]
    var body: [UInt8] = []
    /// False where the connection ended before all of it had come.
    var isWhole = true

    var path: String { String(target.prefix { $0 != "?" }) }
    var token: String { fields["authorization"]?.split(separator: " ").last.map(String.init) ?? "" }
    var call: String { "\(method) \(path)" }
}

/// What the fake server does with a request.
enum FakeAnswer: Sendable {
    case status(Int, String = "", [String: String] = [:])
    /// These bytes, each piece in a write of its own.
    case raw([String], thenClose: Bool = false)
    case close
    /// Says nothing until ``FakeServer/release(_:)``.
    case hold
}

/// An HTTP server whose answers a test writes.
final class FakeServer: Sendable {
    typealias Script = @Sendable (FakeRequest) -> FakeAnswer

    private struct State {
        var requests: [FakeRequest] = []
        var connections = 0
        var held: [(FakeRequest, any Channel)] = []
        var open: [ObjectIdentifier: any Channel] = [:]
        var isStopped = false
    }

    private let script: Script
    private let state = Mutex(State())
    private let listener = Mutex<(any Channel)?>(nil)
    private let scheme: String
    let port: Int

    /// - Parameter port: 0 for any.
    static func start(
        port: Int = 0, tls: NIOSSLContext? = nil, script: @escaping Script
    ) async throws -> FakeServer {
        let box = Mutex<FakeServer?>(nil)
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                guard let server = box.withLock({ $0 }) else { return channel.close() }
                return channel.eventLoop.makeCompletedFuture {
                    if let tls {
                        try channel.pipeline.syncOperations.addHandler(
                            NIOSSLServerHandler(context: tls))
                    }
                    try channel.pipeline.syncOperations.addHandler(FakeHandler(server: server))
                }
            }
            .bind(host: "127.0.0.1", port: port).get()
        let server = FakeServer(
            port: channel.localAddress?.port ?? 0, scheme: tls == nil ? "http" : "https",
            script: script)
        server.listener.withLock { $0 = channel }
        box.withLock { $0 = server }
        return server
    }

    private init(port: Int, scheme: String, script: @escaping Script) {
        self.port = port
        self.scheme = scheme
        self.script = script
    }

    var url: String { "\(scheme)://127.0.0.1:\(port)/v1" }

    /// All that came, cut ones included, in the order in which they were over.
    var requests: [FakeRequest] { state.withLock { $0.requests } }

    var openConnections: Int { state.withLock { $0.open.count } }

    var held: [FakeRequest] { state.withLock { $0.held.map(\.0) } }

    /// Answers what is held, in order.
    func release(_ answer: (FakeRequest) -> FakeAnswer) {
        let held = state.withLock { state in
            defer { state.held = [] }
            return state.held
        }
        for (request, channel) in held { perform(answer(request), request, on: channel) }
    }

    /// Ends the listening socket and all connections.
    func stop() async throws {
        let channel = listener.withLock { channel in
            defer { channel = nil }
            return channel
        }
        try await channel?.close()
        let open = state.withLock { state in
            state.isStopped = true
            return Array(state.open.values)
        }
        for channel in open { channel.close(promise: nil) }
    }

    fileprivate func opened(_ channel: any Channel) -> Int {
        let (number, isLate) = state.withLock { state in
            state.open[ObjectIdentifier(channel)] = channel
            defer { state.connections += 1 }
            return (state.connections, state.isStopped)
        }
        // It was accepted when the server was about to stop.
        if isLate { channel.close(promise: nil) }
        return number
    }

    fileprivate func closed(_ channel: any Channel) {
        state.withLock { $0.open[ObjectIdentifier(channel)] = nil }
    }

    fileprivate func came(_ request: FakeRequest, on channel: any Channel) {
        var request = request
        request.order = state.withLock { state in
            state.requests.append(request)
            state.requests[state.requests.count - 1].order = state.requests.count - 1
            return state.requests.count - 1
        }
        if request.isWhole { perform(script(request), request, on: channel) }
    }

    private func perform(
        _ answer: FakeAnswer, _ request: FakeRequest, on channel: any Channel
    ) {
        switch answer {
        case .status(let status, let body, let fields):
            var head = "HTTP/1.1 \(status) x\r\n"
            for (name, value) in fields { head += "\(name): \(value)\r\n" }
            head += status == 204 ? "\r\n" : "Content-Length: \(body.utf8.count)\r\n\r\n"
            channel.writeAndFlush(ByteBuffer(string: head + body), promise: nil)
        case .raw(let pieces, let thenClose):
            for piece in pieces { channel.writeAndFlush(ByteBuffer(string: piece), promise: nil) }
            if thenClose { channel.close(promise: nil) }
        case .close: channel.close(promise: nil)
        case .hold: state.withLock { $0.held.append((request, channel)) }
        }
    }
}

/// Reads requests with a length.
private final class FakeHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let server: FakeServer
    private var connection = 0
    private var bytes: [UInt8] = []

    init(server: FakeServer) {
        self.server = server
    }

    func channelActive(context: ChannelHandlerContext) {
        connection = server.opened(context.channel)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        bytes += Array(unwrapInboundIn(data).readableBytesView)
        while let (request, length) = parse(), request.isWhole {
            bytes.removeFirst(length)
            server.came(request, on: context.channel)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        server.closed(context.channel)
        if !bytes.isEmpty {
            var request = parse()?.0 ?? FakeRequest(connection: connection, body: bytes)
            request.isWhole = false
            server.came(request, on: context.channel)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    /// The request at the front and its length; nil before its head is there.
    private func parse() -> (FakeRequest, Int)? {
        let end = Array("\r\n\r\n".utf8)
        guard
            let headLength = bytes.indices.dropLast(3).first(where: {
                bytes[$0] == 13 && bytes[$0..<$0 + 4].elementsEqual(end)
            })
        else { return nil }
        var request = FakeRequest(connection: connection)
        let lines = String(decoding: bytes[..<headLength], as: UTF8.self)
            .split(separator: "\r\n").map(String.init)
        let start = lines[0].split(separator: " ").map(String.init)
        (request.method, request.target) = (start[0], start[1])
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            request.fields[parts[0].lowercased()] = String(parts[1].drop { $0 == " " })
        }
        let length = Int(request.fields["content-length"] ?? "") ?? 0
        let there = bytes.count - headLength - 4
        request.body = Array(bytes[(headLength + 4)...].prefix(length))
        request.isWhole = there >= length
        return (request, headLength + 4 + length)
    }
}

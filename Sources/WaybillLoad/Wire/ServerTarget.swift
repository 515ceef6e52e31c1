internal import NIOCore
internal import NIOPosix
internal import NIOSSL

/// How the server's certificate is checked.
package struct TrafficTLS: Sendable, Equatable {
    /// Certificates in PEM that the server's must descend from; nil: the machine's.
    package var authorityFile: String?

    package init(authorityFile: String? = nil) {
        self.authorityFile = authorityFile
    }
}

/// Why traffic cannot begin.
package enum TrafficError: Error, Sendable, Equatable {
    case noDevices
    /// Devices of one run that were enrolled at several servers.
    case severalServers(String, String)
    case badURL(String)
    case badAuthorities(String)

    /// Nothing changes by trying again.
    package var isRetryable: Bool { false }

    package var isFatal: Bool { true }

    package var shortDescription: String {
        switch self {
        case .noDevices: "no_devices"
        case .severalServers: "several_servers"
        case .badURL: "bad_url"
        case .badAuthorities: "bad_authorities"
        }
    }
}

extension TrafficError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .noDevices: "there are no devices to send with"
        case .severalServers(let one, let other):
            "the devices belong to several servers: \(one) and \(other)"
        case .badURL(let text): "not a URL of a server: \(text)"
        case .badAuthorities(let reason): "the file of certificates cannot be used: \(reason)"
        }
    }
}

/// Where the connections go.
struct ServerTarget: Sendable {
    let host: String
    let port: Int
    /// As `Host` has it.
    let authority: String
    /// Before `/bundles`: `/v1`.
    let path: String
    private let context: NIOSSLContext?
    /// Nil for a name, which is looked up at each connection.
    private let address: SocketAddress?

    static let connectSecondsMax: Int64 = 5

    /// - Parameter url: `http://127.0.0.1:8080/v1`
    init(url: String, tls: TrafficTLS?) throws(TrafficError) {
        let isSecure = url.hasPrefix("https://")
        guard isSecure || url.hasPrefix("http://") else { throw .badURL(url) }
        let rest = url.dropFirst(isSecure ? 8 : 7)
        let end = rest.firstIndex(of: "/") ?? rest.endIndex
        authority = String(rest[..<end])
        var path = String(rest[end...])
        while path.hasSuffix("/") { path.removeLast() }
        self.path = path
        let (host, port) = try Self.split(authority, url: url)
        self.host = host
        self.port = port ?? (isSecure ? 443 : 80)
        address = try? SocketAddress(ipAddress: host, port: self.port)  // a name is none
        context = isSecure ? try Self.context(tls) : nil
    }

    private static func split(
        _ authority: String, url: String
    ) throws(TrafficError) -> (host: String, port: Int?) {
        var host = authority[...]
        var port: Int?
        let afterAddress = authority.lastIndex(of: "]") ?? authority.startIndex
        if let colon = authority.lastIndex(of: ":"), colon >= afterAddress {
            guard let number = Int(authority[authority.index(after: colon)...]),
                (1...65535).contains(number)
            else { throw .badURL(url) }
            port = number
            host = authority[..<colon]
        }
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        guard !host.isEmpty, !host.contains("["), !host.contains("]") else { throw .badURL(url) }
        return (String(host), port)
    }

    private static func context(_ tls: TrafficTLS?) throws(TrafficError) -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        if let file = tls?.authorityFile { configuration.trustRoots = .file(file) }
        do {
            return try NIOSSLContext(configuration: configuration)
        } catch {
            throw .badAuthorities("\(error)")
        }
    }

    var isSecure: Bool { context != nil }

    /// Connects on that loop; `handler` hears of the bytes in clear.
    func connect(
        on loop: any EventLoop, readBytes: Int, handler: WireHandler
    ) -> EventLoopFuture<any Channel> {
        let context = context
        let serverName = address == nil ? host : nil
        let bootstrap = ClientBootstrap(group: loop)
            .connectTimeout(.seconds(Self.connectSecondsMax))
            .channelOption(
                .recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: readBytes)
            )
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let context {
                        try channel.pipeline.syncOperations.addHandler(
                            NIOSSLClientHandler(context: context, serverHostname: serverName))
                    }
                    try channel.pipeline.syncOperations.addHandler(handler)
                }
            }
        guard let address else { return bootstrap.connect(host: host, port: port) }
        return bootstrap.connect(to: address)
    }
}

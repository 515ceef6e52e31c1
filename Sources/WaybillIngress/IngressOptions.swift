package import WaybillHTTP
package import WaybillModel

/// Where the device side listens and what it tells devices.
package struct IngressOptions: Sendable {
    package var host: String
    package var port: Int
    /// PEM files; plain HTTP without them.
    package var tls: TLSFiles?
    /// As devices reach the server, without `/v1`; without one the request's own host is told.
    package var publicURL: String?
    package var limits: Limits
    /// How often a stream of receipts says something, were it a comment.
    package var eventCommentInterval: Duration = .seconds(15)
    /// How often devices that wait for receipts are looked at without a reason.
    package var recheckInterval: Duration = .seconds(10)
    /// How often the registry is brought up to date from the database.
    package var refreshInterval: Duration = .seconds(2)

    /// Whether a peer's address may speak to this listener at all: the trusted proxies, when plain
    /// HTTP is spoken beyond loopback.
    package var admits: @Sendable (String) -> Bool = { _ in true }

    /// Whether a peer is a proxy whose `X-Forwarded-For` is believed.
    package var isProxy: @Sendable (String) -> Bool = { _ in false }

    /// Origins whose pages may call this side from a browser; `*` for all.
    package var origins: Set<String> = []

    /// What a connection may send, and how long it may take.
    package var connection = ConnectionLimits()
    /// Connections at once; more wait until one ends.
    package var connectionsMax = 10_000
    /// Requests of one device at once, streams of receipts among them.
    package var requestsInProgressMax = 64

    /// How often requests from one address may fail for want of a valid token or code.
    package var failureRate = Rate(perSecond: 20, burst: 200)

    package struct TLSFiles: Sendable {
        package var certificate: String
        package var key: String

        package init(certificate: String, key: String) {
            self.certificate = certificate
            self.key = key
        }
    }

    package init(
        host: String, port: Int, tls: TLSFiles? = nil, publicURL: String? = nil,
        limits: Limits = Limits()
    ) {
        self.host = host
        self.port = port
        self.tls = tls
        self.publicURL = publicURL
        self.limits = limits
    }

    /// Where a request comes from: the peer, or whom a trusted proxy names last.
    ///
    /// - Parameter forwarded: the value of `X-Forwarded-For`.
    func clientAddress(peer: String, forwarded: String?) -> String {
        guard isProxy(peer), let named = forwarded,
            let last = named.split(separator: ",").last
        else { return peer }
        let address = last.filter { $0 != " " }
        return address.utf8.count <= 64 ? address : peer
    }

    /// The URL that answers name, without a slash at the end.
    ///
    /// - Parameter authority: the request's `Host`, if it sent one.
    func baseURL(authority: String?) -> String {
        if let publicURL {
            return publicURL.hasSuffix("/") ? String(publicURL.dropLast()) : publicURL
        }
        let scheme = tls == nil ? "http" : "https"
        let own = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        return scheme + "://" + (authority.flatMap(Self.plain) ?? own)
    }

    /// A host and port of harmless characters; nil for anything else.
    private static func plain(_ authority: String) -> String? {
        let isPlain = authority.utf8.allSatisfy { byte in
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                || ".-:[]".utf8.contains(byte)
        }
        return isPlain && !authority.isEmpty ? authority : nil
    }
}

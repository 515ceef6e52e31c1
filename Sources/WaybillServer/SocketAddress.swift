#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// `HOST:PORT`; an IPv6 host stands in brackets.
struct SocketAddress: Sendable, Equatable, CustomStringConvertible {
    let host: String
    let port: Int

    init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"),
            let port = Int(text[text.index(after: colon)...]), (0...65_535).contains(port)
        else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard !host.isEmpty else { return nil }
        self.init(host: String(host), port: port)
    }

    var isLoopback: Bool {
        host == "localhost" || host == "::1" || Self.loopback?.contains(host) == true
    }

    /// Asked for with every request.
    private static let loopback = AddressRange("127.0.0.0/8")

    var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// A CIDR: an IPv4 or IPv6 network and the length of its prefix.
struct AddressRange: Sendable, Equatable {
    private let network: [UInt8]
    private let prefixBits: Int

    init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1)
        guard let first = parts.first, let bytes = Self.bytes(of: String(first)) else { return nil }
        // The length of a prefix counts from the address as it is written.
        let written = first.contains(":") ? 128 : 32
        let bits = parts.count == 2 ? Int(parts[1]) : written
        guard let bits, (written - bytes.count * 8...written).contains(bits) else { return nil }
        network = bytes
        prefixBits = bits - (written - bytes.count * 8)
    }

    /// Whether the address, as text, lies in the network.
    func contains(_ address: String) -> Bool {
        guard let bytes = Self.bytes(of: address), bytes.count == network.count else {
            return false
        }
        let whole = prefixBits / 8
        guard bytes.prefix(whole) == network.prefix(whole) else { return false }
        let rest = prefixBits % 8
        guard rest > 0 else { return true }
        let mask = UInt8(truncatingIfNeeded: 0xff << (8 - rest))
        return bytes[whole] & mask == network[whole] & mask
    }

    /// `::ffff:0:0/96` (RFC 4291, section 2.5.5.2).
    private static let mappedPrefix: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]

    /// In network order; an IPv4 address that is written as an IPv6 one, as a socket for both tells it,
    /// is an IPv4 address.
    private static func bytes(of address: String) -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, address, &buffer) == 1 { return Array(buffer.prefix(4)) }
        guard inet_pton(AF_INET6, address, &buffer) == 1 else { return nil }
        return buffer.starts(with: mappedPrefix) ? Array(buffer.suffix(4)) : buffer
    }
}

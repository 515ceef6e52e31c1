#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// Ports that a server can have again after it was killed.
enum FixedPort {
    /// Below those that the system gives to connections (ip_local_port_range, 32768 on): a client
    /// that goes on trying a dead server's port on this machine could otherwise be given that very
    /// port, connect to itself, and keep the server from coming back.
    private static let range = 20_000..<32_000
    private static let tries = 200

    /// A port that nobody listens on now.
    static func choose(host: String = "127.0.0.1") throws(ServerFailure) -> Int {
        for _ in 0..<tries {
            let port = Int.random(in: range)
            if isFree(host: host, port: port) { return port }
        }
        throw .impossible("no free port was found on \(host) in \(range)")
    }

    static func isFree(host: String, port: Int) -> Bool {
        #if canImport(Glibc)
            let stream = Int32(SOCK_STREAM.rawValue)
        #else
            let stream = SOCK_STREAM
        #endif
        let descriptor = socket(AF_INET, stream, 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        guard inet_pton(AF_INET, host, &address.sin_addr) == 1 else { return false }
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, size) == 0
            }
        }
    }
}

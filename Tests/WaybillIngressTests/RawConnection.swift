import Dispatch

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A TCP connection to this host that sends bytes as they are and reads until the other end closes
/// or a text was seen. For tests of broken and early-refused requests.
final class RawConnection: Sendable {
    struct Failed: Error {
        let number = errno
    }

    private let descriptor: Int32

    /// - Parameter receiveBytes: what the system holds for this end at most, about.
    init(port: Int, receiveBytes: Int32? = nil) throws {
        #if canImport(Glibc)
            descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        #else
            descriptor = socket(AF_INET, SOCK_STREAM, 0)
        #endif
        if var receiveBytes {
            setsockopt(
                descriptor, SOL_SOCKET, SO_RCVBUF, &receiveBytes,
                socklen_t(MemoryLayout<Int32>.size))
        }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var patience = timeval(tv_sec: 60, tv_usec: 0)
        setsockopt(
            descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        let status = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else { throw Failed() }
    }

    deinit {
        close(descriptor)
    }

    func send(_ text: String, _ bytes: [UInt8] = []) throws {
        let all = Array(text.utf8) + bytes
        guard write(descriptor, all, all.count) == all.count else { throw Failed() }
    }

    func endSending() {
        shutdown(descriptor, Int32(SHUT_WR))
    }

    /// Ends with a reset in place of a regular end.
    func resetAtEnd() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(
            descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
    }

    /// All that came, up to the end of the connection or to `text`.
    func read(until text: String? = nil) async -> String {
        await withCheckedContinuation { continuation in
            // The server under test needs the threads of the cooperative pool.
            DispatchQueue.global().async { continuation.resume(returning: self.receive(text)) }
        }
    }

    private func receive(_ text: String?) -> String {
        var received: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            guard count > 0 else { break }
            received += buffer[..<count]
            if let text, String(decoding: received, as: UTF8.self).contains(text) { break }
        }
        return String(decoding: received, as: UTF8.self)
    }
}

import Foundation
import WaybillQueue

#if canImport(Glibc)
    import Glibc

    /// The queue behind sockets, with as little around it as will do: a client sends the length of a
    /// bundle (4 bytes, big-endian) and the bundle, and hears `+` once it is synced, `-` if it was
    /// refused. The first line of output is the port on 127.0.0.1; the end of the input ends it.
    struct Front {
        private let directory: String

        init(_ arguments: Arguments) {
            directory = arguments.required("directory")
        }

        func run() throws {
            let queue = try BenchQueue.open(directory)
            defer { queue.close() }
            let loop = FrontLoop()
            let acceptor = try Acceptor()
            var connections: [Int32: FrontConnection] = [:]
            loop.watch(acceptor.descriptor)
            loop.watch(STDIN_FILENO)
            try Figures.print(["port": Double(acceptor.port)])
            var isOver = false
            while !isOver {
                loop.turn { descriptor in
                    if descriptor == STDIN_FILENO {
                        isOver = true
                    } else if descriptor == acceptor.descriptor {
                        while let accepted = acceptor.accept() {
                            connections[accepted] = FrontConnection(accepted)
                            loop.watch(accepted)
                        }
                    } else if let connection = connections[descriptor] {
                        if !connection.read({ loop.put($0, of: connection, in: queue) }) {
                            connections[descriptor] = nil
                            loop.forget(descriptor)
                        }
                    }
                }
            }
        }
    }

    /// One thread's sockets, and the answers that the log's thread has for them.
    ///
    /// `@unchecked`: `answers` and `isAsleep` are touched under `lock`, the rest on the loop's thread.
    final class FrontLoop: @unchecked Sendable {
        private let bell: (reader: Int32, writer: Int32)
        private let lock = NSLock()
        private var answers: [(connection: FrontConnection, isKept: Bool)] = []
        private var isAsleep = false
        private var watched: [pollfd] = []

        init() {
            var ends: [Int32] = [0, 0]
            guard pipe(&ends) == 0, fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0 else {
                QueueBench.end("no pipe")
            }
            bell = (ends[0], ends[1])
            watch(bell.reader)
        }

        func watch(_ descriptor: Int32) {
            watched.append(pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0))
        }

        func forget(_ descriptor: Int32) {
            watched.removeAll { $0.fd == descriptor }
        }

        /// Puts a bundle in the queue; the connection hears later what became of it.
        func put(_ content: [UInt8], of connection: FrontConnection, in queue: DiskQueue) {
            queue.enqueue(BenchQueue.message(of: content)) { result in
                let isKept = if case .success = result { true } else { false }
                self.lock.lock()
                self.answers.append((connection, isKept))
                let rings = self.isAsleep
                self.isAsleep = false
                self.lock.unlock()
                var byte: UInt8 = 1
                if rings { _ = write(self.bell.writer, &byte, 1) }
            }
        }

        /// Waits for something to happen, hands out ready descriptors, and answers.
        func turn(_ handle: (Int32) -> Void) {
            lock.lock()
            isAsleep = answers.isEmpty
            let mayWait = isAsleep
            lock.unlock()
            _ = poll(&watched, nfds_t(watched.count), mayWait ? -1 : 0)
            lock.lock()
            isAsleep = false
            let ready = answers
            answers.removeAll(keepingCapacity: true)
            lock.unlock()
            for answer in ready { answer.connection.answer(answer.isKept ? "+" : "-") }
            for each in watched where each.revents != 0 {
                if each.fd == bell.reader {
                    var rings: (UInt64, UInt64) = (0, 0)
                    _ = read(bell.reader, &rings, 16)
                } else {
                    handle(each.fd)
                }
            }
        }
    }

    /// Takes connections on a free port of 127.0.0.1.
    struct Acceptor {
        let descriptor: Int32
        let port: UInt16

        init() throws {
            descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(INADDR_LOOPBACK).bigEndian
            var size = socklen_t(MemoryLayout<sockaddr_in>.size)
            let listener = descriptor
            let isBound = withUnsafeMutablePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
                    bind(listener, raw, size) == 0 && listen(listener, 1024) == 0
                        && getsockname(listener, raw, &size) == 0
                }
            }
            guard isBound, fcntl(listener, F_SETFL, O_NONBLOCK) == 0 else {
                throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO)
            }
            port = UInt16(bigEndian: address.sin_port)
        }

        /// Nil when nobody waits.
        func accept() -> Int32? {
            let accepted = Glibc.accept(descriptor, nil, nil)
            guard accepted >= 0, fcntl(accepted, F_SETFL, O_NONBLOCK) == 0 else { return nil }
            var on: Int32 = 1
            setsockopt(
                accepted, Int32(IPPROTO_TCP), TCP_NODELAY, &on,
                socklen_t(MemoryLayout<Int32>.size))
            return accepted
        }
    }

    /// One client. Used on the loop's thread alone, which is what makes `@unchecked` right.
    final class FrontConnection: @unchecked Sendable {
        private let descriptor: Int32
        private var buffer = [UInt8](repeating: 0, count: 8192)
        private var filled = 0

        init(_ descriptor: Int32) {
            self.descriptor = descriptor
        }

        deinit {
            close(descriptor)
        }

        /// Reads what has come and hands on whole bundles; false at the connection's end.
        func read(_ take: ([UInt8]) -> Void) -> Bool {
            let count = buffer.withUnsafeMutableBytes { bytes in
                recv(
                    descriptor, bytes.baseAddress.map { $0 + filled }, bytes.count - filled, 0)
            }
            guard count > 0 else { return count < 0 && (errno == EAGAIN || errno == EINTR) }
            filled += count
            var start = 0
            while filled - start >= 4 {
                let length = buffer[start..<start + 4].reduce(0) { $0 << 8 | Int($1) }
                guard length <= 16 << 20 else { return false }
                guard filled - start >= 4 + length else {
                    let wanted = 4 + length
                    if buffer.count < wanted {
                        buffer += [UInt8](repeating: 0, count: wanted - buffer.count)
                    }
                    break
                }
                take(Array(buffer[start + 4..<start + 4 + length]))
                start += 4 + length
            }
            if start > 0 {
                buffer.replaceSubrange(0..<filled - start, with: buffer[start..<filled])
                filled -= start
            }
            return true
        }

        func answer(_ character: Unicode.Scalar) {
            var byte = UInt8(ascii: character)
            // One byte to a client that waits for it: there is room. One that is gone is noticed by read.
            _ = send(descriptor, &byte, 1, Int32(MSG_NOSIGNAL))
        }
    }
#else
    struct Front {
        init(_ arguments: Arguments) {}

        func run() throws {
            QueueBench.end("the socket front is for Linux")
        }
    }
#endif

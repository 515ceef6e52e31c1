internal import Synchronization

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// Where finished log lines go.
package protocol LogSink: Sendable {
    /// Takes one line, its line feed included. May be called on any thread.
    ///
    /// - Parameter isUrgent: worth a short wait when the destination is not ready.
    func write(_ line: [UInt8], isUrgent: Bool)
}

/// Writes lines to a file descriptor and never blocks for long.
///
/// A line has at most ``LogLine/bytesMax`` bytes, which a pipe takes whole or not at all (pipe(7),
/// PIPE_BUF). When a pipe's reader does not keep up, lines are dropped; how many is said in the next
/// line that gets through.
package final class DescriptorSink: LogSink {
    private let descriptor: Int32
    private let dropped = Mutex(0)

    /// The process's standard error.
    package static let standardError = DescriptorSink(descriptor: 2)

    package init(descriptor: Int32) {
        self.descriptor = descriptor
    }

    package func write(_ line: [UInt8], isUrgent: Bool) {
        dropped.withLock { dropped in
            guard isWritable(waitMilliseconds: isUrgent ? 100 : 0), put(line) else {
                dropped += 1
                return
            }
            if dropped > 0, isWritable(waitMilliseconds: 0) {
                let note =
                    #"{"ts":"","level":"warning","label":"waybill.log","#
                    + #""message":"log lines dropped","log.dropped":\#(dropped)}"# + "\n"
                if put(Array(note.utf8)) { dropped = 0 }
            }
        }
    }

    private func isWritable(waitMilliseconds: Int32) -> Bool {
        var request = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        return poll(&request, 1, waitMilliseconds) == 1 && request.revents & Int16(POLLOUT) != 0
    }

    /// False when the line did not get out whole; there is no better place to report that.
    private func put(_ line: [UInt8]) -> Bool {
        var offset = 0
        while offset < line.count {
            let count = line[offset...].withUnsafeBytes { bytes in
                #if canImport(Glibc)
                    Glibc.write(descriptor, bytes.baseAddress, bytes.count)
                #else
                    Darwin.write(descriptor, bytes.baseAddress, bytes.count)
                #endif
            }
            if count < 0 {
                if errno == EINTR { continue }
                return false
            }
            offset += count
        }
        return true
    }
}

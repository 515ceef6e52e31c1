internal import CLibpq

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// What another session said with `NOTIFY`.
package struct PostgresNotice: Sendable, Equatable {
    package let channel: String
    package let payload: String
    /// The session that said it, as ``PostgresConnection/backendProcessID``.
    package let backendProcessID: Int32
}

extension PostgresConnection {
    /// Waits for notices of the channels that this session listens to.
    ///
    /// - Parameter wakeUp: ends the wait as well, from any thread.
    /// - Returns: what has come, in its order; nothing after `timeout` or a wake-up.
    /// - Throws: ``PostgresError/connectionLost(_:)``: notices may have been missed from then on.
    package func notices(
        wakeUp: PostgresWakeUp, timeout: Duration
    ) throws(PostgresError) -> [PostgresNotice] {
        let early = takeNotices()
        if !early.isEmpty { return early }
        var descriptors = unsafe [
            pollfd(fd: PQsocket(raw), events: Int16(POLLIN), revents: 0),
            pollfd(fd: wakeUp.readEnd, events: Int16(POLLIN), revents: 0),
        ]
        let milliseconds =
            timeout.components.seconds * 1000
            + timeout.components.attoseconds / 1_000_000_000_000_000
        guard unsafe poll(&descriptors, 2, Int32(clamping: milliseconds)) > 0 else { return [] }
        if descriptors[1].revents != 0 { wakeUp.drain() }
        guard descriptors[0].revents != 0 else { return [] }
        guard unsafe PQconsumeInput(raw) == 1, unsafe PQstatus(raw) == CONNECTION_OK else {
            throw .connectionLost(unsafe Self.text(PQerrorMessage(raw)))
        }
        return takeNotices()
    }

    private func takeNotices() -> [PostgresNotice] {
        var notices: [PostgresNotice] = []
        while let notice = unsafe PQnotifies(raw) {
            unsafe notices.append(
                PostgresNotice(
                    channel: String(cString: notice.pointee.relname),
                    payload: String(cString: notice.pointee.extra),
                    backendProcessID: notice.pointee.be_pid))
            unsafe PQfreemem(notice)
        }
        return notices
    }
}

/// Ends a thread's wait for notices.
package final class PostgresWakeUp: Sendable {
    let readEnd: Int32
    private let writeEnd: Int32

    /// - Throws: ``PostgresError/unavailable(_:)`` without two free descriptors.
    package init() throws(PostgresError) {
        var ends: [Int32] = [0, 0]
        guard unsafe pipe(&ends) == 0 else { throw .unavailable("no pipe (errno \(errno))") }
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        (readEnd, writeEnd) = (ends[0], ends[1])
    }

    deinit {
        close(readEnd)
        close(writeEnd)
    }

    /// Ends the wait that is on, or the next one. Never blocks: a full pipe says it already.
    package func signal() {
        var byte: UInt8 = 1
        _ = unsafe write(writeEnd, &byte, 1)
    }

    func drain() {
        var bytes: [UInt8] = Array(repeating: 0, count: 64)
        while unsafe read(readEnd, &bytes, bytes.count) == bytes.count {}
    }
}

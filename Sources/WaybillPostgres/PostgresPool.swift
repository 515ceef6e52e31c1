internal import WaybillThreads

/// A fixed number of sessions, each on a dedicated thread, shared by asynchronous callers.
///
/// Work waits in a bounded line for a free session, for a bounded time. A session that died while
/// nobody used it is replaced before the next work sees it. While the server is away work fails at
/// once instead of waiting its turn to fail.
package final class PostgresPool: Sendable {
    private let line: Monitor<WaitingLine>
    private let waitMax: Duration
    private let lengthMax: Int

    /// Starts the threads; sessions open with the first work.
    ///
    /// - Parameters:
    ///   - threads: how many statements can run at the same time.
    ///   - waitMax: longest wait for a free session.
    ///   - lengthMax: how much work may wait.
    package init(
        _ options: ConnectionOptions, threads: Int, waitMax: Duration = .seconds(5),
        lengthMax: Int = 1024
    ) throws(PostgresError) {
        precondition(threads > 0, "a pool needs a thread")
        let line = Monitor(WaitingLine())
        self.line = line
        self.waitMax = waitMax
        self.lengthMax = lengthMax
        do throws(ThreadError) {
            for number in 1...threads {
                _ = try NamedThread(name: "pg-pool-\(number)") {
                    var session = PooledSession(options: options, line: line)
                    session.run()
                }
            }
            _ = try NamedThread(name: "pg-pool-timer") { Self.expireWaiting(in: line) }
        } catch {
            close()
            switch error {
            case .cannotStart(let number): throw .cannotStartThread(errno: number)
            }
        }
    }

    deinit {
        close()
    }

    /// Runs `body` with a session on one of the pool's threads; `body` may block.
    ///
    /// - Throws: what `body` throws; ``PostgresError/unavailable(_:)`` when no session was free in
    ///   time, the task was cancelled meanwhile, or the pool is closed;
    ///   ``PostgresError/cannotConnect(_:)`` when the server does not answer.
    package func withConnection<Value: Sendable>(
        _ body: @escaping @Sendable (PostgresConnection) throws -> Value
    ) async throws -> Value {
        let number = line.withLock { $0.takeNumber() }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let work = PooledWork(
                    number: number, deadline: .after(waitMax),
                    run: { connection in
                        continuation.resume(with: Result { try body(connection) })
                    },
                    fail: { continuation.resume(throwing: $0) })
                // A task cancelled before this point finds no work to take back.
                let refusal =
                    Task.isCancelled
                    ? PostgresError.unavailable("the task was cancelled")
                    : line.update { $0.join(work, lengthMax: lengthMax) }
                if let refusal { work.fail(refusal) }
            }
        } onCancel: {
            let work = line.update { $0.leave(number) }
            work?.fail(.unavailable("the task was cancelled"))
        }
    }

    /// Refuses further work, fails what waits, and ends each thread after the work that it has.
    package func close() {
        let waiting = line.update { $0.close() }
        for work in waiting { work.fail(.unavailable("the pool is closed")) }
    }

    private static func expireWaiting(in line: Monitor<WaitingLine>) {
        while true {
            // The first in line has the earliest deadline: all wait equally long.
            let next = line.wait { state -> Deadline?? in
                if state.isClosed { return .some(nil) }
                return state.waiting.first.map { .some($0.deadline) }
            }
            guard let next, let next else { return }
            let isClosed = line.wait(timeout: next.remaining) { $0.isClosed ? true : nil }
            if isClosed == true { return }
            let expired = line.update { $0.takeExpired() }
            for work in expired { work.fail(.unavailable("no session was free in time")) }
        }
    }
}

/// One piece of work that waits for a session. Exactly one of its two closures is called, once.
private struct PooledWork: Sendable {
    let number: UInt64
    let deadline: Deadline
    let run: @Sendable (PostgresConnection) -> Void
    let fail: @Sendable (PostgresError) -> Void
}

private struct WaitingLine {
    private(set) var waiting: [PooledWork] = []
    private(set) var isClosed = false
    /// Sessions that are open.
    var connectedCount = 0
    private var lastNumber: UInt64 = 0

    mutating func takeNumber() -> UInt64 {
        lastNumber += 1
        return lastNumber
    }

    /// Nil if the work is in line now.
    mutating func join(_ work: PooledWork, lengthMax: Int) -> PostgresError? {
        if isClosed { return .unavailable("the pool is closed") }
        if waiting.count >= lengthMax { return .unavailable("too much work waits") }
        waiting.append(work)
        return nil
    }

    mutating func joinAtFront(_ work: PooledWork) {
        waiting.insert(work, at: 0)
    }

    mutating func leave(_ number: UInt64) -> PooledWork? {
        waiting.firstIndex { $0.number == number }.map { waiting.remove(at: $0) }
    }

    mutating func takeFirst() -> PooledWork? {
        waiting.isEmpty ? nil : waiting.removeFirst()
    }

    mutating func takeExpired() -> [PooledWork] {
        let expired = waiting.prefix { $0.deadline.hasPassed }
        waiting.removeFirst(expired.count)
        return Array(expired)
    }

    mutating func close() -> [PooledWork] {
        isClosed = true
        defer { waiting = [] }
        return waiting
    }
}

/// One thread of the pool with its session.
private struct PooledSession {
    let options: ConnectionOptions
    let line: Monitor<WaitingLine>
    private var connection: PostgresConnection?
    private var backoff = Backoff(base: .milliseconds(50), ceiling: .seconds(2))
    private var retryAt = Deadline.now
    private var lastError = PostgresError.unavailable("no session yet")

    init(options: ConnectionOptions, line: Monitor<WaitingLine>) {
        self.options = options
        self.line = line
    }

    mutating func run() {
        while true {
            let mayServe = connection != nil
            let isBackingOff = !mayServe && !retryAt.hasPassed
            let taken = line.wait(timeout: isBackingOff ? retryAt.remaining : nil) {
                state -> PooledWork?? in
                if state.isClosed { return .some(nil) }
                // While others have sessions, one without leaves the work to them.
                if isBackingOff, state.connectedCount > 0 { return nil }
                return state.takeFirst().map { .some($0) }
            }
            guard let taken else { continue }
            guard let work = taken else { break }
            serve(work)
        }
        drop()
    }

    private mutating func serve(_ work: PooledWork) {
        if let connection, !connection.isAlive { drop() }
        if connection == nil {
            guard retryAt.hasPassed else { return work.fail(lastError) }
            connect()
        }
        if let connection { return work.run(connection) }
        let error = lastError
        let isTakenOver = line.update { state in
            guard state.connectedCount > 0, !state.isClosed else { return false }
            state.joinAtFront(work)
            return true
        }
        if !isTakenOver { work.fail(error) }
    }

    private mutating func connect() {
        do {
            connection = try PostgresConnection(options)
            backoff.reset()
            line.update { $0.connectedCount += 1 }
        } catch {
            lastError = error
            retryAt = .after(backoff.next())
        }
    }

    private mutating func drop() {
        guard connection != nil else { return }
        connection = nil
        line.update { $0.connectedCount -= 1 }
    }
}

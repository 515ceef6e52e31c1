internal import Synchronization
internal import WaybillThreads

/// A fixed number of sessions, each on a dedicated thread, shared by asynchronous callers.
///
/// Work waits in a bounded line for a free session, for a bounded time. A session that died while
/// nobody used it is replaced before the next work sees it. While the server is away work fails at
/// once instead of waiting its turn to fail. With an answer time, callers are told in time also when
/// the server is frozen: their work stays with its session, and once every session is stuck so, new
/// work fails at once.
package final class PostgresPool: Sendable {
    private let line: Monitor<WaitingLine>
    private let waitMax: Duration
    private let answerMax: Duration?
    private let lengthMax: Int

    /// Starts the threads; sessions open with the first work.
    ///
    /// - Parameters:
    ///   - threads: how many statements can run at the same time.
    ///   - waitMax: longest wait for a free session.
    ///   - answerMax: longest time from asking for a session to the end of the work, as far as the
    ///     caller waits for it; nil for no limit.
    ///   - lengthMax: how much work may wait.
    package init(
        _ options: ConnectionOptions, threads: Int, waitMax: Duration = .seconds(5),
        answerMax: Duration? = nil, lengthMax: Int = 1024
    ) throws(PostgresError) {
        precondition(threads > 0, "a pool needs a thread")
        let line = Monitor(WaitingLine(sessionCount: threads))
        self.line = line
        self.waitMax = waitMax
        self.answerMax = answerMax
        self.lengthMax = lengthMax
        do throws(ThreadError) {
            for number in 1...threads {
                _ = try NamedThread(name: "pg-pool-\(number)") {
                    var session = PooledSession(options: options, line: line)
                    session.run()
                }
            }
            _ = try NamedThread(name: "pg-pool-timer") { Self.expire(in: line) }
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
    /// - Parameter answerMax: instead of the pool's own answer time, for work that takes long.
    /// - Throws: what `body` throws; ``PostgresError/unavailable(_:)`` when no session was free in
    ///   time, the answer did not come in time (the work may still take effect), the task was
    ///   cancelled meanwhile, or the pool is closed; ``PostgresError/cannotConnect(_:)`` when the
    ///   server does not answer.
    package func withConnection<Value: Sendable>(
        answerMax: Duration? = nil,
        _ body: @escaping @Sendable (PostgresConnection) throws -> Value
    ) async throws -> Value {
        let number = line.withLock { $0.takeNumber() }
        let answerEnd = (answerMax ?? self.answerMax).map { Deadline.after($0) }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let answer = SingleAnswer(continuation)
                let waitEnd = Deadline.after(waitMax)
                let work = PooledWork(
                    number: number, waitEnd: answerEnd.map { min($0, waitEnd) } ?? waitEnd,
                    answerEnd: answerEnd,
                    run: { connection in answer.give(Result { try body(connection) }) },
                    fail: { answer.give(.failure($0)) })
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

    private static func expire(in line: Monitor<WaitingLine>) {
        while true {
            let next = line.wait { state -> Deadline?? in
                if state.isClosed { return .some(nil) }
                return state.nextEnd.map { .some($0) }
            }
            guard let next, let next else { return }
            // Work that comes meanwhile ends later than this, or wakes nobody in vain: each end is
            // looked at again.
            let isClosed = line.wait(timeout: next.remaining) { state -> Bool? in
                if state.isClosed { return true }
                return state.nextEnd.map { $0 < next } == true ? false : nil
            }
            if isClosed == true { return }
            let expired = line.update { $0.takeExpired() }
            for work in expired.waiting { work.fail(.unavailable("no session was free in time")) }
            for work in expired.running { work.fail(.unavailable("no answer came in time")) }
        }
    }
}

/// Resumes a caller with the first answer there is; later ones are dropped.
private final class SingleAnswer<Value: Sendable>: Sendable {
    private let continuation: Mutex<CheckedContinuation<Value, any Error>?>

    init(_ continuation: CheckedContinuation<Value, any Error>) {
        self.continuation = Mutex(continuation)
    }

    func give(_ result: Result<Value, any Error>) {
        let waiting = continuation.withLock { continuation in
            defer { continuation = nil }
            return continuation
        }
        waiting?.resume(with: result)
    }
}

/// One piece of work that waits for a session or runs on one.
private struct PooledWork: Sendable {
    let number: UInt64
    /// Until then it must have a session.
    let waitEnd: Deadline
    /// Until then its caller waits for the end.
    let answerEnd: Deadline?
    let run: @Sendable (PostgresConnection) -> Void
    let fail: @Sendable (PostgresError) -> Void
}

private struct WaitingLine {
    private(set) var waiting: [PooledWork] = []
    /// With a session, and still awaited.
    private var running: [UInt64: PooledWork] = [:]
    /// With a session that has not come back in time.
    private var late: Set<UInt64> = []
    private(set) var isClosed = false
    /// Sessions that are open.
    var connectedCount = 0
    private var lastNumber: UInt64 = 0
    private let sessionCount: Int

    init(sessionCount: Int) {
        self.sessionCount = sessionCount
    }

    mutating func takeNumber() -> UInt64 {
        lastNumber += 1
        return lastNumber
    }

    /// Nil if the work is in line now.
    mutating func join(_ work: PooledWork, lengthMax: Int) -> PostgresError? {
        if isClosed { return .unavailable("the pool is closed") }
        if late.count >= sessionCount { return .unavailable("no session answers") }
        if waiting.count >= lengthMax { return .unavailable("too much work waits") }
        waiting.append(work)
        return nil
    }

    mutating func joinAtFront(_ work: PooledWork) {
        running[work.number] = nil
        waiting.insert(work, at: 0)
    }

    mutating func leave(_ number: UInt64) -> PooledWork? {
        waiting.firstIndex { $0.number == number }.map { waiting.remove(at: $0) }
    }

    mutating func takeFirst() -> PooledWork? {
        guard !waiting.isEmpty else { return nil }
        let work = waiting.removeFirst()
        if work.answerEnd != nil { running[work.number] = work }
        return work
    }

    /// The session has come back from the work.
    mutating func end(_ work: PooledWork) {
        running[work.number] = nil
        late.remove(work.number)
    }

    /// When somebody has waited long enough next.
    var nextEnd: Deadline? {
        let waitEnd = waiting.lazy.map(\.waitEnd).min()
        let answerEnd = running.values.lazy.compactMap(\.answerEnd).min()
        guard let waitEnd else { return answerEnd }
        return answerEnd.map { min($0, waitEnd) } ?? waitEnd
    }

    mutating func takeExpired() -> (waiting: [PooledWork], running: [PooledWork]) {
        let stuck = running.values.filter { $0.answerEnd?.hasPassed == true }
        for work in stuck {
            running[work.number] = nil
            late.insert(work.number)
        }
        let expired = waiting.filter { $0.waitEnd.hasPassed }
        if !expired.isEmpty { waiting.removeAll { $0.waitEnd.hasPassed } }
        // Nobody is there to serve the rest.
        guard late.count >= sessionCount else { return (expired, Array(stuck)) }
        defer { waiting = [] }
        return (expired + waiting, Array(stuck))
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
            guard retryAt.hasPassed else { return fail(work, lastError) }
            connect()
        }
        if let connection {
            work.run(connection)
            return line.update { $0.end(work) }
        }
        let error = lastError
        let isTakenOver = line.update { state in
            guard state.connectedCount > 0, !state.isClosed else { return false }
            state.joinAtFront(work)
            return true
        }
        if !isTakenOver { fail(work, error) }
    }

    private func fail(_ work: PooledWork, _ error: PostgresError) {
        line.update { $0.end(work) }
        work.fail(error)
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

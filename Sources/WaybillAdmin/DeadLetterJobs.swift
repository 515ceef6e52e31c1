internal import Logging
internal import ServiceLifecycle
internal import Synchronization
internal import WaybillModel
internal import WaybillStore

/// Retries or discards all dead letters that fit a filter, page by page, with progress.
///
/// One job runs at a time, others wait. Jobs live in memory only: a restart forgets them, and each
/// letter is either done or not, so that the same job can be asked for again.
package final class DeadLetterJobs: Service {
    private struct State {
        /// Oldest first.
        var jobs: [JobStatus] = []
        /// Those that wait and may begin, oldest first; at most as many as there are unfinished ones.
        var line: [JobID] = []
        var running: JobID?
        /// Running ones that are to end.
        var cancelled: Set<JobID> = []
        var isStopping = false

        mutating func update(_ id: JobID, _ change: (inout JobStatus) -> Void) {
            guard let index = jobs.firstIndex(where: { $0.id == id }) else { return }
            change(&jobs[index])
        }
    }

    private let office: DeadLetterOffice
    private let operations: any OperationStore
    private let node: String
    private let state = Mutex(State())
    /// Yields when there may be something in line.
    private let wakeUps: AsyncStream<Void>
    private let wakeUp: AsyncStream<Void>.Continuation
    private let logger = Logger(label: "waybill.dead-letters")

    private static let pageSize = 200
    /// Waiting and running ones.
    static let unfinishedMax = 16
    private static let finishedMax = 100
    private static let failuresToldMax = 20

    /// - Parameter node: this server node, as the audit names it.
    package init(office: DeadLetterOffice, operations: any OperationStore, node: String) {
        self.office = office
        self.operations = operations
        self.node = node
        (wakeUps, wakeUp) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Works the jobs off until shutdown; a job that runs then ends after its page.
    package func run() async throws {
        await withGracefulShutdownHandler {
            for await _ in wakeUps.cancelOnGracefulShutdown() {
                while let id = takeNext() { await work(id) }
            }
        } onGracefulShutdown: {
            // Not cancelled: what a page has begun is brought to its end.
            self.state.withLock { $0.isStopping = true }
        }
        endAll()
    }

    /// Newest first.
    var all: [JobStatus] { state.withLock { $0.jobs.reversed() } }

    func find(_ id: JobID) -> JobStatus? {
        state.withLock { state in state.jobs.first { $0.id == id } }
    }

    /// Takes a job on; it begins after ``start(_:)``.
    ///
    /// - Throws: 429 when too many wait.
    func add(
        _ action: DeadLetterAction, _ filter: DeadLetterFilter
    ) throws(Problem) -> JobStatus {
        var filter = filter
        let now = Timestamp.now
        // What is set aside while the job runs is not meant by it.
        filter.before = filter.before.map { min($0, now) } ?? now
        let job = JobStatus(
            id: .random(), kind: "dead_letters.\(action.rawValue)", filter: filter, startedAt: now)
        let isAdded = state.withLock { state in
            guard state.jobs.count(where: { !$0.hasEnded }) < Self.unfinishedMax else {
                return false
            }
            let ended = state.jobs.filter(\.hasEnded)
            if ended.count >= Self.finishedMax, let oldest = ended.first {
                state.jobs.removeAll { $0.id == oldest.id }
            }
            state.jobs.append(job)
            return true
        }
        guard isAdded else {
            throw Problem(
                title: "Too many jobs", status: 429, code: "too_many_jobs",
                detail: "\(Self.unfinishedMax) jobs wait or run already.", retryable: true,
                retryAfter: 10)
        }
        return job
    }

    /// Puts a job in line.
    func start(_ id: JobID) {
        state.withLock { state in
            guard state.jobs.contains(where: { $0.id == id && !$0.hasEnded }) else { return }
            state.line.append(id)
        }
        wakeUp.yield()
    }

    /// Ends a job before its next page; what it has done stays done.
    ///
    /// - Returns: the job as it is now; nil if there is none.
    func cancel(_ id: JobID) -> JobStatus? {
        state.withLock { state in
            guard let job = state.jobs.first(where: { $0.id == id }), !job.hasEnded else {
                return state.jobs.first { $0.id == id }
            }
            if state.running == id {
                // It notices by itself.
                state.cancelled.insert(id)
            } else {
                state.line.removeAll { $0 == id }
                state.update(id) { $0.end(.cancelled) }
            }
            return state.jobs.first { $0.id == id }
        }
    }

    /// The next one in line; nil while there is none, or no more is to begin.
    private func takeNext() -> JobID? {
        state.withLock { state in
            guard !state.isStopping, !state.line.isEmpty else { return nil }
            let id = state.line.removeFirst()
            state.running = id
            return id
        }
    }

    private func work(_ id: JobID) async {
        defer {
            state.withLock { state in
                state.running = nil
                state.cancelled.remove(id)
            }
        }
        guard let job = find(id), !job.hasEnded,
            let action = DeadLetterAction(
                rawValue: String(job.kind.split(separator: ".").last ?? ""))
        else { return }
        do {
            let total = try await office.catalogue.deadLetterTotals(job.filter, state: .open)
            update(id) { job in
                job.state = .running
                job.total = total.count
            }
            let isWhole = try await walk(job, action)
            update(id) { $0.end(isWhole ? .done : .cancelled) }
        } catch {
            update(id) { $0.end(.failed, "\(Problem(operatorError: error).detail)") }
        }
        await recordEnd(id)
    }

    /// - Returns: false when it was cancelled on the way.
    private func walk(
        _ job: JobStatus, _ action: DeadLetterAction
    ) async throws(StoreError) -> Bool {
        let actor = DeadLetterActor(
            name: AdminCalls.actor, node: node, reason: "job \(job.id)")
        var query = DeadLetterQuery(filter: job.filter, limit: Self.pageSize)
        while true {
            let isEnding = state.withLock { $0.isStopping || $0.cancelled.contains(job.id) }
            guard !isEnding, !Task.isCancelled else { return false }
            let letters = try await office.catalogue.deadLetters(query)
            guard let last = letters.last else { return true }
            let failures = try await office.perform(action, on: letters, by: actor)
            update(job.id) { $0.note(letters.count, failures, toldMax: Self.failuresToldMax) }
            query.after = DeadLetterQuery.Position(last)
        }
    }

    private func update(_ id: JobID, _ change: (inout JobStatus) -> Void) {
        state.withLock { $0.update(id, change) }
    }

    private func endAll() {
        state.withLock { state in
            for job in state.jobs where !job.hasEnded {
                state.update(job.id) { $0.end(.cancelled, "The server stopped.") }
            }
        }
    }

    private func recordEnd(_ id: JobID) async {
        guard let job = find(id) else { return }
        let event = AuditEvent(
            kind: "\(job.kind)_all.ended", actor: AdminCalls.actor, subject: id.description,
            details: [
                "state": job.state.rawValue, "total": "\(job.total)", "done": "\(job.done)",
                "failed": "\(job.failed)",
            ])
        do {
            try await operations.record(event, node: node)
        } catch {
            logger.error(
                "a job's end is missing in the audit",
                metadata: ["job.id": "\(id)", "error": "\(error)"])
        }
    }
}

extension JobStatus {
    fileprivate mutating func end(_ state: State, _ detail: String? = nil) {
        self.state = state
        self.detail = detail
        endedAt = .now
    }

    fileprivate mutating func note(
        _ count: Int, _ failures: [DeadLetterOffice.Failure], toldMax: Int
    ) {
        done += count - failures.count
        failed += failures.count
        for failure in failures.prefix(max(0, toldMax - self.failures.count)) {
            self.failures.append(Failure(id: failure.id, detail: failure.problem.detail))
        }
    }
}

internal import DequeModule

/// A serial executor that runs its actor's jobs on one dedicated, named thread.
///
/// An actor that makes blocking calls returns it from `unownedExecutor` and must keep a strong
/// reference to it. The thread ends after ``stop()``, once the jobs already enqueued have run.
package final class ThreadExecutor: SerialExecutor {
    private struct Jobs {
        var waiting: Deque<UnownedJob> = []
        var isStopping = false
    }

    private let jobs = Monitor(Jobs())

    /// - Parameter name: the thread's name, cut to 15 bytes.
    /// - Throws: ``ThreadError`` when the system refuses another thread.
    package init(name: String) throws(ThreadError) {
        // The thread holds the queue, not the executor, and lives until `stop()` or `deinit`.
        let jobs = jobs
        let current = CurrentExecutor()
        self.current = current
        _ = try NamedThread(name: name) {
            while true {
                let job = jobs.wait { state -> UnownedJob?? in
                    if let job = state.waiting.popFirst() { return .some(job) }
                    return state.isStopping ? .some(nil) : nil
                }
                guard let job, let job else { return }
                guard let executor = current.reference else { return }
                job.runSynchronously(on: executor)
            }
        }
        current.reference = asUnownedSerialExecutor()
    }

    private let current: CurrentExecutor

    deinit {
        stop()
    }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        jobs.update { $0.waiting.append(job) }
    }

    package func asUnownedSerialExecutor() -> UnownedSerialExecutor {
        UnownedSerialExecutor(ordinary: self)
    }

    /// Ends the thread after the jobs that are already enqueued. Later jobs never run.
    package func stop() {
        jobs.update { $0.isStopping = true }
    }
}

/// `@unchecked`: written once in the initialiser, before a job can reach the thread that reads it.
private final class CurrentExecutor: @unchecked Sendable {
    var reference: UnownedSerialExecutor?
}

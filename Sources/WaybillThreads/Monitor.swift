#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// State behind one lock with one condition: threads wait until it changes.
///
/// For threads only: a task that waited here would block the cooperative pool. Tasks may call
/// ``withLock(_:)`` and ``update(_:)``, which hold the lock for as long as the closure runs.
package final class Monitor<State>: @unchecked Sendable {
    // `@unchecked`: `state` is touched only while `mutex` is held.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>
    // Whoever holds the mutex has it alone, and to take it twice is a deadlock: no need to look again.
    @exclusivity(unchecked) private var state: State

    package init(_ state: sending State) {
        self.state = state
        mutex = .allocate(capacity: 1)
        condition = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        #if canImport(Glibc)
            var attributes = pthread_condattr_t()
            pthread_condattr_init(&attributes)
            pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
            pthread_cond_init(condition, &attributes)
            pthread_condattr_destroy(&attributes)
        #else
            pthread_cond_init(condition, nil)
        #endif
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Runs `body` with the lock held; wakes nobody.
    package func withLock<Result, Failure: Error>(
        _ body: (inout sending State) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body(&state)
    }

    /// Runs `body` with the lock held, then wakes every waiting thread.
    package func update<Result, Failure: Error>(
        _ body: (inout sending State) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        pthread_mutex_lock(mutex)
        defer {
            pthread_cond_broadcast(condition)
            pthread_mutex_unlock(mutex)
        }
        return try body(&state)
    }

    /// Waits until `body` returns a value, and returns it; nil once `timeout` has passed.
    ///
    /// `body` runs with the lock held, first at once and then after each ``update(_:)``.
    /// Returning nil from it means: not yet.
    package func wait<Result>(
        timeout: Duration? = nil, until body: (inout sending State) -> sending Result?
    ) -> sending Result? {
        let deadline = timeout.map { Deadline.after($0) }
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while true {
            if let result = body(&state) { return result }
            guard let deadline else {
                pthread_cond_wait(condition, mutex)
                continue
            }
            guard !deadline.hasPassed else { return nil }
            #if canImport(Glibc)
                var until = deadline.monotonicTime
                pthread_cond_timedwait(condition, mutex, &until)
            #else
                var remaining = deadline.remainingTime
                pthread_cond_timedwait_relative_np(condition, mutex, &remaining)
            #endif
        }
    }
}

internal import Synchronization

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// A joinable operating system thread with a name that `top -H` and debuggers show.
///
/// Work that blocks (libpq, fsync, inflating a large part) runs on one of these and never on the
/// cooperative pool or on an event loop.
///
/// A thread that nobody joined runs on without this object and leaves nothing behind when it ends.
package final class NamedThread: Sendable {
    private let handle: ThreadHandle
    private let isJoined = Atomic(false)

    /// Starts a thread that runs `body` once and then ends.
    ///
    /// - Parameters:
    ///   - name: shown by the operating system; cut to 15 bytes on Linux.
    ///   - body: runs on the new thread.
    /// - Throws: ``ThreadError/cannotStart(errno:)`` when the system refuses another thread.
    package init(
        name: String, body: @escaping @Sendable () -> Void
    ) throws(ThreadError) {
        let box = ThreadBody(name: String(name.prefix(15)), run: body)
        let context = Unmanaged.passRetained(box)
        #if canImport(Glibc)
            var thread = pthread_t()
            let status = pthread_create(
                &thread, nil,
                { raw in
                    guard let raw else { return nil }
                    let box = Unmanaged<ThreadBody>.fromOpaque(raw).takeRetainedValue()
                    nameCurrentThread(box.name)
                    box.run()
                    return nil
                }, context.toOpaque())
            guard status == 0 else {
                context.release()
                throw .cannotStart(errno: status)
            }
            handle = ThreadHandle(thread: thread)
        #else
            var thread: pthread_t?
            let status = pthread_create(
                &thread, nil,
                { raw in
                    let box = Unmanaged<ThreadBody>.fromOpaque(raw).takeRetainedValue()
                    pthread_setname_np(box.name)
                    box.run()
                    return nil
                }, context.toOpaque())
            guard status == 0, let thread else {
                context.release()
                throw .cannotStart(errno: status)
            }
            handle = ThreadHandle(thread: thread)
        #endif
    }

    /// Waits until the body has returned. Call it once, from another thread, and never from a task.
    package func join() {
        isJoined.store(true, ordering: .relaxed)
        pthread_join(handle.thread, nil)
    }

    deinit {
        // A thread that is neither joined nor detached keeps its stack for ever.
        if !isJoined.load(ordering: .relaxed) { pthread_detach(handle.thread) }
    }
}

/// Why a thread could not be started.
package enum ThreadError: Error, CustomStringConvertible {
    /// The system's error number, as `pthread_create(3)` returned it.
    case cannotStart(errno: Int32)

    package var description: String {
        switch self {
        case .cannotStart(let number): "cannot start a thread (errno \(number))"
        }
    }
}

#if canImport(Glibc)
    /// `pthread_setname_np(3)` is hidden from Swift (it wants _GNU_SOURCE); this is what it writes to.
    /// A thread without a name works as well as one with it, so errors are ignored.
    private func nameCurrentThread(_ name: String) {
        let file = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { return }
        _ = name.withCString { write(file, $0, strlen($0)) }
        close(file)
    }
#endif

/// `@unchecked`: `pthread_t` is an opaque identifier that is written once, before it is shared.
private struct ThreadHandle: @unchecked Sendable {
    let thread: pthread_t
}

private final class ThreadBody: Sendable {
    let name: String
    let run: @Sendable () -> Void

    init(name: String, run: @escaping @Sendable () -> Void) {
        self.name = name
        self.run = run
    }
}

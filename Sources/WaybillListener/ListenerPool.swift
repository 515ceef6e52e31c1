internal import Logging
internal import ServiceLifecycle
package import WaybillModel
internal import WaybillThreads

/// Listeners, each a thread with its own database connection; their number changes while they run.
///
/// A listener that is taken away finishes its batch first.
package final class ListenerPool: Service {
    private struct State {
        var target: Int
        var running: Set<Int> = []
        var busy: Set<Int> = []
        var isStarted = false
        var isStopping = false
        var finished: [CheckedContinuation<Void, Never>] = []
    }

    private let state: Monitor<State>
    private let context: ListenerContext
    private let logger = Logger(label: "waybill.listener")

    package init(context: ListenerContext) {
        self.context = context
        state = Monitor(State(target: context.options.target))
    }

    /// How many listeners there are and should be, at this moment.
    package var status: ListenerStatus {
        let options = context.options
        return state.withLock { state in
            ListenerStatus(
                target: state.target, running: state.running.count, busy: state.busy.count,
                min: options.min, max: options.max, autoscale: false)
        }
    }

    /// Changes the number of listeners: more start at once, surplus ones end after their batch.
    ///
    /// - Throws: ``ListenerError/outOfRange(target:min:max:)``; nothing has changed then.
    package func setTarget(_ target: Int) throws(ListenerError) {
        let options = context.options
        guard (options.min...options.max).contains(target) else {
            throw .outOfRange(target: target, min: options.min, max: options.max)
        }
        state.update { $0.target = target }
        logger.info("listeners set", metadata: ["listeners.target": "\(target)"])
        startMissing()
        context.queue.wake()
    }

    /// Runs until shutdown; returns when every listener has finished its batch.
    package func run() async throws {
        state.update { $0.isStarted = true }
        startMissing()
        // Cancellation ends the pool in the same orderly way as a graceful shutdown.
        try? await gracefulShutdown()
        state.update { $0.isStopping = true }
        context.queue.wake()
        await allFinished()
    }

    private func allFinished() async {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            let isFinished = state.update { state in
                if state.running.isEmpty { return true }
                state.finished.append(continuation)
                return false
            }
            if isFinished { continuation.resume() }
        }
    }

    private func startMissing() {
        let missing = state.update { state -> [Int] in
            guard state.isStarted, !state.isStopping else { return [] }
            let missing = (0..<state.target).filter { !state.running.contains($0) }
            state.running.formUnion(missing)
            return missing
        }
        for slot in missing { start(slot) }
    }

    private func start(_ slot: Int) {
        do {
            _ = try NamedThread(name: "listener-\(slot)") { [self] in
                let worker = ListenerWorker(
                    context: context,
                    shouldEnd: { [state] in
                        state.withLock { $0.isStopping || slot >= $0.target }
                    },
                    pause: { [state] duration in
                        let ended: Bool? = state.wait(timeout: duration) {
                            $0.isStopping || slot >= $0.target ? true : nil
                        }
                        return ended ?? false
                    },
                    setBusy: { [state] isBusy in
                        state.withLock { state in
                            if isBusy { state.busy.insert(slot) } else { state.busy.remove(slot) }
                        }
                    })
                repeat { worker.run() } while !end(slot)
            }
        } catch {
            logger.error(
                "a listener's thread could not be started", metadata: ["error": "\(error)"])
            state.update { _ = $0.running.remove(slot) }
        }
    }

    /// Takes the slot out of the pool; false when the target was raised meanwhile.
    private func end(_ slot: Int) -> Bool {
        let (ended, waiting) = state.update { state -> (Bool, [CheckedContinuation<Void, Never>]) in
            guard state.isStopping || slot >= state.target else { return (false, []) }
            state.running.remove(slot)
            guard state.running.isEmpty else { return (true, []) }
            defer { state.finished = [] }
            return (true, state.finished)
        }
        for continuation in waiting { continuation.resume() }
        return ended
    }
}

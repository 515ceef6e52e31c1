internal import Logging
internal import ServiceLifecycle
internal import Synchronization
package import WaybillModel
internal import WaybillThreads

/// Listeners, each a thread with its own database connection; their number changes while they run.
///
/// A listener that is taken away finishes its batch first.
package final class ListenerPool: Service {
    private struct State {
        var target: Int
        var autoscaler: Autoscaler?
        var running: Set<Int> = []
        var notes: [Int: ListenerNote] = [:]
        var settled = 0
        var isStarted = false
        var isStopping = false
        var finished: [CheckedContinuation<Void, Never>] = []

        var busy: Int { notes.count { $0.value.busySince != nil } }
    }

    private let state: Monitor<State>
    private let context: ListenerContext
    /// Held through a change, so that two operators' changes come one after the other.
    private let changing = Mutex(())
    private let keep: @Sendable (ListenerSetting) throws -> Void
    /// Starts a named thread that runs the body once.
    typealias StartThread = @Sendable (String, @escaping @Sendable () -> Void) throws -> Void
    private let startThread: StartThread
    private let logger = Logger(label: "waybill.listener")

    /// - Parameter keep: makes a setting outlive a restart; durable on return.
    package convenience init(
        context: ListenerContext,
        keep: @escaping @Sendable (ListenerSetting) throws -> Void = { _ in }
    ) {
        self.init(context: context, keep: keep) { name, body in
            _ = try NamedThread(name: name, body: body)
        }
    }

    /// As above, with other threads; for tests.
    init(
        context: ListenerContext, keep: @escaping @Sendable (ListenerSetting) throws -> Void,
        startThread: @escaping StartThread
    ) {
        self.context = context
        self.keep = keep
        self.startThread = startThread
        let options = context.options
        let autoscaler = options.automatic.map { bounds in
            Autoscaler(range: bounds, target: options.target, at: .now)
        }
        state = Monitor(
            State(target: autoscaler?.target ?? options.target, autoscaler: autoscaler))
    }

    /// How many listeners there are and should be, at this moment.
    package var status: ListenerStatus {
        state.withLock { status(of: $0) }
    }

    private func status(of state: State) -> ListenerStatus {
        let options = context.options
        return ListenerStatus(
            target: state.target, running: state.running.count, busy: state.busy,
            min: state.autoscaler?.range.lowerBound ?? options.min,
            max: state.autoscaler?.range.upperBound ?? options.max,
            autoscale: state.autoscaler != nil)
    }

    /// One listener; nil for a number that no listener of this pool can have.
    package func listener(_ number: Int) -> ListenerSummary? {
        guard (0..<context.options.max).contains(number) else { return nil }
        return state.withLock { state in
            let note = state.notes[number] ?? ListenerNote()
            let isRunning = state.running.contains(number)
            let isEnding = isRunning && number >= state.target
            return ListenerSummary(
                number: number,
                state: !isRunning
                    ? .stopped : isEnding ? .ending : note.busySince == nil ? .idle : .busy,
                busySince: note.busySince, batch: note.batch, settled: note.settled)
        }
    }

    /// Does what an operator wants, if the pool is as that operator believes.
    ///
    /// More listeners start at once, surplus ones end after their batch. Writes a small file, so it
    /// may take some milliseconds.
    ///
    /// - Parameter isExpected: looks at the pool as it is; false leaves everything as it is.
    /// - Returns: the status before and after.
    /// - Throws: ``ListenerError/outOfRange(target:min:max:)``,
    ///   ``ListenerError/boundsInvalid(min:max:limit:)``, ``ListenerError/notAsExpected(target:)``
    ///   or ``ListenerError/settingUnwritable(_:)``; nothing has changed then.
    package func change(
        _ change: ListenerChange, where isExpected: (ListenerStatus) -> Bool
    ) throws(ListenerError) -> (before: ListenerStatus, after: ListenerStatus) {
        let statuses = try changing.withLock { _ throws(ListenerError) in
            let before = status
            guard isExpected(before) else {
                throw ListenerError.notAsExpected(target: before.target)
            }
            let setting = try setting(for: change, target: before.target)
            do {
                try keep(setting)
            } catch {
                throw ListenerError.settingUnwritable("\(error)")
            }
            let after = state.update { state in
                state.target = setting.target
                state.autoscaler = setting.automatic.map {
                    Autoscaler(range: $0.min...$0.max, target: setting.target, at: .now)
                }
                return status(of: state)
            }
            return (before: before, after: after)
        }
        logger.info(
            "listeners set",
            metadata: [
                "listeners.target": "\(statuses.after.target)",
                "listeners.autoscale": "\(statuses.after.autoscale)",
            ])
        startMissing()
        context.queue.wake()
        return statuses
    }

    private func setting(
        for change: ListenerChange, target: Int
    ) throws(ListenerError) -> ListenerSetting {
        let options = context.options
        switch change {
        case .keep: return ListenerSetting(target: target)
        case .fixed(let target):
            guard (options.min...options.max).contains(target) else {
                throw .outOfRange(target: target, min: options.min, max: options.max)
            }
            return ListenerSetting(target: target)
        case .automatic(let min, let max):
            guard options.min <= min, min <= max, max <= options.max, max >= 1 else {
                throw .boundsInvalid(min: min, max: max, limit: options.max)
            }
            return ListenerSetting(
                target: Swift.min(Swift.max(target, min), max), automatic: .init(min: min, max: max)
            )
        }
    }

    /// Moves the number of listeners if it is left to the pool and the queue asks for it.
    func autoscale(waiting: Int, oldestAge: Duration, at time: Deadline = .now) {
        let change = state.update { state -> (from: Int, to: Int)? in
            let sample = Autoscaler.Sample(
                time: time, waiting: waiting, oldestAge: oldestAge, busy: state.busy,
                settled: state.settled)
            guard let target = state.autoscaler?.decide(sample), target != state.target else {
                return nil
            }
            defer { state.target = target }
            return (state.target, target)
        }
        guard let change else { return }
        logger.info(
            "listeners scaled",
            metadata: [
                "listeners.from": "\(change.from)", "listeners.target": "\(change.to)",
                "queue.waiting": "\(waiting)",
            ])
        startMissing()
        context.queue.wake()
    }

    /// Runs until shutdown; returns when every listener has finished its batch.
    package func run() async throws {
        state.update { $0.isStarted = true }
        startMissing()
        await cancelWhenGracefulShutdown {
            // Cancellation ends the pool in the same orderly way as a graceful shutdown.
            while (try? await Task.sleep(for: self.context.options.restartInterval)) != nil {
                // A thread that the system refused is asked for again.
                self.startMissing()
            }
        }
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
            try startThread("listener-\(slot)") { [self] in
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
                    note: { [state] work in
                        state.withLock { state in
                            var note = state.notes[slot] ?? ListenerNote()
                            switch work {
                            case .took(let bundles):
                                note.busySince = .now
                                note.batch = bundles
                            case .ended(let settled):
                                note.busySince = nil
                                note.batch = 0
                                note.settled += settled
                                state.settled += settled
                            }
                            state.notes[slot] = note
                        }
                    })
                repeat { worker.run() } while !end(slot)
            }
        } catch {
            logger.error(
                "a listener's thread could not be started", metadata: ["error": "\(error)"])
            end(slot, whateverTheTarget: true)
        }
    }

    /// Takes the slot out of the pool; false when the target was raised meanwhile.
    @discardableResult
    private func end(_ slot: Int, whateverTheTarget: Bool = false) -> Bool {
        let (ended, waiting) = state.update { state -> (Bool, [CheckedContinuation<Void, Never>]) in
            guard whateverTheTarget || state.isStopping || slot >= state.target else {
                return (false, [])
            }
            state.running.remove(slot)
            guard state.running.isEmpty else { return (true, []) }
            defer { state.finished = [] }
            return (true, state.finished)
        }
        for continuation in waiting { continuation.resume() }
        return ended
    }
}

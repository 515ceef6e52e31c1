internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// The devices' side of a run: sends bundles as the plan wants them, and reads receipts.
///
/// Made once for a run, and to be ended with ``close()``. All work is done on its own event loops.
package final class Traffic: Sendable {
    private let plan: LoadPlan
    private let clock: RunClock
    private let options: TrafficOptions
    private let group: MultiThreadedEventLoopGroup
    private let lanes: [TrafficLane]

    /// - Throws: where devices are missing, or their server's URL or the certificates are no good.
    package init(
        plan: LoadPlan, devices: [LoadDevice], ports: TrafficPorts, clock: RunClock,
        tls: TrafficTLS? = nil, options: TrafficOptions = TrafficOptions()
    ) throws(TrafficError) {
        guard let first = devices.first else { throw .noDevices }
        if let other = devices.first(where: { $0.baseURL != first.baseURL }) {
            throw .severalServers(first.baseURL, other.baseURL)
        }
        let target = try ServerTarget(url: first.baseURL, tls: tls)
        self.plan = plan
        self.clock = clock
        self.options = options
        let count = max(1, min(options.loops, devices.count))
        let group = MultiThreadedEventLoopGroup(numberOfThreads: count)
        self.group = group
        lanes = (0..<count).map { lane in
            let context = LaneContext(
                loop: group.next(),
                partition: LanePartition(lane: lane, lanes: count, devices: devices.count),
                clock: clock, plan: plan, ports: ports, options: options)
            return TrafficLane(context: context, plan: plan, devices: devices, target: target)
        }
    }

    /// Runs `work` on each thread that sends and reads; to be called before the first connection.
    package func prepareThreads(_ work: @escaping @Sendable () throws -> Void) async throws {
        for lane in lanes { try await lane.context.loop.submit(work).get() }
    }

    /// Sends until the plan's time or number of bundles is over; returns when everything sent is
    /// acknowledged, or refused and given up, or when the patience after the last due bundle is over.
    /// What has no answer then is unanswered. Cancelling ends it at once, with the same result.
    ///
    /// - Parameter onPhase: called on any thread, in order.
    package func run(onPhase: @escaping @Sendable (TrafficPhase) -> Void = { _ in }) async throws {
        let phases = PhaseTeller(onPhase)
        onPhase(.warmUp)
        let origin = clock.now()
        let since = origin + Int64(plan.warmupSeconds * 1e9)
        let until = plan.durationSeconds.map { since + Int64($0 * 1e9) }
        let window = MeasuredWindow(since: since, until: until)
        let measuring = lanes[0].context.loop.scheduleTask(
            deadline: lanes[0].context.deadline(since)
        ) { phases.measure(since: since) }
        for lane in lanes {
            let arrivals = arrivals(lane.context.partition, origin: origin, until: until)
            lane.context.loop.execute {
                lane.prepare()
                lane.beginSending(arrivals, window: window)
            }
        }
        try await withTaskCancellationHandler {
            for lane in lanes { try await lane.exhausted.futureResult.get() }
            measuring.cancel()
            phases.drain(since: clock.now() >= since ? since : nil)
            let patience = lanes.map { lane in
                lane.context.loop.scheduleTask(
                    in: .nanoseconds(Int64(options.patienceSeconds * 1e9))
                ) { lane.endPatience() }
            }
            for lane in lanes { try await lane.sent.futureResult.get() }
            for timer in patience { timer.cancel() }
        } onCancel: {
            for lane in lanes { lane.context.loop.execute { lane.abandon() } }
        }
        onPhase(.finished)
    }

    private func arrivals(
        _ partition: LanePartition, origin: Int64, until: Int64?
    ) -> UploadDesk.Arrivals {
        guard let schedule = ArrivalSchedule(plan.arrivals, seed: plan.seed) else {
            return .closed(until: until ?? .max)
        }
        return .scheduled(
            LaneArrivals(
                schedule, partition: partition, origin: origin, until: until ?? .max,
                bundlesMax: plan.bundles ?? .max))
    }

    /// Reads receipts, verifies nothing, hands them to the ledger and confirms them; returns after
    /// ``finishReading(patience:)``, or when it is cancelled.
    package func readReceipts() async throws {
        for lane in lanes { lane.context.loop.execute { lane.beginReading() } }
        try await withTaskCancellationHandler {
            for lane in lanes { try await lane.read.futureResult.get() }
        } onCancel: {
            for lane in lanes { lane.context.loop.execute { lane.endReading() } }
        }
    }

    /// Returns when each acknowledged bundle has its receipt, or after `patience` seconds; to be
    /// called when ``run(onPhase:)`` has returned. At last every device is asked once more, so that
    /// receipts beyond the expected ones are read as well.
    ///
    /// - Returns: how many acknowledged bundles have no receipt.
    @discardableResult
    package func finishReading(patience seconds: Double) async throws -> Int {
        for lane in lanes {
            lane.context.loop.execute { lane.finishReading() }
            let timer = lane.context.loop.scheduleTask(in: .nanoseconds(Int64(seconds * 1e9))) {
                lane.endReading()
            }
            lane.read.futureResult.whenComplete { _ in timer.cancel() }
        }
        var open = 0
        for lane in lanes {
            try await lane.read.futureResult.get()
            open += try await lane.context.loop.submit { lane.openCount }.get()
        }
        return open
    }

    /// Ends all connections and threads; once.
    package func close() async throws {
        for lane in lanes { try await lane.context.loop.submit { lane.stop() }.get() }
        try await group.shutdownGracefully()
    }

    // MARK: What is counted

    /// A snapshot.
    package func counters() async throws -> TrafficCounters {
        var all = TrafficCounters()
        for part in try await collect({ $0.stats.counters }) { all.add(part) }
        return all
    }

    /// What happened since the last call.
    package func interval() async throws -> TrafficInterval {
        TrafficInterval(try await collect { $0.stats.takeInterval() })
    }

    /// `ack`, `ack_uncorrected`, `settle` and `settle_uncorrected` of the measured time, then
    /// `send_delay`: from the moment at which a bundle was due with its device and a connection free
    /// to its first byte.
    package func latencies() async throws -> [LoadReport.Latency] {
        let book = try await latencyBook()
        return LatencyBook.Kind.allCases.map { book.latency($0) }
    }

    /// What the generator says of itself; `seconds` are those of the run.
    package func generator(seconds: Double) async throws -> LoadReport.Generator {
        let counters = try await counters()
        var generator = LoadReport.Generator()
        generator.starved = counters.starved
        generator.sendDelayP99 = try await latencyBook().percentile(99, of: .sendDelay) ?? 0
        generator.loopCPU = seconds > 0 ? Double(counters.loopNanoseconds) / 1e9 / seconds : 0
        return generator
    }

    private func latencyBook() async throws -> LatencyBook {
        var book = LatencyBook()
        for part in try await collect({ $0.stats.latencies }) { book.add(part) }
        return book
    }

    private func collect<Part: Sendable>(
        _ part: @escaping @Sendable (LaneContext) -> Part
    ) async throws -> [Part] {
        var parts: [Part] = []
        for lane in lanes {
            let context = lane.context
            parts.append(
                try await context.loop.submit {
                    context.noteProcessorTime()
                    return part(context)
                }.get())
        }
        return parts
    }
}

/// Tells the phases in order, though one comes from a timer.
private final class PhaseTeller: Sendable {
    private let onPhase: @Sendable (TrafficPhase) -> Void
    /// Whether the measured time need not be told any more.
    private let isOver = Mutex(false)

    init(_ onPhase: @escaping @Sendable (TrafficPhase) -> Void) {
        self.onPhase = onPhase
    }

    func measure(since: Int64) {
        isOver.withLock { isOver in
            guard !isOver else { return }
            isOver = true
            onPhase(.measured(since: since))
        }
    }

    /// - Parameter since: when the measured time began; nil where it never did.
    func drain(since: Int64?) {
        if let since { measure(since: since) }
        isOver.withLock { $0 = true }
        onPhase(.draining)
    }
}

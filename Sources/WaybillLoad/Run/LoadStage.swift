internal import Synchronization
internal import WaybillClient
internal import WaybillModel

/// Everything that a run needs, ready for the first upload.
struct LoadStage: Sendable {
    let plan: LoadPlan
    let target: LoadTarget
    let session: ClientSession
    let maker: BundleMaker
    let supply: BundleSupply
    let clock: RunClock
    let ledger: BundleLedger
    let loops: Int
    /// How many listeners work off what was held back for them.
    let heldListeners: Int
}

/// What the load itself gave, before the audit.
struct LoadFigures: Sendable {
    /// The measured time.
    var seconds: Double
    var totals: LoadReport.Totals
    var latencies: [LoadReport.Latency]
    var series: [LoadReport.Sample]
    var marks: [LoadReport.Mark]
    var generator: LoadReport.Generator
}

extension LoadStage {
    /// Sends, reads, and waits for what is still in the queue.
    func load(
        _ onProgress: @escaping @Sendable (LoadProgress) -> Void
    ) async throws -> LoadFigures {
        var options = TrafficOptions()
        options.loops = loops
        options.patienceSeconds = plan.settleSeconds
        let traffic = try Traffic(
            plan: plan, devices: maker.devices,
            ports: TrafficPorts(recipes: maker.book, source: supply, ledger: ledger), clock: clock,
            tls: target.authorityFile.map { TrafficTLS(authorityFile: $0) }, options: options)
        do {
            if let enterNetwork = target.enterNetwork {
                try await traffic.prepareThreads(enterNetwork)
            }
            let figures = try await load(traffic, onProgress)
            try await close(traffic)
            return figures
        } catch {
            // The first error is the one to tell.
            try? await close(traffic)
            throw error
        }
    }

    private func close(_ traffic: Traffic) async throws {
        await supply.stop()
        try await traffic.close()
    }

    private func load(
        _ traffic: Traffic, _ onProgress: @escaping @Sendable (LoadProgress) -> Void
    ) async throws -> LoadFigures {
        let watch = LoadWatch(plan: plan, clock: clock, onProgress: onProgress)
        let sampler = Sampler(
            target: target, session: session, clock: clock,
            reading: { try await traffic.interval() }, sealedAhead: { supply.level.count })
        return try await withThrowingTaskGroup(of: LoadFigures?.self) { group in
            defer { group.cancelAll() }
            group.addTask {
                await sampler.run { watch.show($0, ledger: ledger.totals) }
                return nil
            }
            group.addTask {
                try await watchSupply()
                return nil
            }
            group.addTask { try await conduct(traffic, watch, sampler) }
            while let ended = try await group.next() {
                if let ended { return ended }
            }
            throw CancellationError()
        }
    }

    /// Returns never; throws why nothing more is sealed, for then the load would wait for ever.
    private func watchSupply() async throws {
        while true {
            if let failure = supply.failure { throw failure }
            try await Task.sleep(for: .seconds(1))
        }
    }

    private func conduct(
        _ traffic: Traffic, _ watch: LoadWatch, _ sampler: Sampler
    ) async throws -> LoadFigures {
        let marks = Mutex<[LoadReport.Mark]>([])
        var drained: Double?
        if plan.holdsListeners {
            try await send(traffic, watch, marks)
            drained = try await drain()
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            defer { group.cancelAll() }
            group.addTask { try await traffic.readReceipts() }
            if !plan.holdsListeners { try await send(traffic, watch, marks) }
            try await traffic.finishReading(patience: plan.settleSeconds)
            try await group.waitForAll()
        }
        return try await figures(
            traffic, sampler, marks: marks.withLock { $0 }, drainedSeconds: drained)
    }

    // MARK: Sending, and chaos meanwhile

    private func send(
        _ traffic: Traffic, _ watch: LoadWatch, _ marks: borrowing Mutex<[LoadReport.Mark]>
    ) async throws {
        let (phases, phase) = AsyncStream.makeStream(of: TrafficPhase.self)
        let found = try await withThrowingTaskGroup(of: [LoadReport.Mark].self) { group in
            group.addTask {
                defer { phase.finish() }
                try await traffic.run { entered in
                    watch.entered(entered)
                    phase.yield(entered)
                }
                return []
            }
            group.addTask { try await chaos(phases) }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        marks.withLock { $0 = found }
    }

    /// Carries the plan's chaos out in the measured time; all trouble is over on return.
    private func chaos(_ phases: AsyncStream<TrafficPhase>) async throws -> [LoadReport.Mark] {
        var phases = phases.makeAsyncIterator()
        while let phase = await phases.next() {
            guard case .measured(let since) = phase else { continue }
            guard let runner = target.chaos else { return [] }
            let time = MeasuredTime(clock: clock, start: since)
            let carried = runner(time, session)
            return try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await carried.run() }
                while let later = await phases.next() {
                    if later == .draining || later == .finished { break }
                }
                time.finish()
                try await group.waitForAll()
                return carried.marks
            }
        }
        return []
    }

    // MARK: Settling alone

    private static let depthInterval = Duration.milliseconds(20)

    /// Sets the listeners to work on what was acknowledged; the seconds until nothing is left, nil
    /// where that took longer than the plan's patience.
    private func drain() async throws -> Double? {
        let admin = try target.admin(session)
        let start = ContinuousClock.now
        _ = try await admin.setListeners(target: heldListeners)
        while try await admin.queue().depth > 0 {
            guard ContinuousClock.now - start < .seconds(plan.settleSeconds) else { return nil }
            try await Task.sleep(for: Self.depthInterval)
        }
        return (ContinuousClock.now - start) / .seconds(1)
    }

    // MARK: What came of it

    private func figures(
        _ traffic: Traffic, _ sampler: Sampler, marks: [LoadReport.Mark], drainedSeconds: Double?
    ) async throws -> LoadFigures {
        let counters = try await traffic.counters()
        let origin = counters.measuredSince ?? 0
        var totals = counters.totals
        if let drainedSeconds, drainedSeconds > 0 {
            totals.settledPerSecond = Double(counters.receipted) / drainedSeconds
            totals.transactionsPerSecond = Double(counters.outcomes.total) / drainedSeconds
        }
        var generator = try await traffic.generator(seconds: Double(clock.now()) / 1e9)
        generator.judge(sends: counters.sends, loops: loops)
        return LoadFigures(
            seconds: Double((counters.measuredUntil ?? origin) - origin) / 1e9, totals: totals,
            latencies: try await traffic.latencies(), series: sampler.series(origin: origin),
            marks: marks, generator: generator)
    }
}

extension LoadReport.Generator {
    /// Says why the figures may be the generator's instead of the server's.
    mutating func judge(sends: Int, loops: Int) {
        if starved * 100 > sends {
            saturation.append(
                "\(starved) of \(sends) uploads waited for a bundle to be sealed: seal in advance, "
                    + "or with more threads")
        }
        if sendDelayP99 > 10 {
            saturation.append(
                "one upload of a hundred began \(Int(sendDelayP99)) ms or more after it was due, "
                    + "although a connection was free")
        }
        if loopCPU > 0.85 * Double(loops) {
            saturation.append("the threads that send were busy all the time")
        }
    }
}

internal import Synchronization
internal import WaybillClient
internal import WaybillModel

/// Looks once a second at the traffic, the server and this process, and keeps what it saw.
final class Sampler: Sendable {
    private struct Previous {
        var at = ContinuousClock.now
        var own = OwnUse.cpuSeconds()
        var server: Double?
    }

    private let target: LoadTarget
    private let session: ClientSession
    private let clock: RunClock
    private let reading: @Sendable () async throws -> TrafficInterval
    private let sealedAhead: @Sendable () -> Int
    private let samples = Mutex<[LoadReport.Sample]>([])

    /// - Parameters:
    ///   - reading: what the traffic counted since it was last asked.
    ///   - sealedAhead: bundles that lie ready now.
    init(
        target: LoadTarget, session: ClientSession, clock: RunClock,
        reading: @escaping @Sendable () async throws -> TrafficInterval,
        sealedAhead: @escaping @Sendable () -> Int
    ) {
        self.target = target
        self.session = session
        self.clock = clock
        self.reading = reading
        self.sealedAhead = sealedAhead
    }

    /// So far, oldest first.
    ///
    /// - Parameter origin: the run's nanosecond that is second 0.
    func series(origin: Int64) -> [LoadReport.Sample] {
        samples.withLock { $0 }.map { sample in
            var sample = sample
            sample.second -= Double(origin) / 1e9
            return sample
        }
    }

    /// Samples until the task is cancelled.
    ///
    /// - Parameter onSample: called after each.
    func run(_ onSample: @Sendable (LoadReport.Sample) -> Void) async {
        var previous = Previous()
        previous.server = target.gauge?.cpuSeconds()
        var tick = ContinuousClock.now
        while !Task.isCancelled {
            tick += .seconds(1)
            do {
                try await Task.sleep(until: tick, clock: .continuous)
            } catch {
                return
            }
            let sample = await take(&previous)
            samples.withLock { $0.append(sample) }
            onSample(sample)
            // After a pause of the whole machine: no burst of samples.
            if ContinuousClock.now - tick > .seconds(2) { tick = .now }
        }
    }

    private func take(_ previous: inout Previous) async -> LoadReport.Sample {
        var sample = LoadReport.Sample(second: Double(clock.now()) / 1e9)
        // Threads that have ended count nothing.
        let interval = (try? await reading()) ?? TrafficInterval()
        sample.acknowledged = interval.acknowledged
        sample.settled = interval.settled
        sample.transactionsSettled = interval.transactionsSettled
        sample.errors = interval.errors
        sample.ackP50 = interval.ackP50
        sample.ackP99 = interval.ackP99
        sample.settleP50 = interval.settleP50
        sample.settleP99 = interval.settleP99
        sample.sealedAhead = sealedAhead()
        let now = ContinuousClock.now
        let elapsed = (now - previous.at) / .seconds(1)
        let own = OwnUse.cpuSeconds()
        sample.generatorCPU = (own - previous.own) / elapsed
        sample.serverBytes = target.gauge?.residentBytes()
        let server = target.gauge?.cpuSeconds()
        if let server, let before = previous.server {
            sample.serverCPU = (server - before) / elapsed
        }
        previous = Previous(at: now, own: own, server: server)
        // While the server is down there is nothing to see of it.
        if let admin = try? target.admin(session) {
            sample.backlog = try? await admin.queue().depth
            sample.listeners = try? await admin.listeners().running
        }
        return sample
    }
}

internal import Synchronization
internal import WaybillClient
internal import WaybillModel

/// Looks once a second at the traffic, the server and this process, and keeps what it saw.
final class Sampler: Sendable {
    /// What the traffic counted since the sampler last asked.
    typealias TrafficReading = @Sendable (_ second: Double) -> LoadReport.Sample

    private struct State {
        var series: [LoadReport.Sample] = []
        var phase: LoadProgress.Phase?
    }

    private struct Previous {
        var at = ContinuousClock.now
        var own = OwnUse.cpuSeconds()
        var server: Double?
    }

    private let admin: AdminClient
    private let gauge: (any ServerGauge)?
    private let clock: RunClock
    /// The run's nanosecond at which the measured time begins.
    private let origin: Int64
    private let reading: TrafficReading
    private let state = Mutex(State())

    init(
        admin: AdminClient, gauge: (any ServerGauge)?, clock: RunClock, origin: Int64,
        reading: @escaping TrafficReading
    ) {
        self.admin = admin
        self.gauge = gauge
        self.clock = clock
        self.origin = origin
        self.reading = reading
    }

    /// So far, oldest first.
    var series: [LoadReport.Sample] { state.withLock { $0.series } }

    /// Samples until the task is cancelled.
    ///
    /// - Parameter onSample: called after each.
    func run(_ onSample: @Sendable (LoadReport.Sample) -> Void) async {
        var previous = Previous()
        previous.server = gauge?.cpuSeconds()
        var tick = ContinuousClock.now
        while !Task.isCancelled {
            tick += .seconds(1)
            do {
                try await Task.sleep(until: tick, clock: .continuous)
            } catch {
                return
            }
            let sample = await take(&previous)
            state.withLock { $0.series.append(sample) }
            onSample(sample)
            // After a pause of the whole machine: no burst of samples.
            if ContinuousClock.now - tick > .seconds(2) { tick = .now }
        }
    }

    private func take(_ previous: inout Previous) async -> LoadReport.Sample {
        let second = Double(clock.now() - origin) / 1e9
        var sample = reading(second)
        // While the server is down there is nothing to see of it.
        sample.backlog = try? await admin.queue().depth
        sample.listeners = try? await admin.listeners().running
        let now = ContinuousClock.now
        let elapsed = (now - previous.at) / .seconds(1)
        let own = OwnUse.cpuSeconds()
        sample.generatorCPU = (own - previous.own) / elapsed
        sample.serverBytes = gauge?.residentBytes()
        let server = gauge?.cpuSeconds()
        if let server, let before = previous.server, server >= before {
            sample.serverCPU = (server - before) / elapsed
        }
        previous = Previous(at: now, own: own, server: server)
        return sample
    }
}

import Foundation
import WaybillModel

@testable import WaybillLoad

/// Reports as a run would give them, made from a seed.
struct SampleReport {
    var seed: UInt64 = 1
    /// Measured seconds.
    var seconds = 300
    var warmup = 15
    /// Multiplied with all throughput.
    var speed = 1.0
    /// Multiplied with all latencies.
    var slowness = 1.0
    var hasChaos = true
    var latencyCount = 40_000

    func make() -> LoadReport {
        var random = SampleRandom(seed: seed)
        var report = SampleReport.empty
        report.seconds = Double(seconds)
        report.plan = plan()
        report.marks = hasChaos ? marks : []
        report.series = series(&random)
        report.latencies = latencies(&random)
        report.totals = totals(report.series)
        report.audit = audit(report.totals)
        report.generator.starved = 3
        report.generator.sendDelayP99 = 0.8
        report.generator.loopCPU = 0.41
        report.objectives = [
            ObjectiveVerdict(
                objective: "settle_p99<2s", measured: report.latency("settle")?.p99, isMet: false),
            ObjectiveVerdict(objective: "lost==0", measured: 0, isMet: true),
        ]
        return report
    }

    /// What is left of a run that ended before its first bundle.
    static var empty: LoadReport {
        LoadReport(
            startedAt: Timestamp(microseconds: 1_795_269_600_000_000), seconds: 0, plan: LoadPlan(),
            machine: LoadReport.Machine(
                cores: 2, memoryBytes: 8_326_000_000, processor: "Example Processor 3.2 GHz",
                system: "Linux 6.1.0 x86_64"), totals: LoadReport.Totals(), latencies: [],
            series: [], marks: [], generator: LoadReport.Generator(), audit: AuditReport(),
            objectives: [])
    }

    private func plan() -> LoadPlan {
        var plan = LoadPlan()
        plan.devices = 500
        plan.arrivals = LoadPlan.Arrivals(model: .poisson, rate: 900)
        plan.durationSeconds = Double(seconds)
        plan.warmupSeconds = Double(warmup)
        plan.lateSeconds = 60
        plan.objectives = ["settle_p99<2s", "lost==0"]
        plan.mix = [
            LoadPlan.BundleShape(share: 0.7, transactions: 10),
            LoadPlan.BundleShape(share: 0.3, transactions: 100),
        ]
        guard hasChaos else { return plan }
        plan.chaos = [
            LoadPlan.ChaosStep(atSeconds: 60, action: .killServer),
            LoadPlan.ChaosStep(atSeconds: 120, action: .killPostgres, seconds: 10),
        ]
        return plan
    }

    /// When the server does not answer, and when its database does not.
    private let serverAway: [ClosedRange<Int>] = [60...64, 235...239]
    private let databaseAway = 120...132

    private let marks = [
        LoadReport.Mark(second: 60, endSecond: 64, text: "kill-server"),
        LoadReport.Mark(second: 120, endSecond: 132, text: "kill-postgres for 10 s"),
        LoadReport.Mark(second: 150, text: "scale: 4 → 12 listeners"),
        LoadReport.Mark(second: 156, text: "scale: 12 → 2 listeners"),
        LoadReport.Mark(second: 165, text: "scale: 2 → 6 listeners"),
        LoadReport.Mark(second: 180, endSecond: 210, text: "network: lossy"),
        LoadReport.Mark(second: 228, endSecond: 240, text: "fill-disk for 10 s"),
        LoadReport.Mark(second: 235, endSecond: 239, text: "kill-server"),
        LoadReport.Mark(second: 291, text: "scale: 6 → 4 listeners"),
    ]

    private func series(_ random: inout SampleRandom) -> [LoadReport.Sample] {
        var backlog = 40.0
        var noise = 0.0
        return (-warmup + 1...seconds + 12).map { second in
            var sample = LoadReport.Sample(second: Double(second))
            noise = 0.6 * noise + 0.06 * random.normal()
            let isAway = hasChaos && serverAway.contains { $0.contains(second) }
            let isStuck = hasChaos && databaseAway.contains(second)
            let isLossy = hasChaos && (180...210).contains(second)
            let isOver = second > seconds
            let rate = isAway || isOver ? 0 : 900 * speed * (1 + noise) * (isLossy ? 0.7 : 1)
            sample.acknowledged = max(0, Int(rate))
            let room = isAway || isStuck ? 0 : 1150 * speed * (1 + noise)
            let settled = min(room, backlog + rate)
            backlog += rate - settled
            sample.settled = max(0, Int(settled))
            sample.transactionsSettled = sample.settled * 37
            sample.errors = isAway ? 180 + Int(40 * random.unit()) : isLossy ? 6 : 0
            guard !isAway else { return sample }
            sample.backlog = Int(backlog)
            sample.listeners = !hasChaos || second < 150 ? 4 : second < 156 ? 12 : 6
            sample.serverBytes = 190_000_000 + Int(backlog * 9000) + Int(2e6 * random.unit())
            sample.serverCPU = 0.9 + 0.2 * random.unit()
            sample.generatorCPU = 0.45 + 0.1 * random.unit()
            sample.sealedAhead = 4000 + Int(300 * random.normal())
            guard rate > 0 else { return sample }
            sample.ackP50 = 2.2 * slowness * exp(0.1 * random.normal()) * (isLossy ? 60 : 1)
            sample.ackP99 = 11 * slowness * exp(0.25 * random.normal()) * (isLossy ? 90 : 1)
            guard sample.settled > 0 else { return sample }
            let waiting = backlog / 1.1
            sample.settleP50 = 48 * slowness * exp(0.1 * random.normal()) + waiting
            sample.settleP99 = 160 * slowness * exp(0.2 * random.normal()) + waiting * 1.4
            return sample
        }
    }

    private func latencies(_ random: inout SampleRandom) -> [LoadReport.Latency] {
        let shapes: [(String, Double, Double, Double)] = [
            ("ack", 2.2, 0.55, 0.02), ("ack_uncorrected", 2.1, 0.5, 0),
            ("settle", 50, 0.5, 0.05), ("settle_uncorrected", 48, 0.5, 0.045),
        ]
        return shapes.map { name, median, width, outage in
            SampleReport.latency(
                name,
                (0..<latencyCount).map { _ in
                    let usual = median * slowness * exp(width * random.normal())
                    let isHit = hasChaos && random.unit() < outage
                    return isHit ? usual + 9000 * random.unit() : usual
                })
        }
    }

    /// As HDR histograms of three digits would count `values`, in milliseconds.
    static func latency(_ name: String, _ values: [Double]) -> LoadReport.Latency {
        var counts: [Double: Int] = [:]
        for value in values {
            let step = pow(10, log10(value).rounded(.down) - 2)
            counts[((value / step).rounded(.up) * step * 1e6).rounded() / 1e6, default: 0] += 1
        }
        let sorted = values.sorted()
        func at(_ share: Double) -> Double {
            sorted.isEmpty
                ? 0 : sorted[max(0, Int((share * Double(sorted.count)).rounded(.up)) - 1)]
        }
        return LoadReport.Latency(
            name: name, count: values.count,
            mean: values.isEmpty ? 0 : values.reduce(0, +) / Double(values.count), p50: at(0.5),
            p90: at(0.9), p99: at(0.99), p999: at(0.999), max: sorted.last ?? 0,
            buckets: counts.sorted { $0.key < $1.key }.map { [$0.key, Double($0.value)] })
    }

    private func totals(_ series: [LoadReport.Sample]) -> LoadReport.Totals {
        var totals = LoadReport.Totals()
        totals.bundlesAcknowledged = series.reduce(0) { $0 + $1.acknowledged }
        totals.bundlesSettled = totals.bundlesAcknowledged
        totals.outcomes.accepted = totals.bundlesSettled * 37
        totals.resent = totals.bundlesAcknowledged / 50
        totals.retries = ["503 backlog_full": 310, "connection_reset": 1490]
        totals.bytesSent = totals.bundlesAcknowledged * 9000
        let length = Double(seconds)
        totals.acknowledgedPerSecond = Double(totals.bundlesAcknowledged) / length
        totals.settledPerSecond = Double(totals.bundlesSettled) / length
        totals.transactionsPerSecond = totals.settledPerSecond * 37
        return totals
    }

    private func audit(_ totals: LoadReport.Totals) -> AuditReport {
        var audit = AuditReport()
        audit.bundles = totals.bundlesAcknowledged
        audit.receipts = totals.bundlesAcknowledged
        audit.receiptsVerified = totals.bundlesAcknowledged
        audit.rows = totals.outcomes.accepted
        audit.rowsExpected = totals.outcomes.accepted
        return audit
    }
}

/// Random numbers for samples, apart from those that are tested.
struct SampleRandom {
    private var generator: SeededGenerator

    init(seed: UInt64) { generator = SeededGenerator(seed: seed, purpose: 77) }

    mutating func unit() -> Double { generator.unit() }

    /// Box and Muller.
    mutating func normal() -> Double {
        let radius = (-2 * log(1 - unit())).squareRoot()
        return radius * cos(2 * Double.pi * unit())
    }
}

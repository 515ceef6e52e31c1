package import WaybillModel

/// All that a run found out: `report.json`, from which the other reports are made.
package struct LoadReport: Codable, Sendable {
    package var version = 1
    package var startedAt: Timestamp
    /// The measured time, without warm-up and without waiting for the last receipts.
    package var seconds: Double
    package var plan: LoadPlan
    package var machine: Machine
    package var totals: Totals
    package var latencies: [Latency]
    /// One a second, warm-up and waiting for receipts included.
    package var series: [Sample]
    package var marks: [Mark]
    package var generator: Generator
    package var audit: AuditReport
    package var objectives: [ObjectiveVerdict]

    package init(
        startedAt: Timestamp, seconds: Double, plan: LoadPlan, machine: Machine, totals: Totals,
        latencies: [Latency], series: [Sample], marks: [Mark], generator: Generator,
        audit: AuditReport, objectives: [ObjectiveVerdict]
    ) {
        self.startedAt = startedAt
        self.seconds = seconds
        self.plan = plan
        self.machine = machine
        self.totals = totals
        self.latencies = latencies
        self.series = series
        self.marks = marks
        self.generator = generator
        self.audit = audit
        self.objectives = objectives
    }

    enum CodingKeys: String, CodingKey {
        case version, seconds, plan, machine, totals, latencies, series, marks, generator, audit
        case objectives
        case startedAt = "started_at"
    }

    package struct Machine: Codable, Sendable, Equatable {
        package var cores: Int
        package var memoryBytes: Int
        package var processor: String
        package var system: String

        package init(cores: Int, memoryBytes: Int, processor: String, system: String) {
            self.cores = cores
            self.memoryBytes = memoryBytes
            self.processor = processor
            self.system = system
        }

        enum CodingKeys: String, CodingKey {
            case cores, processor, system
            case memoryBytes = "memory_bytes"
        }
    }

    /// Of the whole run.
    package struct Totals: Codable, Sendable, Equatable {
        package var bundlesAcknowledged = 0
        package var bundlesRefused = 0
        /// Given up without an answer when the run ended.
        package var bundlesUnanswered = 0
        package var bundlesSettled = 0
        package var bundlesQuarantined = 0
        package var resent = 0
        package var cuts = 0
        /// Answers and broken connections that made a device try again, by code or kind.
        package var retries: [String: Int] = [:]
        package var outcomes = OutcomeCounts()
        package var bytesSent = 0
        /// In the measured time.
        package var acknowledgedPerSecond = 0.0
        package var settledPerSecond = 0.0
        package var transactionsPerSecond = 0.0

        package init() {}

        enum CodingKeys: String, CodingKey {
            case resent, cuts, retries, outcomes
            case bundlesAcknowledged = "bundles_acknowledged"
            case bundlesRefused = "bundles_refused"
            case bundlesUnanswered = "bundles_unanswered"
            case bundlesSettled = "bundles_settled"
            case bundlesQuarantined = "bundles_quarantined"
            case bytesSent = "bytes_sent"
            case acknowledgedPerSecond = "acknowledged_per_second"
            case settledPerSecond = "settled_per_second"
            case transactionsPerSecond = "transactions_per_second"
        }
    }

    /// One HDR histogram of the measured time; milliseconds.
    package struct Latency: Codable, Sendable, Equatable {
        /// `ack`, `ack_uncorrected`, `settle`, `settle_uncorrected`: corrected ones count from the
        /// moment at which the plan wanted the bundle sent, uncorrected ones from the first byte.
        package var name: String
        package var count: Int
        package var mean: Double
        package var p50: Double
        package var p90: Double
        package var p99: Double
        package var p999: Double
        package var max: Double
        /// What was counted, by rising value: (upper end in milliseconds, count), empty ones left out.
        package var buckets: [[Double]]

        package init(
            name: String, count: Int, mean: Double, p50: Double, p90: Double, p99: Double,
            p999: Double, max: Double, buckets: [[Double]]
        ) {
            self.name = name
            self.count = count
            self.mean = mean
            self.p50 = p50
            self.p90 = p90
            self.p99 = p99
            self.p999 = p999
            self.max = max
            self.buckets = buckets
        }
    }

    /// What happened in one second.
    package struct Sample: Codable, Sendable, Equatable {
        /// Of the run at the sample's end; the measured time begins at 0, warm-up lies before.
        package var second: Double
        package var acknowledged = 0
        package var settled = 0
        package var transactionsSettled = 0
        package var errors = 0
        /// Milliseconds, of this second alone; nil where nothing was counted.
        package var ackP50: Double?
        package var ackP99: Double?
        package var settleP50: Double?
        package var settleP99: Double?
        /// Bundles in the server's queue; nil while the server does not answer.
        package var backlog: Int?
        package var listeners: Int?
        /// Of a server that this run started.
        package var serverBytes: Int?
        /// Share of one core.
        package var serverCPU: Double?
        package var generatorCPU: Double?
        /// Bundles that lie sealed and ready.
        package var sealedAhead: Int?

        package init(second: Double) {
            self.second = second
        }

        enum CodingKeys: String, CodingKey {
            case second, acknowledged, settled, errors, backlog, listeners
            case transactionsSettled = "transactions_settled"
            case ackP50 = "ack_p50"
            case ackP99 = "ack_p99"
            case settleP50 = "settle_p50"
            case settleP99 = "settle_p99"
            case serverBytes = "server_bytes"
            case serverCPU = "server_cpu"
            case generatorCPU = "generator_cpu"
            case sealedAhead = "sealed_ahead"
        }
    }

    /// Something that was done to the server.
    package struct Mark: Codable, Sendable, Equatable {
        /// Of the measured time.
        package var second: Double
        /// Until when; nil for a moment.
        package var endSecond: Double?
        package var text: String

        package init(second: Double, endSecond: Double? = nil, text: String) {
            self.second = second
            self.endSecond = endSecond
            self.text = text
        }

        enum CodingKeys: String, CodingKey {
            case second, text
            case endSecond = "end_second"
        }
    }

    /// Whether the generator itself held the load back.
    package struct Generator: Codable, Sendable, Equatable {
        /// Uploads that waited for a bundle to be sealed.
        package var starved = 0
        /// Milliseconds between the moment at which an upload was due with a free connection and
        /// its first byte.
        package var sendDelayP99 = 0.0
        /// Share of one core, of the event loops' threads together.
        package var loopCPU = 0.0
        /// Why the figures may be the generator's instead of the server's; empty: they are not.
        package var saturation: [String] = []

        package init() {}

        enum CodingKeys: String, CodingKey {
            case starved, saturation
            case sendDelayP99 = "send_delay_p99"
            case loopCPU = "loop_cpu"
        }
    }
}

/// What became of one objective.
package struct ObjectiveVerdict: Codable, Sendable, Equatable {
    /// As it was given.
    package var objective: String
    /// Nil where the run has no such figure; then it is not met.
    package var measured: Double?
    package var isMet: Bool

    package init(objective: String, measured: Double?, isMet: Bool) {
        self.objective = objective
        self.measured = measured
        self.isMet = isMet
    }

    enum CodingKeys: String, CodingKey {
        case objective, measured
        case isMet = "is_met"
    }
}

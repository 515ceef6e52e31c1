internal import Histogram

/// Latencies of the measured time in microseconds, up to an hour, to three digits.
struct LatencyBook: Sendable {
    enum Kind: Int, CaseIterable {
        case ack
        case ackUncorrected
        case settle
        case settleUncorrected
        case sendDelay

        var name: String {
            switch self {
            case .ack: "ack"
            case .ackUncorrected: "ack_uncorrected"
            case .settle: "settle"
            case .settleUncorrected: "settle_uncorrected"
            case .sendDelay: "send_delay"
            }
        }
    }

    static let microsecondsMax: UInt64 = 3_600_000_000

    private var histograms = Kind.allCases.map { _ in Self.empty }

    static var empty: Histogram<UInt64> {
        Histogram<UInt64>(
            highestTrackableValue: microsecondsMax, numberOfSignificantValueDigits: .three)
    }

    /// What is negative, because the clocks differ, counts as 0; what is over an hour, as an hour.
    static func microseconds(_ nanoseconds: Int64) -> UInt64 {
        min(microsecondsMax, UInt64(max(0, nanoseconds) / 1000))
    }

    mutating func record(_ kind: Kind, _ nanoseconds: Int64) {
        histograms[kind.rawValue].record(Self.microseconds(nanoseconds))
    }

    mutating func add(_ other: LatencyBook) {
        for kind in Kind.allCases {
            histograms[kind.rawValue].add(other.histograms[kind.rawValue])
        }
    }

    /// Milliseconds; nil where nothing was counted.
    func percentile(_ percentile: Double, of kind: Kind) -> Double? {
        Self.percentile(percentile, of: histograms[kind.rawValue])
    }

    static func percentile(_ percentile: Double, of histogram: Histogram<UInt64>) -> Double? {
        histogram.totalCount == 0
            ? nil : Double(histogram.valueAtPercentile(percentile)) / 1000
    }

    func latency(_ kind: Kind) -> LoadReport.Latency {
        let histogram = histograms[kind.rawValue]
        func value(_ percentile: Double) -> Double {
            Self.percentile(percentile, of: histogram) ?? 0
        }
        return LoadReport.Latency(
            name: kind.name, count: Int(histogram.totalCount),
            mean: histogram.totalCount == 0 ? 0 : histogram.mean / 1000, p50: value(50),
            p90: value(90), p99: value(99), p999: value(99.9), max: value(100),
            buckets: histogram.recordedValues().map { step in
                [
                    Double(histogram.highestEquivalentForValue(step.value)) / 1000,
                    Double(step.count),
                ]
            })
    }
}

/// Latencies since the sampler last asked; the resets make two digits the better bargain.
struct IntervalBook: Sendable {
    var ack = Self.empty
    var settle = Self.empty

    private static var empty: Histogram<UInt64> {
        Histogram<UInt64>(
            highestTrackableValue: LatencyBook.microsecondsMax,
            numberOfSignificantValueDigits: .two)
    }

    mutating func add(_ other: IntervalBook) {
        ack.add(other.ack)
        settle.add(other.settle)
    }
}

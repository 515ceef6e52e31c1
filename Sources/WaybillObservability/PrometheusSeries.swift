internal import Metrics
internal import Synchronization

/// What one series of a family can do for the registry.
protocol PrometheusSeries: AnyObject, Sendable {
    /// Appends the series' samples, one a line.
    func render(name: String, labels: String, to output: inout String)
}

/// A number that only grows.
final class CounterSeries: PrometheusSeries, CounterHandler, FloatingPointCounterHandler {
    private let value = Mutex(0.0)

    func increment(by amount: Int64) {
        increment(by: Double(amount))
    }

    func increment(by amount: Double) {
        guard amount > 0 else { return }
        value.withLock { $0 += amount }
    }

    func reset() {
        value.withLock { $0 = 0 }
    }

    func render(name: String, labels: String, to output: inout String) {
        let total = value.withLock { $0 }
        output += "\(name)\(labels.isEmpty ? "" : "{\(labels)}") \(MetricName.number(total))\n"
    }
}

/// A number that goes up and down.
final class GaugeSeries: PrometheusSeries, RecorderHandler, MeterHandler {
    private let value = Mutex(0.0)

    func record(_ value: Int64) {
        set(Double(value))
    }

    func record(_ value: Double) {
        set(value)
    }

    func set(_ value: Int64) {
        set(Double(value))
    }

    func set(_ value: Double) {
        self.value.withLock { $0 = value }
    }

    func increment(by amount: Double) {
        value.withLock { $0 += amount }
    }

    func decrement(by amount: Double) {
        value.withLock { $0 -= amount }
    }

    func render(name: String, labels: String, to output: inout String) {
        let now = value.withLock { $0 }
        output += "\(name)\(labels.isEmpty ? "" : "{\(labels)}") \(MetricName.number(now))\n"
    }
}

/// A distribution over fixed buckets. Timers are told in seconds.
final class HistogramSeries: PrometheusSeries, RecorderHandler, TimerHandler {
    private struct State {
        var counts: [UInt64]
        var total: UInt64 = 0
        var sum = 0.0
    }

    private let bounds: [Double]
    private let state: Mutex<State>

    /// - Parameter bounds: upper ends of the buckets, growing; the last bucket, up to infinity,
    ///   comes by itself.
    init(bounds: [Double]) {
        self.bounds = bounds
        state = Mutex(State(counts: Array(repeating: 0, count: bounds.count)))
    }

    func record(_ value: Int64) {
        record(Double(value))
    }

    func record(_ value: Double) {
        guard !value.isNaN else { return }
        let bucket = bounds.firstIndex { value <= $0 }
        state.withLock { state in
            if let bucket { state.counts[bucket] += 1 }
            state.total += 1
            state.sum += value
        }
    }

    func recordNanoseconds(_ duration: Int64) {
        record(Double(duration) / 1e9)
    }

    func render(name: String, labels: String, to output: inout String) {
        let (counts, total, sum) = state.withLock { ($0.counts, $0.total, $0.sum) }
        let prefix = labels.isEmpty ? "" : labels + ","
        var running: UInt64 = 0
        for (bound, count) in zip(bounds, counts) {
            running += count
            output += "\(name)_bucket{\(prefix)le=\"\(MetricName.number(bound))\"} \(running)\n"
        }
        output += "\(name)_bucket{\(prefix)le=\"+Inf\"} \(total)\n"
        let braces = labels.isEmpty ? "" : "{\(labels)}"
        output += "\(name)_sum\(braces) \(MetricName.number(sum))\n"
        output += "\(name)_count\(braces) \(total)\n"
    }
}

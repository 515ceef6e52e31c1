package import Metrics
internal import Synchronization

/// Back end of swift-metrics that renders Prometheus's text format.
///
/// `MetricsSystem.bootstrap(registry)`. Counters stay counters, gauges and meters are gauges, timers
/// are histograms in seconds, aggregating recorders are histograms. Safe to use from any thread.
package final class PrometheusRegistry: MetricsFactory {
    /// Series a family may have; more would mean that a label's values come from outside.
    package static let seriesPerFamilyMax = 1000
    /// Seconds, for timers.
    package static let timeBounds = [
        0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,
        2.5, 5, 10, 30, 60,
    ]
    /// Powers of four, for recorders of bytes and counts.
    package static let sizeBounds: [Double] = (0...15).map { Double(1 << (2 * $0)) }

    private enum Kind: String {
        case counter, gauge, histogram
    }

    private struct Family {
        let kind: Kind
        var series: [String: any PrometheusSeries] = [:]
    }

    private struct State {
        var families: [String: Family] = [:]
        var refused = 0
    }

    private let help: [String: String]
    private let state = Mutex(State())

    /// - Parameter help: one sentence for each metric, by its name.
    package init(help: [String: String] = [:]) {
        self.help = help
    }

    /// All series in the text format, families and series in the order of their names.
    package func render() -> String {
        let (families, refused) = state.withLock { ($0.families, $0.refused) }
        var output = ""
        for (name, family) in families.sorted(by: { $0.key < $1.key }) {
            let words = help[name] ?? name.split(separator: "_").joined(separator: " ")
            output += "# HELP \(name) \(MetricName.escapeHelp(words))\n"
            output += "# TYPE \(name) \(family.kind.rawValue)\n"
            for (labels, series) in family.series.sorted(by: { $0.key < $1.key }) {
                series.render(name: name, labels: labels, to: &output)
            }
        }
        let own = "waybill_metrics_refused_series"
        output += "# HELP \(own) Series beyond the limit of a family, or of another type.\n"
        output += "# TYPE \(own) gauge\n\(own) \(refused)\n"
        return output
    }

    package func makeCounter(
        label: String, dimensions: [(String, String)]
    ) -> any CounterHandler {
        series(.counter, label, dimensions) { CounterSeries() }
    }

    package func makeFloatingPointCounter(
        label: String, dimensions: [(String, String)]
    ) -> any FloatingPointCounterHandler {
        series(.counter, label, dimensions) { CounterSeries() }
    }

    package func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        series(.gauge, label, dimensions) { GaugeSeries() }
    }

    package func makeRecorder(
        label: String, dimensions: [(String, String)], aggregate: Bool
    ) -> any RecorderHandler {
        guard aggregate else { return series(.gauge, label, dimensions) { GaugeSeries() } }
        return series(.histogram, label, dimensions) { HistogramSeries(bounds: Self.sizeBounds) }
    }

    package func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        series(.histogram, label, dimensions) { HistogramSeries(bounds: Self.timeBounds) }
    }

    package func destroyCounter(_ handler: any CounterHandler) {
        remove(handler)
    }

    package func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {
        remove(handler)
    }

    package func destroyMeter(_ handler: any MeterHandler) {
        remove(handler)
    }

    package func destroyRecorder(_ handler: any RecorderHandler) {
        remove(handler)
    }

    package func destroyTimer(_ handler: any TimerHandler) {
        remove(handler)
    }

    /// The series of that name and labels; one that is not rendered if it cannot be registered.
    private func series<Series: PrometheusSeries>(
        _ kind: Kind, _ label: String, _ dimensions: [(String, String)], make: () -> Series
    ) -> Series {
        let name = MetricName.sanitize(label)
        let labels = MetricName.labels(dimensions)
        return state.withLock { state in
            var family = state.families[name] ?? Family(kind: kind)
            if let known = family.series[labels] as? Series, family.kind == kind { return known }
            let made = make()
            guard family.kind == kind, family.series[labels] == nil,
                family.series.count < Self.seriesPerFamilyMax
            else {
                state.refused += 1
                return made
            }
            family.series[labels] = made
            state.families[name] = family
            return made
        }
    }

    private func remove(_ handler: AnyObject) {
        state.withLock { state in
            for name in state.families.keys {
                guard
                    let labels = state.families[name]?.series.first(where: { $0.value === handler })
                else { continue }
                state.families[name]?.series[labels.key] = nil
                return
            }
        }
    }
}

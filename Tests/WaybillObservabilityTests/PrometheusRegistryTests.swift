internal import Metrics
internal import Testing
internal import WaybillObservability

@Suite("Prometheus registry")
struct PrometheusRegistryTests {
    private let registry = PrometheusRegistry(help: ["waybill_things_total": "Things\nseen."])

    @Test func rendersCountersWithHelpTypeAndEscapedLabels() {
        let counter = Counter(
            label: "waybill_things_total", dimensions: [("kind", "a\"b\\c\nd")], factory: registry)
        counter.increment(by: 2)
        counter.increment()
        #expect(
            registry.render().hasPrefix(
                """
                # HELP waybill_things_total Things\\nseen.
                # TYPE waybill_things_total counter
                waybill_things_total{kind="a\\"b\\\\c\\nd"} 3

                """))
    }

    @Test func twoCountersOfOneNameAndLabelsAreOneSeries() {
        Counter(label: "waybill_things_total", dimensions: [], factory: registry).increment()
        Counter(label: "waybill_things_total", dimensions: [], factory: registry).increment()
        #expect(registry.render().contains("\nwaybill_things_total 2\n"))
    }

    @Test func rendersGauges() {
        Gauge(label: "waybill_depth", dimensions: [("pool", "default")], factory: registry)
            .record(1.5)
        let text = registry.render()
        #expect(text.contains("# TYPE waybill_depth gauge\n"))
        #expect(text.contains("waybill_depth{pool=\"default\"} 1.5\n"))
    }

    @Test func rendersTimersAsHistogramsInSecondsWithCumulativeBuckets() {
        let timer = Timer(label: "waybill_settle_seconds", dimensions: [], factory: registry)
        timer.recordNanoseconds(1_000_000)
        timer.recordNanoseconds(3_000_000_000)
        timer.recordNanoseconds(100_000_000_000)
        let text = registry.render()
        #expect(text.contains("# TYPE waybill_settle_seconds histogram\n"))
        #expect(text.contains("waybill_settle_seconds_bucket{le=\"0.0005\"} 0\n"))
        #expect(text.contains("waybill_settle_seconds_bucket{le=\"0.001\"} 1\n"))
        #expect(text.contains("waybill_settle_seconds_bucket{le=\"5\"} 2\n"))
        #expect(text.contains("waybill_settle_seconds_bucket{le=\"60\"} 2\n"))
        #expect(text.contains("waybill_settle_seconds_bucket{le=\"+Inf\"} 3\n"))
        #expect(text.contains("waybill_settle_seconds_sum 103.001\n"))
        #expect(text.contains("waybill_settle_seconds_count 3\n"))
    }

    @Test func labelsFromOutsideCannotFillTheMemory() {
        for number in 0...PrometheusRegistry.seriesPerFamilyMax {
            Counter(
                label: "waybill_things_total", dimensions: [("n", "\(number)")], factory: registry
            ).increment()
        }
        let text = registry.render()
        #expect(text.contains("waybill_metrics_refused_series 1\n"))
        #expect(
            text.split(separator: "\n").count { $0.hasPrefix("waybill_things_total{") }
                == PrometheusRegistry.seriesPerFamilyMax)
    }

    @Test func aNameKeepsItsFirstType() {
        Counter(label: "waybill_x", dimensions: [], factory: registry).increment()
        Gauge(label: "waybill_x", dimensions: [], factory: registry).record(7)
        let text = registry.render()
        #expect(text.contains("waybill_x 1\n"))
        #expect(!text.contains("waybill_x 7\n"))
    }

    @Test func countsFromManyTasksAreAllThere() async {
        let counter = Counter(label: "waybill_things_total", dimensions: [], factory: registry)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask { for _ in 0..<1000 { counter.increment() } }
            }
        }
        #expect(registry.render().contains("\nwaybill_things_total 8000\n"))
    }

    @Test func aDestroyedSeriesIsNoLongerRendered() {
        let counter = Counter(label: "waybill_things_total", dimensions: [], factory: registry)
        counter.increment()
        counter.destroy()
        #expect(!registry.render().contains("\nwaybill_things_total 1\n"))
    }
}

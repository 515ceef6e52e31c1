internal import Metrics
internal import Synchronization

/// The device side's metrics, all in one place.
final class IngressMetrics: Sendable {
    private struct Series: Hashable {
        let route: String
        /// 0 stands for a request whose body broke off.
        let status: Int
    }

    /// Bundles that were acknowledged for the first time.
    private let receivedBundles = Counter(label: "waybill_bundles_received_total")
    /// Bytes of their parts.
    private let receivedBytes = Counter(label: "waybill_received_bytes_total")
    /// From a bundle's first byte to its answer.
    private let receiveTimer = Timer(label: "waybill_receive_seconds")
    private let requests = Mutex<[Series: Counter]>([:])
    private let durations = Mutex<[String: Timer]>([:])

    /// A bundle that was acknowledged for the first time.
    func countReceived(byteCount: Int, duration: Duration) {
        receivedBundles.increment()
        receivedBytes.increment(by: Int64(byteCount))
        receiveTimer.record(duration: duration)
    }

    /// - Parameter route: a template of the route table, `preflight` or `unknown`.
    func count(_ route: String, status: Int, duration: Duration) {
        counter(Series(route: route, status: status)).increment()
        let timer = durations.withLock { timers in
            if let timer = timers[route] { return timer }
            let timer = Timer(label: "waybill_request_seconds", dimensions: [("route", route)])
            timers[route] = timer
            return timer
        }
        timer.record(duration: duration)
    }

    /// A request whose body broke off.
    func countBroken(_ route: String) {
        counter(Series(route: route, status: 0)).increment()
    }

    private func counter(_ series: Series) -> Counter {
        requests.withLock { counters in
            if let counter = counters[series] { return counter }
            let status = series.status == 0 ? "broken" : String(series.status)
            let counter = Counter(
                label: "waybill_requests_total",
                dimensions: [("route", series.route), ("status", status)])
            counters[series] = counter
            return counter
        }
    }
}

internal import Logging
internal import Metrics
package import NIOCore
internal import Synchronization
package import WaybillHTTP
internal import WaybillThreads

/// Counts what is refused to whom, and says so in the security log: the first of a kind from an
/// address at once, the others in one line an interval.
package final class RefusalLog: ConnectionWatch, Sendable {
    private let ledger: Mutex<RefusalLedger>
    private let interval: Duration
    private let counters = Mutex<[String: Counter]>([:])
    private let connections = Atomic(0)
    private let gauge = Gauge(label: "waybill_connections")
    private let logger = Logger(label: "waybill.security")

    package init(interval: Duration = .seconds(60)) {
        self.interval = interval
        ledger = Mutex(RefusalLedger(interval: interval))
    }

    package func connectionOpened() {
        gauge.record(connections.wrappingAdd(1, ordering: .relaxed).newValue)
    }

    package func connectionClosed() {
        gauge.record(connections.wrappingSubtract(1, ordering: .relaxed).newValue)
    }

    package func refused(_ fault: RequestFault, peer: SocketAddress?) {
        note(fault.shortDescription, from: peer?.ipAddress ?? "unknown")
    }

    /// - Parameter reason: from a closed set.
    func note(_ reason: String, from address: String) {
        counter(reason).increment()
        tell(ledger.withLock { $0.note(reason, from: address, at: .now) })
    }

    /// Tells once an interval what nobody's next refusal has told, until the task is cancelled; then
    /// the rest.
    func run() async {
        while !Task.isCancelled {
            // Cancelling ends the sleep: that is what it is for.
            try? await Task.sleep(for: interval)
            tell(ledger.withLock { $0.sweep(at: .now) })
        }
        tell(ledger.withLock { $0.takeRest() })
    }

    private func tell(_ reports: [RefusalLedger.Report]) {
        for report in reports {
            logger.warning(
                "refused",
                metadata: [
                    "refusal.reason": "\(report.reason)", "peer.address": "\(report.address)",
                    "refusal.count": "\(report.count)",
                ])
        }
    }

    private func counter(_ reason: String) -> Counter {
        counters.withLock { counters in
            if let counter = counters[reason] { return counter }
            let counter = Counter(
                label: "waybill_refusals_total", dimensions: [("reason", reason)])
            counters[reason] = counter
            return counter
        }
    }
}

/// Which refusals are worth a line, with time passed in.
struct RefusalLedger {
    struct Report: Equatable {
        let reason: String
        let address: String
        /// Since the line before.
        let count: Int
    }

    private struct Key: Hashable {
        let reason: String
        let address: String
    }

    private struct Entry {
        var untold = 0
        var quietUntil: Deadline
    }

    private let interval: Duration
    private let keysMax: Int
    private var entries: [Key: Entry] = [:]
    private var nextSweep = Deadline(nanoseconds: 0)

    /// - Parameter keysMax: kinds and addresses that are told apart at once; the rest is one.
    init(interval: Duration, keysMax: Int = 4096) {
        self.interval = interval
        self.keysMax = keysMax
    }

    /// Lines that are due now.
    mutating func note(_ reason: String, from address: String, at now: Deadline) -> [Report] {
        var reports = sweep(at: now)
        var key = Key(reason: reason, address: address)
        if entries[key] == nil, entries.count >= keysMax {
            key = Key(reason: reason, address: "others")
        }
        if entries[key] != nil {
            entries[key]?.untold += 1
        } else {
            entries[key] = Entry(quietUntil: now.advanced(by: interval))
            reports.append(Report(reason: reason, address: key.address, count: 1))
        }
        return reports
    }

    /// Once an interval: tells what was not told, and forgets who was quiet.
    mutating func sweep(at now: Deadline) -> [Report] {
        guard nextSweep <= now else { return [] }
        nextSweep = now.advanced(by: interval)
        var reports: [Report] = []
        for (key, entry) in entries where entry.quietUntil <= now {
            if entry.untold > 0 {
                reports.append(
                    Report(reason: key.reason, address: key.address, count: entry.untold))
                entries[key] = Entry(quietUntil: now.advanced(by: interval))
            } else {
                entries[key] = nil
            }
        }
        return reports
    }

    /// Everything that was not told, due or not.
    mutating func takeRest() -> [Report] {
        defer { entries = [:] }
        return entries.filter { $0.value.untold > 0 }.map { key, entry in
            Report(reason: key.reason, address: key.address, count: entry.untold)
        }
    }
}

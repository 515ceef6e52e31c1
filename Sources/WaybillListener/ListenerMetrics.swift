internal import Metrics
internal import WaybillModel

/// The listeners' metrics, all in one place.
struct ListenerMetrics: Sendable {
    let settledBundles = Counter(label: "waybill_bundles_settled_total")
    let quarantinedBundles = Counter(label: "waybill_bundles_quarantined_total")
    /// Also counted by the queue, for damage in its log.
    let lostBundles = Counter(label: "waybill_bundles_lost_total")
    let repeatedBundles = Counter(label: "waybill_bundles_repeated_total")
    let failedBatches = Counter(label: "waybill_batches_failed_total")
    let settleTimer = Timer(label: "waybill_settle_seconds")
    private let transactions: [Outcome: Counter]

    init() {
        transactions = Dictionary(
            uniqueKeysWithValues: Outcome.allCases.map { outcome in
                (
                    outcome,
                    Counter(
                        label: "waybill_transactions_settled_total",
                        dimensions: [("outcome", outcome.rawValue)])
                )
            })
    }

    func count(_ counts: OutcomeCounts) {
        transactions[.accepted]?.increment(by: Int64(counts.accepted))
        transactions[.duplicate]?.increment(by: Int64(counts.duplicate))
        transactions[.rejected]?.increment(by: Int64(counts.rejected))
        transactions[.conflict]?.increment(by: Int64(counts.conflict))
    }
}

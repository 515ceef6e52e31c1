package import WaybillModel

/// What a receipt that was just read means for the run.
package struct ReceiptNews: Sendable, Equatable {
    /// Of the bundle.
    package var number: Int
    /// The receipt's own number.
    package var sequence: Int64
    /// No receipt of this bundle was read before.
    package var isFirst: Bool
    /// False for a quarantined bundle.
    package var isSettled: Bool
    package var counts: OutcomeCounts
    /// The run's nanoseconds, as all times here; nil while the acknowledgement was not heard.
    package var acknowledgedAt: Int64?
    package var intended: Int64
    package var firstSent: Int64?
}

/// What a ledger holds, in figures.
package struct LedgerTotals: Sendable, Equatable {
    package var planned = 0
    /// Of which at least one request was begun.
    package var sent = 0
    /// Requests, sending again included.
    package var sends = 0
    package var acknowledged = 0
    package var refused = 0
    /// By the receipt that counts.
    package var settled = 0
    package var quarantined = 0
    /// Acknowledged, and their receipts are still to come.
    package var open = 0
    /// Of all receipts that were read.
    package var outcomes = OutcomeCounts()

    /// Sent, and neither acknowledged nor refused.
    package var unanswered: Int { sent - acknowledged - refused }

    package init() {}
}

package import WaybillModel

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

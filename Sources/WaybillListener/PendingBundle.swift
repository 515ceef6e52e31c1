internal import WaybillModel
internal import WaybillStore

/// A delivery that was opened, or refused, and waits for its transaction.
struct PendingBundle {
    enum Content {
        case opened(OpenedBundle)
        case refused(Refusal)
        /// It came again and had its receipt before: nothing is opened or read.
        case settledBefore
        /// Surveyed; its lines are read while it is settled.
        case streamed(StreamPlan)
    }

    /// Of the delivery in its lease.
    let index: Int
    let content: Content

    var isStreamed: Bool {
        if case .streamed = content { return true }
        return false
    }

    var isRefused: Bool {
        if case .refused = content { return true }
        return false
    }

    /// Nil for a bundle that was not opened.
    var summary: BundleSummary? {
        switch content {
        case .opened(let bundle): bundle.summary
        case .streamed(let plan): plan.summary
        case .refused, .settledBefore: nil
        }
    }
}

extension [TransactionRow] {
    /// Takes over the rows of the bundle at this position in the batch.
    mutating func append(of bundle: OpenedBundle, ordinal: Int) {
        let start = count
        append(contentsOf: bundle.transactions)
        for position in start..<count { self[position].bundle = ordinal }
    }
}

extension [RejectedLine] {
    /// Takes over the rejected lines of the bundle at this position in the batch.
    mutating func append(of bundle: OpenedBundle, ordinal: Int) {
        let start = count
        append(contentsOf: bundle.rejected)
        for position in start..<count { self[position].bundle = ordinal }
    }
}

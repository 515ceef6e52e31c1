internal import WaybillModel

/// A transaction that was not accepted, as its receipt will tell it.
struct ExceptionNote {
    let index: Int
    let id: TransactionID?
    let outcome: Outcome
    let code: RejectionCode?
    let detail: String?

    func continues(_ other: ExceptionNote) -> Bool {
        index == other.index + 1 && outcome == other.outcome && code == other.code
    }
}

/// Shortens a receipt: many neighbours with one outcome are told as one run.
///
/// A run has one outcome and one code, and says which indexes it covers: it leaves out the ids, which
/// the device knows by index, and the details. What was rejected or in conflict is kept, sealed, with
/// both. A receipt that would not fit a page of receipts is folded more and more closely.
enum ReceiptFolding {
    /// Fewer neighbours than this are told one by one, with their ids.
    static let runLengthMin = 32
    /// For receipts that are too long otherwise. The last one tells every exception without its id.
    private static let closerRunLengths = [4, 2, 1]
    /// Of all exceptions; beyond, runs are made of fewer neighbours. A page has 1 MiB.
    static let byteCountMax = 768 << 10

    /// - Parameter notes: in any order, each index once.
    static func fold(_ notes: [ExceptionNote]) -> [ReceiptException] {
        let sorted = notes.sorted { $0.index < $1.index }
        var exceptions = fold(sorted, runLengthMin: runLengthMin)
        for length in closerRunLengths where byteCount(exceptions) > byteCountMax {
            exceptions = fold(sorted, runLengthMin: length)
        }
        return exceptions
    }

    private static func fold(
        _ sorted: [ExceptionNote], runLengthMin: Int
    ) -> [ReceiptException] {
        var exceptions: [ReceiptException] = []
        var start = 0
        while start < sorted.count {
            var end = start + 1
            while end < sorted.count, sorted[end].continues(sorted[end - 1]) { end += 1 }
            let first = sorted[start]
            if end - start >= runLengthMin {
                exceptions.append(
                    .run(
                        from: first.index, count: end - start, outcome: first.outcome,
                        code: first.code?.rawValue))
            } else {
                for note in sorted[start..<end] {
                    exceptions.append(
                        .one(
                            index: note.index, id: note.id, outcome: note.outcome,
                            code: note.code?.rawValue, detail: note.detail))
                }
            }
            start = end
        }
        return exceptions
    }

    /// About what the exceptions take in the receipt's text.
    private static func byteCount(_ exceptions: [ReceiptException]) -> Int {
        exceptions.reduce(0) { sum, exception in
            switch exception {
            case .one(_, _, _, let code, let detail):
                sum + 90 + (code?.utf8.count ?? -10) + (detail?.utf8.count ?? -12) + 22
            case .run(_, _, _, let code): sum + 52 + (code.map { $0.utf8.count + 10 } ?? 0)
            }
        }
    }
}

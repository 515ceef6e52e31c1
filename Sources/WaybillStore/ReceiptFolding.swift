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
enum ReceiptFolding {
    /// Fewer neighbours than this are told one by one, with their ids.
    static let runLengthMin = 32

    /// - Parameter notes: in any order, each index once.
    static func fold(_ notes: [ExceptionNote]) -> [ReceiptException] {
        let sorted = notes.sorted { $0.index < $1.index }
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
}

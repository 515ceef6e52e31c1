internal import WaybillModel
internal import WaybillOpening
internal import WaybillSealing
internal import WaybillStore

/// What opening a delivery came to.
enum Opening {
    /// Every line was read.
    case opened(OpenedBundle)
    /// All parts are authentic and bound to the delivery; it is settled while it is read again.
    case streamed(StreamPlan)
    /// It is not what it says, or cannot be opened.
    case refused(Refusal)
}

/// Why a bundle is quarantined.
struct Refusal {
    let code: QuarantineCode
    /// For operators and the audit; to the device all faults of one code look the same.
    let detail: String
}

/// A bundle's content, read and checked line by line.
struct OpenedBundle {
    var summary: BundleSummary
    var transactions: [TransactionRow] = []
    var rejected: [RejectedLine] = []
    /// Of the lines, inflated.
    var byteCount = 0
}

/// What the headers of a bundle's parts say together.
struct BundleSummary {
    var epoch: Int
    /// The same in all parts.
    var deviceSequence: Int64?
    /// Of all parts.
    var transactionCount: Int
}

/// What opening a part takes besides its bytes.
struct PartUnderKey {
    /// Counted from 1.
    let part: Int
    let layout: ArchiveLayout
    let keys: PartKeys
    let epoch: Int
}

/// How to read a bundle that is not held in memory.
struct StreamPlan {
    let summary: BundleSummary
    /// In part order.
    let parts: [PartUnderKey]
}

/// Why a delivery could not be opened.
enum BundleFault: Error {
    /// For good: it is quarantined.
    case refused(Refusal)
    /// Its bytes could not be read: the bundle's own error, worth another attempt.
    case unreadable(String)
    /// Its bytes are not those that were acknowledged: there is nothing to open any more.
    case damaged(String)
    /// Nothing of the bundle's own: the lease has ended, or the system refuses files or memory.
    case unrelated(any Error)

    static func refused(_ code: QuarantineCode, detail: String) -> BundleFault {
        .refused(Refusal(code: code, detail: detail))
    }

    /// Another key may fit.
    var isCannotOpen: Bool {
        if case .refused(let refusal) = self { return refusal.code == .cannotOpen }
        return false
    }
}

extension OpenedBundle {
    /// Takes over a line of a part; ``TransactionRow/bundle`` is set when the batch is put together.
    ///
    /// - Parameter firstIndex: of the part's first transaction in the bundle.
    mutating func append(_ line: EntryLine, firstIndex: Int) {
        byteCount += line.raw.count
        let index = firstIndex + line.index
        switch line.result {
        case .transaction(let transaction):
            transactions.append(TransactionRow(transaction, index: index))
        case .rejected(let code, let detail, let id):
            rejected.append(
                RejectedLine(
                    bundle: 0, index: index, id: id.flatMap { TransactionID(bytes: $0) },
                    code: RejectionCode(rawValue: code) ?? .invalidJSON, detail: detail,
                    raw: line.raw))
        }
    }
}

extension TransactionRow {
    fileprivate init(_ line: LineTransaction, index: Int) {
        let texts = line.texts
        self.init(
            bundle: 0, index: index, id: TransactionID(high: line.idHigh, low: line.idLow),
            occurredAt: Timestamp(microseconds: line.occurredAtMicroseconds),
            offsetMinutes: line.offsetMinutes, contentHash: Digest256(words: line.hash.words),
            texts: TransactionRow.Texts(
                bytes: texts.bytes, type: texts.type, actor: texts.actor,
                contentType: texts.contentType, content: texts.content, raw: texts.raw))
    }
}

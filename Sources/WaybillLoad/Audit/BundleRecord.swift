package import WaybillModel

/// What a ledger knows of one bundle; times are the run's nanoseconds.
package struct BundleRecord: Sendable, Equatable {
    /// In the order in which a bundle goes through them.
    package enum Step: UInt8, Sendable {
        /// The number was passed over, or not reached.
        case none
        case planned
        /// At least one request for it was begun, and none was answered for good.
        case sent
        case acknowledged
        case refused
    }

    package var step = Step.none
    package var intended: Int64 = 0
    /// First byte of the first try; nil while it was not sent.
    package var firstSent: Int64? { wasSent ? firstSentRaw : nil }
    /// Nil unless ``step`` is `acknowledged`.
    package var acknowledged: Int64? { step == .acknowledged ? answeredRaw : nil }
    /// When its first receipt was read; nil without one.
    package var settled: Int64? { receiptSequence > 0 ? settledRaw : nil }
    /// Number of its first receipt; 0 without one.
    package var receiptSequence: Int64 = 0
    /// The receipt that counts says `quarantined`.
    package var isQuarantined = false
    /// Of the bytes that were sent; zero where nobody told it.
    package var digest = Digest256.zero
    /// How many requests with the bundle, or its declaration, were begun.
    package var sends: UInt32 = 0
    /// Of a refused bundle: where its code stands in the ledger's list.
    package var refusal: UInt16 = 0

    var firstSentRaw: Int64 = 0
    var answeredRaw: Int64 = 0
    var settledRaw: Int64 = 0

    package var wasSent: Bool { step.rawValue >= Step.sent.rawValue }
    package var hasReceipt: Bool { receiptSequence > 0 }
    /// Acknowledged, and its receipt is still to come.
    package var isOpen: Bool { step == .acknowledged && !hasReceipt }
}

/// Records by bundle number, in pieces: growing never copies what is there.
struct RecordTable: Sendable {
    private static let pieceLength = 4096
    private var pieces: [[BundleRecord]] = []
    /// One more than the highest number that was touched.
    private(set) var count = 0

    subscript(number: Int) -> BundleRecord {
        get { pieces[number / Self.pieceLength][number % Self.pieceLength] }
        _modify { yield &pieces[number / Self.pieceLength][number % Self.pieceLength] }
    }

    mutating func grow(to number: Int) {
        while number / Self.pieceLength >= pieces.count {
            pieces.append(Array(repeating: BundleRecord(), count: Self.pieceLength))
        }
        count = max(count, number + 1)
    }
}

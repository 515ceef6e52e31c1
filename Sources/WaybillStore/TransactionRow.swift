package import WaybillModel

/// A valid transaction on its way into the table.
package struct TransactionRow: Sendable {
    /// What the device sent as the business data.
    package enum Content: Sendable {
        /// The exact text of a JSON value, UTF-8.
        case json(ArraySlice<UInt8>)
        case body(contentType: String, bytes: [UInt8])
    }

    /// Position of its bundle in the batch.
    package var bundle: Int
    /// Position in its bundle, from 0.
    package var index: Int
    package var id: TransactionID
    package var type: String
    package var occurredAt: Timestamp
    /// Minutes east of UTC, as the device wrote it.
    package var offsetMinutes: Int
    package var actor: String?
    package var content: Content
    /// Keyed with ``RootKey/contentKey(tenant:)``.
    package var contentHash: Digest256
    /// The whole line; kept, sealed, if it turns out a conflict or cannot be stored.
    package var raw: ArraySlice<UInt8>

    package init(
        bundle: Int, index: Int, id: TransactionID, type: String, occurredAt: Timestamp,
        offsetMinutes: Int, actor: String?, content: Content, contentHash: Digest256,
        raw: ArraySlice<UInt8>
    ) {
        self.bundle = bundle
        self.index = index
        self.id = id
        self.type = type
        self.occurredAt = occurredAt
        self.offsetMinutes = offsetMinutes
        self.actor = actor
        self.content = content
        self.contentHash = contentHash
        self.raw = raw
    }

    /// Bytes of the business data as the device sent them.
    var contentByteCount: Int {
        switch content {
        case .json(let text): text.count
        case .body(_, let bytes): bytes.count
        }
    }
}

/// A line that is not a valid transaction.
package struct RejectedLine: Sendable {
    /// Position of its bundle in the batch.
    package var bundle: Int
    /// Position in its bundle, from 0.
    package var index: Int
    /// Nil if the line has no readable one.
    package var id: TransactionID?
    package var code: RejectionCode
    /// For the receipt; quotes nothing of the content.
    package var detail: String
    /// Kept, sealed, for operators.
    package var raw: ArraySlice<UInt8>

    package init(
        bundle: Int, index: Int, id: TransactionID?, code: RejectionCode, detail: String,
        raw: ArraySlice<UInt8>
    ) {
        self.bundle = bundle
        self.index = index
        self.id = id
        self.code = code
        self.detail = detail
        self.raw = raw
    }
}

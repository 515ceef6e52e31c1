package import WaybillModel
internal import WaybillPostgres

/// A valid transaction on its way into the table.
///
/// Small, and with one reference: batches hold a hundred thousand of them, and move them about.
package struct TransactionRow: Sendable {
    /// Position of its bundle in the batch.
    package var bundle: Int
    /// Position in its bundle, from 0.
    package let index: Int
    package let id: TransactionID
    package let occurredAt: Timestamp
    /// Minutes east of UTC, as the device wrote it.
    package let offsetMinutes: Int16
    /// Keyed with ``RootKey/contentKey(tenant:)``.
    package let contentHash: Digest256
    package let texts: Texts

    /// What the device sent as text, all in one array that many rows may share.
    package struct Texts: Sendable {
        private let bytes: [UInt8]
        private let type: Range<Int32>
        private let actor: Range<Int32>?
        private let contentType: Range<Int32>?
        private let content: Range<Int32>
        private let raw: Range<Int32>

        /// - Parameters:
        ///   - contentType: nil for JSON.
        ///   - content: the exact text of a JSON value, UTF-8; or the body.
        ///   - raw: the whole line; kept, sealed, if it turns out a conflict or cannot be stored.
        package init(
            bytes: [UInt8], type: Range<Int32>, actor: Range<Int32>?, contentType: Range<Int32>?,
            content: Range<Int32>, raw: Range<Int32>
        ) {
            self.bytes = bytes
            self.type = type
            self.actor = actor
            self.contentType = contentType
            self.content = content
            self.raw = raw
        }
    }

    package init(
        bundle: Int, index: Int, id: TransactionID, occurredAt: Timestamp, offsetMinutes: Int16,
        contentHash: Digest256, texts: Texts
    ) {
        self.bundle = bundle
        self.index = index
        self.id = id
        self.occurredAt = occurredAt
        self.offsetMinutes = offsetMinutes
        self.contentHash = contentHash
        self.texts = texts
    }
}

extension TransactionRow.Texts {
    /// Bytes of the business data as the device sent them.
    var contentByteCount: Int { content.count }

    var typeText: String { text(type) }
    var actorText: String? { actor.map { text($0) } }
    var contentTypeText: String? { contentType.map { text($0) } }
    /// Nil for a body.
    var json: ArraySlice<UInt8>? { contentType == nil ? slice(content) : nil }
    /// Nil for JSON.
    var body: [UInt8]? { contentType == nil ? nil : Array(slice(content)) }
    var line: ArraySlice<UInt8> { slice(raw) }

    /// Writes type, actor, payload, content type and body, in this order.
    func write(to writer: inout CopyWriter) {
        bytes.withUnsafeBytes { bytes in
            func part(_ range: Range<Int32>) -> UnsafeRawBufferPointer {
                UnsafeRawBufferPointer(
                    rebasing: bytes[Int(range.lowerBound)..<Int(range.upperBound)])
            }
            writer.bytes(part(type))
            if let actor { writer.bytes(part(actor)) } else { writer.null() }
            if let contentType {
                writer.null()
                writer.bytes(part(contentType))
                writer.bytes(part(content))
            } else {
                writer.jsonb(part(content))
                writer.null()
                writer.null()
            }
        }
    }

    private func slice(_ range: Range<Int32>) -> ArraySlice<UInt8> {
        bytes[Int(range.lowerBound)..<Int(range.upperBound)]
    }

    private func text(_ range: Range<Int32>) -> String {
        String(decoding: slice(range), as: UTF8.self)
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

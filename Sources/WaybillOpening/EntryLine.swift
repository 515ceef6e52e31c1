/// One line of an entry after the header, and what it turned out to be.
package struct EntryLine: Sendable {
    /// Within the part, from 0.
    package let index: Int
    /// The line without its line feed; a line over the limit is cut to it.
    package let raw: ArraySlice<UInt8>
    package let result: Result

    package enum Result: Sendable {
        case transaction(LineTransaction)
        /// `code` is one of CONTRACT.md's rejection codes; `detail` holds no content; `id` has 16
        /// bytes, if the line's id could be read.
        case rejected(code: String, detail: String, id: [UInt8]?)
    }
}

/// A transaction that keeps to all rules of a line.
package struct LineTransaction: Sendable {
    /// The first eight bytes of the id, most significant first.
    package let idHigh: UInt64
    /// The last eight bytes of the id.
    package let idLow: UInt64
    /// 1 to 128 characters.
    package let type: String
    /// Since 1970 in UTC; finer digits are cut off.
    package let occurredAtMicroseconds: Int64
    /// East of UTC, as written.
    package let offsetMinutes: Int
    /// Up to 128 characters.
    package let actor: String?
    package let content: Content
    /// 32 bytes: equal for equal content, whatever its spelling.
    package let contentHash: [UInt8]

    package enum Content: Sendable {
        /// The payload's exact text; PostgreSQL takes it as `jsonb`.
        case json(ArraySlice<UInt8>)
        case body(contentType: String, bytes: [UInt8])
    }
}

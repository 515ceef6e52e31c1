/// One line of an entry after the header, and what it turned out to be.
package struct EntryLine: Sendable {
    /// Within the part, from 0.
    package let index: Int
    package let result: Result
    /// What holds the line, and many others.
    let text: [UInt8]
    let range: Range<Int>

    /// The line without its line feed; a line over the limit is cut to it.
    package var raw: ArraySlice<UInt8> { text[range] }

    package enum Result: Sendable {
        case transaction(LineTransaction)
        /// `code` is one of CONTRACT.md's rejection codes; `detail` holds no content; `id` has 16
        /// bytes, if the line's id could be read.
        case rejected(code: String, detail: String, id: [UInt8]?)
    }
}

/// A transaction that keeps to all rules of a line.
///
/// All its texts lie in one array, mostly the one that the entry was inflated into: a value without
/// memory of its own.
package struct LineTransaction: Sendable {
    /// The first eight bytes of the id, most significant first.
    package let idHigh: UInt64
    /// The last eight bytes of the id.
    package let idLow: UInt64
    /// Since 1970 in UTC; finer digits are cut off.
    package let occurredAtMicroseconds: Int64
    /// East of UTC, as written.
    package let offsetMinutes: Int16
    /// Equal for equal content, whatever its spelling.
    package let hash: ContentHash
    package let texts: Texts

    /// Where the texts are, in bytes from the start of the array. A line is far shorter than 2 GiB.
    package struct Texts: Sendable {
        package let bytes: [UInt8]
        /// 1 to 128 characters.
        package let type: Range<Int32>
        /// Up to 128 characters.
        package let actor: Range<Int32>?
        /// Nil for a payload.
        package let contentType: Range<Int32>?
        /// The payload's exact text, which PostgreSQL takes as `jsonb`; or the body, decoded.
        package let content: Range<Int32>
        /// The whole line.
        package let raw: Range<Int32>

        package subscript(range: Range<Int32>) -> ArraySlice<UInt8> {
            bytes[Int(range.lowerBound)..<Int(range.upperBound)]
        }
    }

    package enum Content: Sendable {
        case json(ArraySlice<UInt8>)
        case body(contentType: String, bytes: [UInt8])
    }

    package var type: String { String(decoding: texts[texts.type], as: UTF8.self) }
    package var actor: String? {
        texts.actor.map { String(decoding: texts[$0], as: UTF8.self) }
    }
    package var content: Content {
        guard let contentType = texts.contentType else { return .json(texts[texts.content]) }
        return .body(
            contentType: String(decoding: texts[contentType], as: UTF8.self),
            bytes: Array(texts[texts.content]))
    }
    /// 32 bytes.
    package var contentHash: [UInt8] { hash.bytes }
}

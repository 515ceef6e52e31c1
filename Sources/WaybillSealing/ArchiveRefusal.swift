/// Which rule of the sealed bundle an archive breaks (CONTRACT.md, "Codes").
package enum ArchiveCode: String, Sendable, CaseIterable {
    case empty = "archive_empty"
    case notZip = "archive_not_zip"
    case truncated = "archive_truncated"
    case surplus = "archive_surplus"
    case comment = "archive_comment"
    case entries = "archive_entries"
    case name = "archive_name"
    case entryType = "archive_entry_type"
    case notEncrypted = "archive_not_encrypted"
    case encryption = "archive_encryption"
    case method = "archive_method"
    case inconsistent = "archive_inconsistent"
    case limit = "archive_limit"
}

/// The answer to an archive that is not a well-formed part.
package struct ArchiveRefusal: Error, Equatable, Sendable {
    package let code: ArchiveCode
    /// The rule in words; safe to show.
    package let rule: String
    /// The byte at which the rule is broken, from the start of the part.
    package let offset: Int

    package init(_ code: ArchiveCode, _ rule: String, at offset: Int) {
        self.code = code
        self.rule = rule
        self.offset = offset
    }

    /// The same bytes are refused for ever.
    package var isRetryable: Bool { false }

    /// A refusal is the sender's news only.
    package var isFatal: Bool { false }

    /// For metric labels.
    package var shortDescription: String { code.rawValue }
}

extension ArchiveRefusal: CustomStringConvertible {
    package var description: String { "\(rule) (byte \(offset))" }
}

/// Where a bundle stands, as the device sees it.
package enum BundleState: String, Codable, Sendable, CaseIterable {
    /// Parts are still coming in.
    case receiving
    /// All parts are synced; no listener has taken it yet.
    case queued
    /// A listener works on it.
    case processing
    /// Its transactions and its receipt are committed.
    case settled
    /// It could not be processed; a receipt says why.
    case quarantined
    /// It was begun and not finished in time.
    case expired
    /// The server found its copy damaged; send it again.
    case lost
}

/// What became of one transaction.
package enum Outcome: String, Codable, Sendable, CaseIterable {
    case accepted, duplicate, rejected, conflict
}

/// Why a line is not a valid transaction.
package enum RejectionCode: String, Codable, Sendable, CaseIterable {
    case invalidJSON = "invalid_json"
    case invalidUTF8 = "invalid_utf8"
    case duplicateKey = "duplicate_key"
    case invalidID = "invalid_id"
    case invalidType = "invalid_type"
    case invalidTime = "invalid_time"
    case invalidBody = "invalid_body"
    case unstorable
    case tooDeep = "too_deep"
    case tooLong = "too_long"
}

/// Why a bundle as a whole could not be processed.
package enum QuarantineCode: String, Codable, Sendable, CaseIterable {
    case cannotOpen = "cannot_open"
    case bindingMismatch = "binding_mismatch"
    case headerInvalid = "header_invalid"
    case limitUnzipped = "limit_unzipped"
    case processingFailed = "processing_failed"
}

extension QuarantineCode {
    /// What a device is told: the same for all faults of one class; more is in the audit.
    package var summary: String {
        switch self {
        case .cannotOpen:
            "the part cannot be opened: password, authentication or compression"
        case .bindingMismatch:
            "the header line does not fit: bundle, device, part, device_seq or number of lines"
        case .headerInvalid:
            "the first line is not a valid header, or announces more transactions than the limit"
        case .limitUnzipped: "the part inflates beyond its declared size or the limit"
        case .processingFailed: "the bundle failed too often"
        }
    }
}

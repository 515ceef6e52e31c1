/// Why a part cannot be opened, or is not what it should be.
package enum OpeningError: Error {
    /// Wrong password, failed authentication, damaged deflate stream; the words are for logs.
    case cannotOpen(String)
    /// More inflated bytes than declared or allowed.
    case limitUnzipped
    /// Line 1 is not a header.
    case headerInvalid(String)
    /// Line 1 announces more transactions than the bundle may have.
    case tooManyTransactions(most: Int)
    /// Line 1 belongs to another bundle, device or part, or counts other lines; the words name the
    /// member at fault, and are without content.
    case bindingMismatch(String)
    /// The source could not be read: the part itself may be sound.
    case source(any Error)
    /// libcrypto or zlib could not get memory or failed in a way no input explains.
    case library(String)

    /// All but the content's own faults may pass.
    package var isRetryable: Bool {
        switch self {
        case .cannotOpen, .limitUnzipped, .headerInvalid, .tooManyTransactions, .bindingMismatch:
            false
        case .source, .library: true
        }
    }

    /// No error of opening is a reason to stop the process.
    package var isFatal: Bool { false }

    /// For metric labels; for the content's faults it is the quarantine code.
    package var shortDescription: String {
        switch self {
        case .cannotOpen: "cannot_open"
        case .limitUnzipped: "limit_unzipped"
        case .headerInvalid, .tooManyTransactions: "header_invalid"
        case .bindingMismatch: "binding_mismatch"
        case .source: "source"
        case .library: "library"
        }
    }
}

extension OpeningError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .cannotOpen(let words): "the part cannot be opened: \(words)"
        case .limitUnzipped: "the entry is larger than declared or allowed"
        case .headerInvalid(let words): "the first line is not a header: \(words)"
        case .tooManyTransactions(let most):
            "more transactions than the \(most) that a bundle may have"
        case .bindingMismatch(let words): "the header does not fit: \(words)"
        case .source: "the part cannot be read"
        case .library(let words): "a library failed: \(words)"
        }
    }
}

/// Why a part could not be made.
package enum SealingError: Error, Equatable, Sendable {
    /// The entry or the part is over what 32-bit ZIP fields can say.
    case tooLarge(byteCount: Int)
    /// A given salt is not 16 bytes.
    case saltLength(Int)
    /// zlib's status.
    case compression(Int32)
    /// The cryptographic library refused; its words.
    case cryptography(String)

    /// Sealing again with the same arguments gives the same error.
    package var isRetryable: Bool { false }

    /// No error of sealing is a reason to stop the process.
    package var isFatal: Bool { false }

    /// For metric labels.
    package var shortDescription: String {
        switch self {
        case .tooLarge: "too_large"
        case .saltLength: "salt_length"
        case .compression: "compression"
        case .cryptography: "cryptography"
        }
    }
}

extension SealingError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .tooLarge(let byteCount): "\(byteCount) bytes do not fit in one part"
        case .saltLength(let count): "the salt must be 16 bytes, not \(count)"
        case .compression(let status): "zlib failed with status \(status)"
        case .cryptography(let words): "the cryptographic library refused: \(words)"
        }
    }
}

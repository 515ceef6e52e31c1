/// Why a ledger cannot be read or judged.
package enum LedgerFault: Error, Sendable, Equatable, CustomStringConvertible {
    /// A file of the ledger is not what was written.
    case damaged(String)
    /// Written by a program that this one does not know.
    case unknownVersion(Int)
    /// A public key of receipts is none.
    case badKey(String)
    /// The login may not see what has to be compared.
    case notPermitted(String)
    /// The database has no such tenant.
    case tenantMissing(String)

    package var description: String {
        switch self {
        case .damaged(let what): "the ledger is damaged: \(what)"
        case .unknownVersion(let version): "the ledger has version \(version), which is unknown"
        case .badKey(let id): "receipt key \(id) is not 32 bytes in base64url"
        case .notPermitted(let what): what
        case .tenantMissing(let slug): "the database has no tenant \(slug)"
        }
    }
}

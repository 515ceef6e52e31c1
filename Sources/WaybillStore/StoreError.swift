package import WaybillPostgres

/// What a caller of the store must tell apart.
package enum StoreError: Error, Sendable {
    /// The database does not answer or takes no work now; ask again later.
    case unavailable(PostgresError)
    /// No such code, it has expired, or it was used.
    case codeInvalid
    /// A confirmation of receipts that were never issued.
    case notIssued(last: Int64)
    case notFound
    case alreadyExists
    /// The device is revoked for good.
    case revoked
    /// A value breaks a rule of the schema; the text says which value.
    case invalid(String)
    /// The database has no such device, or has it under another tenant: it was restored from before
    /// the device came, or is another one. Nothing of a bundle's own; a person may mend it.
    case unknownDevice
    /// Something sealed under a root key cannot be opened with this one.
    case cannotOpenSealed(keyID: String)
    /// The database refused a statement.
    case postgres(PostgresError)
    /// Signing or sealing failed in the cryptographic library.
    case cryptography(String)

    /// Sorts an error of the database by what a caller can do about it.
    package init(_ error: PostgresError) {
        self = error.isUnavailable ? .unavailable(error) : .postgres(error)
    }

    /// Any error that a closure given to the database may have thrown.
    package init(_ error: any Error) {
        switch error {
        case let error as StoreError: self = error
        case let error as PostgresError: self.init(error)
        default: self = .cryptography(String(describing: error))
        }
    }
}

extension StoreError: CustomStringConvertible {
    /// The same call may succeed when it is repeated, unchanged.
    package var isRetryable: Bool {
        switch self {
        case .unavailable: true
        case .postgres(let error): error.isRetryable
        default: false
        }
    }

    /// Nothing succeeds before a person acts.
    package var isFatal: Bool {
        switch self {
        case .cannotOpenSealed: true
        case .unavailable(let error), .postgres(let error): error.isFatal
        default: false
        }
    }

    /// The database is away: nothing of the bundle's own.
    package var isUnavailable: Bool {
        if case .unavailable = self { return true }
        return false
    }

    /// The bundle itself made its settling fail, as far as the error tells.
    ///
    /// Told by SQLSTATE's class: 21 and 22 values, 23 constraints, 54 limits of the program, P0 raised
    /// by a trigger, XX000 an internal error. All else, such as a missing right or column, would
    /// befall any bundle.
    package var isOfTheBundle: Bool {
        switch self {
        case .invalid, .notFound, .alreadyExists: return true
        case .postgres(let error):
            if case .unexpectedResult = error { return true }
            guard let state = error.sqlState else { return false }
            return ["21", "22", "23", "54", "P0"].contains(state.prefix(2)) || state == "XX000"
        default: return false
        }
    }

    /// From a closed set, for metric labels.
    package var shortDescription: String {
        switch self {
        case .unavailable: "unavailable"
        case .codeInvalid: "code_invalid"
        case .notIssued: "not_issued"
        case .notFound: "not_found"
        case .alreadyExists: "already_exists"
        case .revoked: "revoked"
        case .invalid: "invalid"
        case .unknownDevice: "unknown_device"
        case .cannotOpenSealed: "cannot_open_sealed"
        case .postgres(let error): error.shortDescription
        case .cryptography: "cryptography"
        }
    }

    package var description: String {
        switch self {
        case .unavailable(let error): error.description
        case .codeInvalid: "the code is unknown, used or too old"
        case .notIssued(let last): "the device's highest receipt number is \(last)"
        case .notFound: "there is no such thing"
        case .alreadyExists: "it exists already"
        case .revoked: "the device is revoked"
        case .invalid(let what): "invalid \(what)"
        case .unknownDevice:
            "the database does not know the device, or has it under another tenant"
        case .cannotOpenSealed(let keyID):
            "sealed under another root key than \(keyID), or damaged"
        case .postgres(let error): error.description
        case .cryptography(let what): "cryptography failed: \(what)"
        }
    }
}

/// What can go wrong with the device side as a whole.
package enum IngressError: Error, CustomStringConvertible {
    /// The registry's copy on disk could not be written.
    case registryUnwritable(errno: Int32)

    package var description: String {
        switch self {
        case .registryUnwritable(let number):
            "the device registry could not be saved (errno \(number))"
        }
    }

    /// The next save may succeed.
    package var isRetryable: Bool { true }

    /// The registry is a cache.
    package var isFatal: Bool { false }

    package var shortDescription: String {
        switch self {
        case .registryUnwritable: "registry_unwritable"
        }
    }
}

/// The connection or the request's framing broke while its body was read.
///
/// A ``RequestFault`` is answered, as the last of its connection; of any other cause nobody is
/// left to hear.
struct BrokenRequest: Error {
    let cause: any Error
}

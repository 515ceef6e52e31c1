/// What one line of a bundle is there for.
enum LineRole: Sendable, Equatable {
    /// A new transaction under its own id: accepted.
    case original
    /// The same content as an original before it, perhaps spelled otherwise: a duplicate.
    case repeated(LoadID.Place)
    /// The id of an original before it, with other content: a conflict.
    case conflicting(LoadID.Place)
    /// No valid transaction; the place is whose id it bears, if it shows one.
    case bad(BadLine, bearing: LoadID.Place)
}

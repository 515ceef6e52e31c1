/// The calls that take nothing that authentication does not confirm.
package enum TagCheckSite: Int, CallSite {
    package static let kind = 3

    /// The key of a segment, in its header.
    case segmentKey
    /// The list of segments, by which an opening notices that one is gone.
    case manifest
    /// A record that an opening finds.
    case scan
    /// A record that is read again.
    case read
    /// The header of an index: its key, what it is about, and how much.
    case index
    /// A piece of an index.
    case indexPiece
}

/// The calls that write zeros where records will be, so that a sync of a record needs nothing but its
/// own blocks: reserved blocks alone would be entered in the file system's journal by that sync.
package enum ZeroFillSite: Int, CallSite {
    package static let kind = 6

    /// The file of a new segment.
    case newSegment
}

extension OpenFile {
    private static var pieceBytes: Int { 1 << 20 }

    /// Writes zeros over `range`; nothing is synced.
    func fillWithZeros(_ range: Range<Int>, at site: ZeroFillSite) throws(LogError) {
        #if MUTANTS
            if Mutation.disables(site) { return }
        #endif
        let zeros = [UInt8](repeating: 0, count: min(range.count, Self.pieceBytes))
        var offset = range.lowerBound
        while offset < range.upperBound {
            let count = min(zeros.count, range.upperBound - offset)
            try writeAll(zeros[..<count], at: offset)
            offset += count
        }
    }
}

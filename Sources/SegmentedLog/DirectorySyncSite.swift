/// The calls that make entries of the log's directory durable.
package enum DirectorySyncSite: Int, CallSite {
    package static let kind = 2

    /// The log's directory itself, in the one above.
    case logDirectory
    /// The name of the file that names the log.
    case identity
    /// The end of deletions that the last process had not finished.
    case finishedDeletions
    /// A new segment's name, before anybody uses it.
    case newSegment
    /// The end of deleted segments.
    case deletedSegments
    /// The name of a file of the log's owner.
    case sealedFile
    /// A rewritten segment in the place of the old one.
    case rewrittenSegment
}

extension FileSystem {
    /// ``syncDirectory(_:)``, as one of the calls that a mutant can leave out.
    package func syncDirectory(_ path: String, at site: DirectorySyncSite) throws(LogError) {
        #if MUTANTS
            if Mutation.disables(site) { return }
        #endif
        try syncDirectory(path)
    }
}

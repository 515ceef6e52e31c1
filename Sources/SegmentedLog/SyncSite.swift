/// The calls that make a file of the log durable.
package enum SyncSite: Int, CallSite {
    package static let kind = 1

    /// The file that names the log.
    case identity
    /// What an opening found behind the last sync and goes on from.
    case tail
    /// The records of a batch, before their callers hear of them.
    case batch
    /// The zeros over a refused write.
    case refusedWrite
    /// The file's new end, where the zeros could not be written.
    case refusedWriteCut
    /// A new segment, before it gets its name.
    case newSegment
    /// A file of the log's owner.
    case sealedFile
    /// A segment without what is needed no more, before it takes the old one's place.
    case rewrittenSegment
}

extension OpenFile {
    /// ``synchronize(overwriting:)``, as one of the calls that a mutant can leave out.
    package func synchronize(
        at site: SyncSite, overwriting: Bool = false
    ) throws(LogError) {
        #if MUTANTS
            if Mutation.disables(site) { return }
        #endif
        try synchronize(overwriting: overwriting)
    }
}

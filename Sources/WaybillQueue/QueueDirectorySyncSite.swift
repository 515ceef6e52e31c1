internal import SegmentedLog

/// The calls that make entries of the queue's directory durable that are not the log's.
package enum QueueDirectorySyncSite: Int, CallSite {
    package static let kind = 5

    /// The name of the file that says that the queue is paused, or its end.
    case pause
}

extension FileSystem {
    /// ``syncDirectory(_:)``, as one of the calls that a mutant can leave out.
    func syncDirectory(_ path: String, at site: QueueDirectorySyncSite) throws(LogError) {
        #if MUTANTS
            if Mutation.disables(site) { return }
        #endif
        try syncDirectory(path)
    }
}

package import WaybillThreads

/// Unlinks the files of settled bundles on a thread of its own, so that nobody waits for the disk.
package final class PartReaper: Sendable {
    /// Batches that may wait; files of more than that stay until the next start sweeps them.
    private static let batchesMax = 4096

    private let batches = BoundedChannel<[String]>(capacity: batchesMax)

    /// - Throws: ``ThreadError`` when the system refuses another thread.
    package init() throws(ThreadError) {
        let batches = batches
        _ = try NamedThread(name: "parts-reaper") {
            while let paths = batches.receive() { PartFile.remove(paths) }
        }
    }

    deinit {
        batches.close()
    }

    /// Has the files removed soon; never waits.
    func remove(_ paths: [String]) {
        guard !paths.isEmpty else { return }
        _ = batches.trySend(paths)
    }
}

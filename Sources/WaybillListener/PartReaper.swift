package import WaybillThreads

/// Unlinks the files of settled bundles on a thread of its own, so that nobody waits for the disk.
package final class PartReaper: Sendable {
    /// Batches that may wait; files of more than that stay until the next start sweeps them.
    private static let batchesMax = 4096

    private let batches = BoundedChannel<[String]>(capacity: batchesMax)

    /// - Parameter directory: where the files lie.
    /// - Throws: ``ThreadError`` when the system refuses another thread.
    package init(directory: String) throws(ThreadError) {
        let batches = batches
        _ = try NamedThread(name: "parts-reaper") {
            while let names = batches.receive() { PartFile.remove(names, directory: directory) }
        }
    }

    deinit {
        batches.close()
    }

    /// Has the files removed soon; never waits.
    func remove(_ names: [String]) {
        guard !names.isEmpty else { return }
        _ = batches.trySend(names)
    }
}

internal import SegmentedLog
internal import WaybillThreads

/// The file that keeps a queue paused across restarts: it is there or not, and empty.
struct QueuePause: Sendable {
    static let fileName = "paused"

    let directory: String
    let fileSystem: any FileSystem
    /// Held while the file is made or removed.
    let lock = Monitor(())

    private var path: String { directory + "/" + Self.fileName }

    /// Blocks for one listing.
    func isThere() throws(LogError) -> Bool {
        try fileSystem.list(directory).contains(Self.fileName)
    }

    /// Makes or removes the file; durable on return. Blocks.
    func set(_ isPaused: Bool) throws(LogError) {
        guard try isThere() != isPaused else { return }
        if isPaused {
            // Empty, so that there is nothing to sync but its name.
            _ = try fileSystem.open(path, .create)
        } else {
            try fileSystem.unlink(path)
        }
        try fileSystem.syncDirectory(directory, at: .pause)
    }
}

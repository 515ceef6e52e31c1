/// The directory operations that the log needs; tests put faults in between.
///
/// All calls block and may come from any thread. Failures are ``LogError/io(errno:operation:)``.
package protocol FileSystem: Sendable {
    /// Makes a directory with mode 0700; one that exists is fine.
    func makeDirectory(_ path: String) throws(LogError)
    /// Opens a file for reading and writing, mode 0600.
    func open(_ path: String, _ mode: FileMode) throws(LogError) -> any OpenFile
    /// Makes entries durable that were created, renamed or unlinked in the directory.
    func syncDirectory(_ path: String) throws(LogError)
    /// Gives a file another name in the same directory, replacing what had that name.
    func rename(_ path: String, to newPath: String) throws(LogError)
    func unlink(_ path: String) throws(LogError)
    /// Names in a directory, in no order, without `.` and `..`.
    func list(_ path: String) throws(LogError) -> [String]
    /// Bytes that an unprivileged process could still write.
    func freeBytes(_ path: String) throws(LogError) -> Int
    /// Takes the lock on a file, making it if needed; the lock lives as long as the result.
    ///
    /// - Throws: ``LogError/locked`` when somebody else holds it.
    func lock(_ path: String) throws(LogError) -> any OpenFile
    /// Told just before a caller hears that its record is durable; for tests, which know what the log
    /// had synced by then.
    func willAnswer(_ record: AppendedRecord, type: UInt16, in directory: String)
}

extension FileSystem {
    package func willAnswer(_ record: AppendedRecord, type: UInt16, in directory: String) {}
}

/// What ``FileSystem/open(_:_:)`` does about a file that exists, or does not.
package enum FileMode: Sendable {
    /// The file must exist.
    case existing
    /// Makes the file, or empties it.
    case create
}

/// An open file; closed when the last reference goes.
package protocol OpenFile: AnyObject, Sendable {
    /// Writes at an offset; returns how many bytes were taken, at least one.
    func write(_ bytes: ArraySlice<UInt8>, at offset: Int) throws(LogError) -> Int
    /// Reads up to `count` bytes; fewer only at the end of the file.
    func read(at offset: Int, count: Int) throws(LogError) -> [UInt8]
    /// Makes the content durable, as `fdatasync(2)` does.
    ///
    /// - Parameter overwriting: nothing was written since the last sync but over blocks that had been
    ///   written and synced. Only then is it enough to write these blocks; else the file system's own
    ///   books have to be durable, too.
    func synchronize(overwriting: Bool) throws(LogError)
    /// Allocates blocks so that writes below `byteCount` need no more space.
    func allocate(_ byteCount: Int) throws(LogError)
    /// Cuts the file off.
    func truncate(_ byteCount: Int) throws(LogError)
    /// The file's size.
    func byteCount() throws(LogError) -> Int
}

extension OpenFile {
    /// Makes the content durable, wherever it was written.
    package func synchronize() throws(LogError) { try synchronize(overwriting: false) }

    /// Writes all of `bytes`, however many calls it takes.
    package func writeAll(_ bytes: ArraySlice<UInt8>, at offset: Int) throws(LogError) {
        var rest = bytes
        var offset = offset
        while !rest.isEmpty {
            let written = try write(rest, at: offset)
            precondition(written > 0 && written <= rest.count, "a write that wrote nothing")
            rest = rest.dropFirst(written)
            offset += written
        }
    }
}

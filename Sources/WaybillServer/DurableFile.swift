internal import SystemPackage
internal import WaybillThreads

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// Small files that are there whole or not at all, also after a power cut.
enum DurableFile {
    /// Writes beside the target, syncs, renames, and syncs the directory.
    ///
    /// - Throws: `Errno` of the call that failed; the target is then what it was.
    static func write(_ bytes: [UInt8], to path: String, mode: UInt16) throws {
        let target = FilePath(path)
        let folder = target.removingLastComponent()
        let temporary = folder.appending(".\(target.lastComponent?.string ?? "file").new")
        let file = try FileDescriptor.open(
            temporary, .writeOnly, options: [.create, .truncate],
            permissions: FilePermissions(rawValue: CModeT(mode)))
        try file.closeAfter {
            _ = try file.writeAll(bytes)
            try check(DurableSync.file(file.rawValue))
        }
        guard rename(temporary.string, path) == 0 else { throw Errno(rawValue: errno) }
        let directory = try FileDescriptor.open(folder, .readOnly)
        try directory.closeAfter { try check(DurableSync.directory(directory.rawValue)) }
    }

    private static func check(_ status: Int32) throws {
        guard status == 0 else { throw Errno(rawValue: status) }
    }
}

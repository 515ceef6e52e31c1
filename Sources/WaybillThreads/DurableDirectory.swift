#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// Directories that are still there after a power cut.
///
/// `mkdir(2)` alone does not see to that: what is synced within a directory is lost with it if its
/// own entry, in the directory above, never reached the disk.
package enum DurableDirectory {
    /// A system call that failed.
    package struct Failure: Error, Sendable, Equatable {
        package let errno: Int32
        package let operation: String
    }

    /// Makes the directory and those above it that are missing, each synced into the one above.
    ///
    /// One that exists is synced into the one above as well: whoever made it may have died before.
    package static func make(_ path: String, mode: UInt32 = 0o700) throws(Failure) {
        try make(path, mode: mode, sync: sync)
    }

    /// As above; for tests.
    static func make(
        _ path: String, mode: UInt32, sync: (String) throws(Failure) -> Void
    ) throws(Failure) {
        var path = path[...]
        while path.count > 1, path.hasSuffix("/") { path = path.dropLast() }
        let directory = String(path)
        let above = parent(of: directory)
        if mkdir(directory, mode_t(mode)) != 0 {
            let number = errno
            if number == ENOENT, above != directory {
                try make(above, mode: mode, sync: sync)
                guard mkdir(directory, mode_t(mode)) == 0 || errno == EEXIST else {
                    throw Failure(errno: errno, operation: "mkdir")
                }
            } else if number != EEXIST, number != EISDIR {
                throw Failure(errno: number, operation: "mkdir")
            }
        }
        var status = stat()
        guard stat(directory, &status) == 0 else {
            throw Failure(errno: errno, operation: "stat")
        }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            throw Failure(errno: ENOTDIR, operation: "mkdir")
        }
        try sync(above)
    }

    /// Makes entries durable that were created, renamed or unlinked in the directory.
    ///
    /// One that may not be read, or whose file system cannot sync it, is left as it is.
    package static func sync(_ path: String) throws(Failure) {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == EACCES || errno == EPERM { return }
            throw Failure(errno: errno, operation: "open")
        }
        defer { close(descriptor) }
        let status = DurableSync.directory(descriptor)
        guard status == 0 || status == EINVAL || status == EROFS else {
            throw Failure(errno: status, operation: "fsync")
        }
    }

    private static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}

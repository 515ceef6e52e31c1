#if canImport(Glibc)
    internal import CGlibc
    internal import Glibc
#else
    internal import Darwin
#endif

/// Syncs that hold even if the file system gives itself up in the middle of them.
///
/// ext4 that finds an error in itself aborts its journal and turns read-only. A sync that is under way
/// then can return success although the journal never got the blocks that were written first: after the
/// next mount they read as zeros, or the file is shorter. (Linux 6.18, `errors=remount-ro`: 5 to 17 of 100
/// writers that were caught by it had been told so of their last record. A second sync says the same.)
/// What needs the journal itself fails from then on, so each sync is followed by such a call: 0 of 120.
/// Blocks that were written and synced before need no journal, and no such proof.
package enum DurableSync {
    /// `fdatasync(2)` of an open file, and proof; 0, or the error's number.
    ///
    /// Not to be tried again, not even after `EINTR`: a failed sync may have dropped the pages.
    package static func file(_ descriptor: Int32) -> Int32 {
        #if canImport(Glibc)
            guard fdatasync(descriptor) == 0 else { return errno }
            var status = stat()
            guard unsafe fstat(descriptor, &status) == 0, status.st_size > 0 else { return 0 }
            return verdict { posix_fallocate(descriptor, 0, 1) }
        #else
            return fcntl(descriptor, F_FULLFSYNC) == 0 ? 0 : errno
        #endif
    }

    /// `fsync(2)` of an open directory, and proof; 0, or the error's number.
    package static func directory(_ descriptor: Int32) -> Int32 {
        while fsync(descriptor) != 0 {
            guard errno == EINTR else { return errno }
        }
        #if canImport(Glibc)
            return verdict {
                // A file without a name: O_TMPFILE, whose macro Swift does not see.
                let flags = 0o20000000 | O_DIRECTORY | O_RDWR | O_CLOEXEC
                let file = openat(descriptor, ".", flags, 0o600)
                guard file >= 0 else { return errno }
                close(file)
                return 0
            }
        #else
            return 0
        #endif
    }

    /// `syncfs(2)` of the file system that has a path. What a process that was killed had written and not
    /// synced is read by the next one as if it were safe; after this it is. 0, or the error's number.
    package static func everything(around path: String) -> Int32 {
        #if canImport(Glibc)
            let descriptor = open(path, O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { return errno }
            defer { close(descriptor) }
            return syncfs(descriptor) == 0 ? 0 : errno
        #else
            sync()
            return 0
        #endif
    }

    /// What a call that needs the journal says of it; any other failure says nothing.
    private static func verdict(_ call: () -> Int32) -> Int32 {
        while true {
            let number = call()
            if number != EINTR { return number == EROFS || number == EIO ? number : 0 }
        }
    }
}

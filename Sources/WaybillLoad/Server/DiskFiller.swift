#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// Takes a file system's room away with one file, and gives it back.
struct DiskFiller: Sendable {
    /// On the file system to fill.
    let directory: String
    private var path: String { directory + "/filled-by-waybill-load" }

    /// Leaves half of what the server wants to stay free by default (`disk-free-floor`: the smaller of
    /// 1 GiB and 5 %), so that it refuses bundles while what it has begun still ends.
    ///
    /// Takes seconds and blocks its thread meanwhile.
    ///
    /// - Returns: bytes that are left.
    @discardableResult
    func fill() throws(ServerFailure) -> Int {
        let (free, total) = try room()
        let leave = min(1 << 30, total / 20) / 2
        guard free > leave else { return free }
        let file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw .toolFailed("\(path) cannot be made (errno \(errno))") }
        defer { close(file) }
        let status = posix_fallocate(file, 0, off_t(free - leave))
        // Others may have taken the room first: then there is none either.
        guard status == 0 || status == ENOSPC else {
            throw .toolFailed("the disk cannot be filled (errno \(status))")
        }
        return try room().free
    }

    /// Does nothing where nothing was filled.
    func free() throws(ServerFailure) {
        guard unlink(path) == 0 || errno == ENOENT else {
            throw .toolFailed("\(path) cannot be removed (errno \(errno))")
        }
    }

    private func room() throws(ServerFailure) -> (free: Int, total: Int) {
        var status = statvfs()
        guard statvfs(directory, &status) == 0 else {
            throw .toolFailed("statvfs of \(directory) failed (errno \(errno))")
        }
        let block = Int(status.f_frsize)
        return (Int(status.f_bavail) * block, Int(status.f_blocks) * block)
    }
}

internal import Synchronization
internal import WaybillThreads

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// The operating system's files.
package struct PosixFileSystem: FileSystem {
    private let directories = SyncedDirectories()

    package init() {}

    package func makeDirectory(_ path: String) throws(LogError) {
        guard unsafe mkdir(path, 0o700) == 0 || errno == EEXIST else {
            throw .io(errno: errno, operation: "mkdir")
        }
    }

    package func open(_ path: String, _ mode: FileMode) throws(LogError) -> any OpenFile {
        try PosixFile(path: path, flags: mode == .create ? O_CREAT | O_TRUNC : 0)
    }

    package func syncDirectory(_ path: String) throws(LogError) {
        let descriptor = try directories.descriptor(of: path)
        let status = DurableSync.directory(descriptor)
        guard status == 0 else { throw .io(errno: status, operation: "fsync directory") }
    }

    package func rename(_ path: String, to newPath: String) throws(LogError) {
        guard renameFile(path, newPath) == 0 else {
            throw .io(errno: errno, operation: "rename")
        }
    }

    package func unlink(_ path: String) throws(LogError) {
        guard unlinkFile(path) == 0 else { throw .io(errno: errno, operation: "unlink") }
    }

    package func list(_ path: String) throws(LogError) -> [String] {
        guard let stream = unsafe opendir(path) else {
            throw .io(errno: errno, operation: "opendir")
        }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = unsafe readdir(stream) else {
                guard errno == 0 else { throw .io(errno: errno, operation: "readdir") }
                return names
            }
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
    }

    package func freeBytes(_ path: String) throws(LogError) -> Int {
        var result = statvfs()
        guard unsafe statvfs(path, &result) == 0 else {
            throw .io(errno: errno, operation: "statvfs")
        }
        return Int(clamping: UInt64(result.f_bavail) * UInt64(result.f_frsize))
    }

    package func lock(_ path: String) throws(LogError) -> any OpenFile {
        let file = try PosixFile(path: path, flags: O_CREAT, isLock: true)
        guard Self.retrying({ flock(file.descriptor, LOCK_EX | LOCK_NB) }) == 0 else {
            if errno == EWOULDBLOCK { throw .locked }
            throw .io(errno: errno, operation: "flock")
        }
        return file
    }

    /// Calls again for as long as a signal interrupts the call.
    static func retrying<Result: SignedInteger>(_ call: () -> Result) -> Result {
        while true {
            let result = call()
            if result != -1 || errno != EINTR { return result }
        }
    }
}

/// Directories that were synced before, kept open: syncing one again, which must not fail for want of
/// a descriptor, takes none. There are two of a log's, its own and the one above.
private final class SyncedDirectories: Sendable {
    private let descriptors = Mutex<[String: Int32]>([:])

    deinit {
        for descriptor in descriptors.withLock({ $0.values }) { close(descriptor) }
    }

    func descriptor(of path: String) throws(LogError) -> Int32 {
        try descriptors.withLock { descriptors throws(LogError) in
            if let known = descriptors[path] { return known }
            let descriptor = PosixFileSystem.retrying {
                openFile(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
            }
            guard descriptor >= 0 else { throw .io(errno: errno, operation: "open directory") }
            descriptors[path] = descriptor
            return descriptor
        }
    }
}

/// One descriptor, closed with the object.
final class PosixFile: OpenFile {
    let descriptor: Int32
    private let isLock: Bool

    fileprivate init(path: String, flags: Int32, isLock: Bool = false) throws(LogError) {
        self.isLock = isLock
        let flags = flags | O_RDWR | O_CLOEXEC
        descriptor = PosixFileSystem.retrying { openFile(path, flags, 0o600) }
        guard descriptor >= 0 else { throw .io(errno: errno, operation: "open") }
    }

    deinit {
        // A child that is being started at this moment has a copy of the descriptor, and would keep
        // the lock until it runs its program.
        if isLock { flock(descriptor, LOCK_UN) }
        // Content that matters was synced before; `close(2)` cannot add to that.
        close(descriptor)
    }

    func write(_ bytes: ArraySlice<UInt8>, at offset: Int) throws(LogError) -> Int {
        let written = unsafe bytes.withUnsafeBytes { buffer in
            PosixFileSystem.retrying {
                unsafe pwrite(descriptor, buffer.baseAddress, buffer.count, off_t(offset))
            }
        }
        guard written >= 0 else { throw .io(errno: errno, operation: "pwrite") }
        guard written > 0 || bytes.isEmpty else { throw .io(errno: ENOSPC, operation: "pwrite") }
        return written
    }

    func read(at offset: Int, count: Int) throws(LogError) -> [UInt8] {
        var failure: Int32 = 0
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while filled < count {
                let done = filled
                let read = PosixFileSystem.retrying {
                    unsafe pread(
                        descriptor, buffer.baseAddress.map { unsafe $0 + done }, count - done,
                        off_t(offset + done))
                }
                guard read > 0 else {
                    if read < 0 { failure = errno }
                    return
                }
                filled += read
            }
        }
        guard failure == 0 else { throw .io(errno: failure, operation: "pread") }
        return bytes
    }

    func synchronize(overwriting: Bool) throws(LogError) {
        // Not tried again, not even after EINTR: a failed sync may have dropped the pages.
        let status =
            overwriting
            ? (fdatasync(descriptor) == 0 ? 0 : errno) : DurableSync.file(descriptor)
        guard status == 0 else { throw .io(errno: status, operation: "fdatasync") }
    }

    func allocate(_ byteCount: Int) throws(LogError) {
        #if canImport(Glibc)
            let status = posix_fallocate(descriptor, 0, off_t(byteCount))
            guard status == 0 || status == EOPNOTSUPP || status == EINVAL else {
                throw .io(errno: status, operation: "fallocate")
            }
        #endif
    }

    func truncate(_ byteCount: Int) throws(LogError) {
        guard PosixFileSystem.retrying({ ftruncate(descriptor, off_t(byteCount)) }) == 0 else {
            throw .io(errno: errno, operation: "ftruncate")
        }
    }

    func byteCount() throws(LogError) -> Int {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else {
            throw .io(errno: errno, operation: "fstat")
        }
        return Int(status.st_size)
    }
}

// The methods above hide the functions of the same names.
private func openFile(_ path: String, _ flags: Int32, _ mode: mode_t) -> Int32 {
    unsafe open(path, flags, mode)
}

private func renameFile(_ path: String, _ newPath: String) -> Int32 {
    unsafe rename(path, newPath)
}

private func unlinkFile(_ path: String) -> Int32 {
    unsafe unlink(path)
}

#if !canImport(Glibc)
    private func fdatasync(_ descriptor: Int32) -> Int32 {
        fcntl(descriptor, F_FULLFSYNC)
    }
#endif

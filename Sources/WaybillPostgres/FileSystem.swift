internal import WaybillThreads

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// The few calls on files that setting up a private server takes.
enum FileSystem {
    /// Directories of the environment's `PATH`.
    static var searchPath: [String] {
        guard let value = unsafe getenv("PATH") else { return [] }
        return unsafe String(cString: value).split(separator: ":").map(String.init)
    }

    /// Names in a directory; none if it cannot be read.
    static func entries(of directory: String) -> [String] {
        guard let stream = unsafe opendir(directory) else { return [] }
        defer { _ = unsafe closedir(stream) }
        var names: [String] = []
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { start in
                unsafe start.withMemoryRebound(to: CChar.self, capacity: 256) {
                    unsafe String(cString: $0)
                }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    static func isExecutable(_ path: String) -> Bool {
        unsafe access(path, X_OK) == 0
    }

    /// The path from the root on, links resolved as far as it exists.
    static func absolute(_ path: String) throws(PostgresError) -> String {
        if path.hasPrefix("/") { return trimmed(path) }
        guard let current = unsafe getcwd(nil, 0) else { throw failure("getcwd", ".") }
        defer { unsafe free(current) }
        let relative = path.hasPrefix("./") ? String(path.dropFirst(2)) : path
        return trimmed(unsafe String(cString: current) + "/" + relative)
    }

    /// Makes the directory and those above it that are missing; durable on return.
    static func makeDirectories(_ path: String, mode: mode_t = 0o700) throws(PostgresError) {
        do throws(DurableDirectory.Failure) {
            try DurableDirectory.make(path, mode: UInt32(mode))
        } catch {
            throw .privateServer("\(error.operation) of \(path) failed (errno \(error.errno))")
        }
    }

    /// Makes entries of the directory durable.
    static func syncDirectory(_ path: String) throws(PostgresError) {
        do throws(DurableDirectory.Failure) {
            try DurableDirectory.sync(path)
        } catch {
            throw .privateServer("\(error.operation) of \(path) failed (errno \(error.errno))")
        }
    }

    /// Gives a file or directory another name in the same directory.
    static func rename(_ path: String, to newPath: String) throws(PostgresError) {
        guard unsafe Glibc.rename(path, newPath) == 0 else { throw failure("rename to", newPath) }
    }

    /// Removes a directory with all that is in it; what is gone meanwhile is fine.
    static func removeAll(_ path: String) throws(PostgresError) {
        var status = stat()
        guard unsafe lstat(path, &status) == 0 else {
            guard errno == ENOENT else { throw failure("lstat", path) }
            return
        }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            guard unsafe unlink(path) == 0 || errno == ENOENT else { throw failure("unlink", path) }
            return
        }
        for name in entries(of: path) { try removeAll(path + "/" + name) }
        guard unsafe rmdir(path) == 0 || errno == ENOENT else { throw failure("rmdir", path) }
    }

    /// Makes `user`, or else this process's user, the owner of a file or directory that is theirs or
    /// this process's already. A thing of that name under /tmp may be somebody else's trap.
    static func give(_ path: String, to user: ServerUser?) throws(PostgresError) {
        var status = stat()
        guard unsafe lstat(path, &status) == 0 else { throw failure("lstat", path) }
        let isOurs = status.st_uid == geteuid() || status.st_uid == user?.userID
        guard isOurs, status.st_mode & S_IFMT != S_IFLNK else {
            throw .privateServer("\(path) belongs to somebody else")
        }
        guard let user else { return }
        guard unsafe lchown(path, user.userID, user.groupID) == 0 else {
            throw failure("chown", path)
        }
    }

    /// Whether `user` can pass through every directory above `path`, links resolved.
    static func isReachable(_ path: String, for user: ServerUser) -> Bool {
        guard let resolved = unsafe realpath(path, nil) else { return false }
        defer { unsafe free(resolved) }
        var above = unsafe String(cString: resolved)
        while let slash = above.lastIndex(of: "/"), slash != above.startIndex {
            above = String(above[..<slash])
            var status = stat()
            guard unsafe stat(above, &status) == 0 else { return false }
            let needed: mode_t =
                status.st_uid == user.userID ? 0o100 : status.st_gid == user.groupID ? 0o010 : 0o001
            guard status.st_mode & needed != 0 else { return false }
        }
        return true
    }

    /// The text of a small file; nil if it cannot be read.
    static func read(_ path: String) -> String? {
        let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var content: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = unsafe Glibc.read(file, &buffer, buffer.count)
            guard count >= 0 else { return nil }
            if count == 0 { return String(decoding: content, as: UTF8.self) }
            content.append(contentsOf: buffer[..<count])
        }
    }

    /// Replaces a small file's content.
    static func write(_ text: String, to path: String, mode: mode_t) throws(PostgresError) {
        let file = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode)
        guard file >= 0 else { throw failure("open", path) }
        defer { close(file) }
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes {
                unsafe Glibc.write(file, $0.baseAddress, $0.count)
            }
            guard count > 0 else { throw failure("write", path) }
            rest = rest.dropFirst(count)
        }
    }

    private static func trimmed(_ path: String) -> String {
        path.count > 1 && path.hasSuffix("/") ? trimmed(String(path.dropLast())) : path
    }

    private static func failure(_ call: String, _ path: String) -> PostgresError {
        .privateServer("\(call) of \(path) failed (errno \(errno))")
    }
}

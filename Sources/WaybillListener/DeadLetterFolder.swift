package import WaybillModel
package import WaybillStore
internal import WaybillThreads

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// The directory of sealed dead letters, as retention sees it: names, sizes and ages.
///
/// Neither seals nor opens anything. Its calls to the file system run on a thread of their own.
package actor DeadLetterFolder {
    /// All files of one letter.
    package struct Entry: Sendable, Equatable {
        package let device: DeviceID
        package var byteCount: Int
        /// Of the newest of its files.
        package var modifiedAt: Timestamp
        package var fileNames: [String]
    }

    /// What lies there at one moment.
    package struct Contents: Sendable, Equatable {
        /// Of all files, those with unknown names included.
        package var byteCount = 0
        /// By the letters' file names, without the number of the part.
        package var entries: [String: Entry] = [:]
    }

    private nonisolated let path: String
    private nonisolated let thread: ThreadExecutor

    /// - Parameter path: exists.
    /// - Throws: ``ThreadError`` when the system refuses another thread.
    package init(path: String) throws {
        self.path = path
        thread = try ThreadExecutor(name: "dead-letters")
    }

    deinit {
        thread.stop()
    }

    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        thread.asUnownedSerialExecutor()
    }

    /// Lists the directory; takes one system call a file.
    package func contents() throws(ListenerError) -> Contents {
        guard let stream = opendir(path) else { throw .deadLettersUnlistable(errno: errno) }
        defer { closedir(stream) }
        var contents = Contents()
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { field in
                field.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            var status = stat()
            // A file that has gone meanwhile is no concern of anybody's.
            guard fstatat(dirfd(stream), name, &status, AT_SYMLINK_NOFOLLOW) == 0,
                status.st_mode & S_IFMT == S_IFREG
            else { continue }
            contents.add(name, status)
        }
        return contents
    }

    /// Whether every part of the letter lies here.
    package func holds(_ letter: StoredDeadLetter) -> Bool {
        (1...max(1, letter.partByteCounts.count)).allSatisfy { part in
            access("\(path)/\(letter.fileName).\(part)", F_OK) == 0
        }
    }

    /// Unlinks files; returns how many. One that stays is found again by the next sweep.
    @discardableResult
    package func remove(_ fileNames: [String]) -> Int {
        fileNames.count { unlink(path + "/" + $0) == 0 }
    }
}

extension DeadLetterFolder.Contents {
    fileprivate mutating func add(_ name: String, _ status: stat) {
        byteCount += Int(status.st_size)
        guard let letter = DeadLetterName(name) else { return }
        #if canImport(Glibc)
            let time = status.st_mtim
        #else
            let time = status.st_mtimespec
        #endif
        let modifiedAt = Timestamp(
            microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000)
        var entry =
            entries[letter.base]
            ?? DeadLetterFolder.Entry(
                device: letter.device, byteCount: 0, modifiedAt: modifiedAt, fileNames: [])
        entry.byteCount += Int(status.st_size)
        entry.modifiedAt = max(entry.modifiedAt, modifiedAt)
        entry.fileNames.append(name)
        entries[letter.base] = entry
    }
}

/// `<device>-<bundle>-<16 digits of the digest>.<part>`, as ``DeadLetterFiles`` calls its files.
struct DeadLetterName {
    let base: String
    let device: DeviceID

    /// Nil for any other name: such a file is left alone.
    init?(_ name: String) {
        guard let dot = name.lastIndex(of: "."), let part = Int(name[name.index(after: dot)...]),
            (1...1000).contains(part)
        else { return nil }
        let base = name[..<dot]
        let fields = base.utf8
        guard fields.count == 36 + 1 + 36 + 1 + 16, let device = DeviceID(base.prefix(36)),
            base.dropFirst(36).first == "-", BundleID(base.dropFirst(37).prefix(36)) != nil,
            base.dropFirst(73).first == "-"
        else { return nil }
        self.base = String(base)
        self.device = device
    }
}

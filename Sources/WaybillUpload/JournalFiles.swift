internal import WaybillModel
internal import WaybillThreads

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// The journals of declared bundles on disk: `open/` for unfinished ones, `done/` for the others.
///
/// All of it happens on one thread of its own. What a call writes is durable when it returns,
/// unless it says otherwise.
actor JournalFiles {
    private let path: String
    private let thread: ThreadExecutor

    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    /// Makes what is missing of the directories, mode 0700; durable on return.
    init(path: String) throws(UploadError) {
        for folder in [path, path + "/open", path + "/done"] {
            try UploadError.makeDirectory(folder)
        }
        do {
            thread = try ThreadExecutor(name: "bundles")
        } catch {
            switch error {
            case .cannotStart(let number): throw .noThread(errno: number)
            }
        }
        self.path = path
    }

    deinit {
        thread.stop()
    }

    // MARK: Names

    static func name(of key: BundleKey) -> String { "\(key.deviceID).\(key.bundleID)" }

    static func key(of name: String) -> BundleKey? {
        let ids = name.split(separator: ".", omittingEmptySubsequences: false)
        guard ids.count == 2, let device = DeviceID(ids[0]), let bundle = BundleID(ids[1]) else {
            return nil
        }
        return BundleKey(deviceID: device, bundleID: bundle)
    }

    private nonisolated var openPath: String { path + "/open" }
    private nonisolated var donePath: String { path + "/done" }

    private nonisolated func openPath(of key: BundleKey) -> String {
        openPath + "/" + Self.name(of: key)
    }

    private nonisolated func donePath(of key: BundleKey) -> String {
        donePath + "/" + Self.name(of: key)
    }

    // MARK: Unfinished bundles

    /// Puts a whole journal in place: it is there as a whole or not at all.
    func write(_ bytes: [UInt8], of key: BundleKey) throws(UploadError) {
        let temporary = openPath(of: key) + Self.temporarySuffix
        let descriptor = try Self.opened(temporary, O_WRONLY | O_CREAT | O_TRUNC)
        do {
            try Self.write(bytes, to: descriptor, at: 0)
            try Self.sync(descriptor)
        } catch {
            close(descriptor)
            unlink(temporary)
            throw error
        }
        close(descriptor)
        guard rename(temporary, openPath(of: key)) == 0 else {
            throw UploadError(errno: errno, operation: "rename")
        }
        try Self.syncDirectory(openPath)
    }

    /// Adds a frame behind what is good; what stood there is cut off.
    func append(_ bytes: [UInt8], of key: BundleKey, at offset: Int) throws(UploadError) {
        let descriptor = try Self.opened(openPath(of: key), O_WRONLY)
        defer { close(descriptor) }
        guard ftruncate(descriptor, off_t(offset)) == 0 else {
            throw UploadError(errno: errno, operation: "ftruncate")
        }
        try Self.write(bytes, to: descriptor, at: offset)
        try Self.sync(descriptor)
    }

    /// Forgets a journal that was given up, and what came of the same bundle before.
    func remove(_ key: BundleKey) throws(UploadError) {
        for path in [openPath(of: key), donePath(of: key)] {
            guard unlink(path) == 0 || errno == ENOENT else {
                throw UploadError(errno: errno, operation: "unlink")
            }
        }
        try Self.syncDirectory(openPath)
    }

    /// Puts a journal to those that are done; not yet durable.
    func finish(_ key: BundleKey) throws(UploadError) {
        try moveToDone(key)
    }

    /// As ``finish(_:)``, before the threads are in use.
    nonisolated func moveToDone(_ key: BundleKey) throws(UploadError) {
        guard rename(openPath(of: key), donePath(of: key)) == 0 else {
            throw UploadError(errno: errno, operation: "rename")
        }
    }

    // MARK: Done ones

    /// The journal of a bundle that is done; nil when there is none, or none that can be read.
    func readDone(_ key: BundleKey) -> BundleJournal.Contents? {
        // It is a memory aid: without it the answer is less exact, and nothing is lost.
        guard let bytes = try? Self.read(donePath(of: key)) else { return nil }
        return try? BundleJournal.read(bytes, of: key)
    }

    /// Unlinks journals that were last written before `time`.
    ///
    /// A week of them may be many: other calls get their turn after every few hundred.
    nonisolated func sweepDone(before time: Timestamp) async {
        for folder in [donePath, openPath] {
            var names = await list(folder).filter {
                folder == donePath || $0.hasSuffix(Self.damagedSuffix)
            }[...]
            while !names.isEmpty {
                await unlinkOld(names.prefix(Self.sweptAtOnce), in: folder, before: time)
                names = names.dropFirst(Self.sweptAtOnce)
            }
        }
    }

    private static let sweptAtOnce = 500

    /// What cannot be listed now is left to the next sweep.
    private func list(_ folder: String) -> [String] { (try? Self.names(in: folder)) ?? [] }

    private func unlinkOld(_ names: ArraySlice<String>, in folder: String, before time: Timestamp) {
        for name in names {
            var status = stat()
            guard stat(folder + "/" + name, &status) == 0,
                Int64(status.st_mtim.tv_sec) * 1_000_000 < time.microseconds
            else { continue }
            unlink(folder + "/" + name)
        }
    }

    // MARK: At start

    /// Names and bytes of all unfinished bundles' journals; nil bytes for one that cannot be read.
    nonisolated func load() throws(UploadError) -> [(name: String, bytes: [UInt8]?)] {
        var found: [(name: String, bytes: [UInt8]?)] = []
        for name in try Self.names(in: openPath) {
            if name.hasSuffix(Self.temporarySuffix) {
                unlink(openPath + "/" + name)
            } else if !name.hasSuffix(Self.damagedSuffix) {
                // What cannot be read is damaged, and reported as such.
                found.append((name, try? Self.read(openPath + "/" + name)))
            }
        }
        return found
    }

    /// Keeps a damaged journal for a person to look at, out of the way.
    nonisolated func setAside(_ name: String) {
        rename(openPath + "/" + name, openPath + "/" + name + Self.damagedSuffix)
    }

    // MARK: System calls

    private static let temporarySuffix = ".new"
    private static let damagedSuffix = ".damaged"

    private static func opened(_ path: String, _ flags: Int32) throws(UploadError) -> Int32 {
        let descriptor = open(path, flags | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw UploadError(errno: errno, operation: "open") }
        return descriptor
    }

    private static func write(
        _ bytes: [UInt8], to descriptor: Int32, at offset: Int
    ) throws(UploadError) {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                pwrite(
                    descriptor, UnsafeRawBufferPointer(rebasing: buffer[written...]).baseAddress,
                    buffer.count - written, off_t(offset + written))
            }
            if count > 0 {
                written += count
            } else if errno != EINTR || count == 0 {
                throw UploadError(errno: count == 0 ? EIO : errno, operation: "pwrite")
            }
        }
    }

    private static func sync(_ descriptor: Int32) throws(UploadError) {
        let status = DurableSync.file(descriptor)
        guard status == 0 else { throw UploadError(errno: status, operation: "fsync") }
    }

    private static func syncDirectory(_ path: String) throws(UploadError) {
        let descriptor = try opened(path, O_RDONLY | O_DIRECTORY)
        defer { close(descriptor) }
        let status = DurableSync.directory(descriptor)
        guard status == 0 else { throw UploadError(errno: status, operation: "fsync") }
    }

    private static func read(_ path: String) throws(UploadError) -> [UInt8] {
        let descriptor = try opened(path, O_RDONLY)
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        while true {
            var number: Int32 = 0
            let piece = [UInt8](unsafeUninitializedCapacity: 64 << 10) { buffer, count in
                let got = pread(descriptor, buffer.baseAddress, buffer.count, off_t(bytes.count))
                if got < 0 { number = errno }
                count = max(0, got)
            }
            if number == EINTR { continue }
            guard number == 0 else { throw UploadError(errno: number, operation: "pread") }
            if piece.isEmpty { return bytes }
            bytes += piece
        }
    }

    private static func names(in path: String) throws(UploadError) -> [String] {
        guard let stream = opendir(path) else {
            throw UploadError(errno: errno, operation: "opendir")
        }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { field in
                field.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted()
    }
}

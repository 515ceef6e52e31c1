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
        try FileCalls.put(bytes, at: openPath(of: key), in: openPath)
    }

    /// Adds a frame behind what is good; what stood there is cut off.
    func append(_ bytes: [UInt8], of key: BundleKey, at offset: Int) throws(UploadError) {
        let descriptor = try FileCalls.opened(openPath(of: key), O_WRONLY)
        defer { close(descriptor) }
        try FileCalls.truncate(descriptor, to: offset)
        try FileCalls.write(bytes, to: descriptor, at: offset)
        try FileCalls.sync(descriptor)
    }

    /// Forgets a journal that was given up, and what came of the same bundle before.
    func remove(_ key: BundleKey) throws(UploadError) {
        for path in [openPath(of: key), donePath(of: key)] {
            guard unlink(path) == 0 || errno == ENOENT else {
                throw UploadError(errno: errno, operation: "unlink")
            }
        }
        try FileCalls.syncDirectory(openPath)
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
        guard let bytes = try? FileCalls.read(donePath(of: key)) else { return nil }
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
    private func list(_ folder: String) -> [String] { (try? FileCalls.names(in: folder)) ?? [] }

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
        for name in try FileCalls.names(in: openPath) {
            if name.hasSuffix(FileCalls.temporarySuffix) {
                unlink(openPath + "/" + name)
            } else if !name.hasSuffix(Self.damagedSuffix) {
                // What cannot be read is damaged, and reported as such.
                found.append((name, try? FileCalls.read(openPath + "/" + name)))
            }
        }
        return found
    }

    /// Keeps a damaged journal for a person to look at, out of the way.
    nonisolated func setAside(_ name: String) {
        rename(openPath + "/" + name, openPath + "/" + name + Self.damagedSuffix)
    }

    private static let damagedSuffix = ".damaged"
}

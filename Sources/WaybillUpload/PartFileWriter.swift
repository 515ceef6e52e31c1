internal import WaybillModel
internal import WaybillSealing
internal import WaybillThreads

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// One part's file while it is written, checked and synced; it all happens on one thread.
///
/// A file that was not kept is gone when its writer is.
actor PartFileWriter {
    nonisolated let name: String
    private let directory: PartDirectory
    private let thread: ThreadExecutor
    private var descriptor: Int32 = -1
    private var byteCount = 0
    private var writeBack = WriteBack()
    private var digest: RunningDigest
    private var isKept = false

    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    init(
        directory: PartDirectory, name: String, thread: ThreadExecutor,
        hashing algorithms: [DigestAlgorithm]
    ) {
        self.directory = directory
        self.name = name
        self.thread = thread
        digest = RunningDigest(algorithms)
    }

    deinit {
        guard descriptor >= 0 else { return }
        close(descriptor)
        if !isKept { directory.remove(name) }
    }

    func create() throws(UploadError) {
        descriptor = try FileCalls.opened(
            directory.path + "/" + name, O_RDWR | O_CREAT | O_EXCL)
    }

    /// Adds bytes at the end; not yet durable.
    func write(_ bytes: [UInt8]) throws(UploadError) {
        try FileCalls.write(bytes, to: descriptor, at: byteCount)
        byteCount += bytes.count
        writeBack.written(to: byteCount, descriptor)
        digest.update(bytes)
    }

    /// Checks digests and structure of all that was written.
    func check(
        expecting expected: [ExpectedDigest], limits: ArchiveLimits
    ) throws(UploadError) -> (Digest256, ArchiveLayout) {
        let digest = try digest.finish(expecting: expected)
        let source = FileSource(descriptor: descriptor, byteCount: byteCount)
        return (digest, try ArchiveStructure.checkPart(source, limits: limits))
    }

    /// Makes the bytes and the directory's entry durable; from here on the file stays.
    func keep() throws(UploadError) {
        try FileCalls.sync(descriptor)
        try directory.sync()
        isKept = true
    }

    /// Removes the file.
    func discard() {
        guard descriptor >= 0 else { return }
        close(descriptor)
        descriptor = -1
        directory.remove(name)
    }
}

/// A part's file, read while its writer holds it open.
struct FileSource: ArchiveSource {
    let descriptor: Int32
    let byteCount: Int

    func read(at offset: Int, count: Int) throws -> [UInt8] {
        let bytes = try FileCalls.read(descriptor, at: offset, count: count)
        guard bytes.count == count else { throw UploadError.io(errno: EIO, operation: "pread") }
        return bytes
    }
}

extension ArchiveStructure {
    /// Checks a part and sorts what goes wrong into this module's errors.
    static func checkPart(
        _ source: some ArchiveSource, limits: ArchiveLimits
    ) throws(UploadError) -> ArchiveLayout {
        do {
            return try check(source, limits: limits)
        } catch let refusal as ArchiveRefusal {
            throw .refused(refusal)
        } catch let error as UploadError {
            throw error
        } catch {
            throw .io(errno: EIO, operation: "read")
        }
    }
}

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
    private var digest: RunningDigest
    private var isKept = false

    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    init(directory: PartDirectory, name: String, thread: ThreadExecutor, wantsSHA512: Bool) {
        self.directory = directory
        self.name = name
        self.thread = thread
        digest = RunningDigest(wantsSHA512: wantsSHA512)
    }

    deinit {
        guard descriptor >= 0 else { return }
        close(descriptor)
        if !isKept { directory.remove(name) }
    }

    func create() throws(UploadError) {
        let opened = open(
            directory.path + "/" + name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard opened >= 0 else { throw UploadError(errno: errno, operation: "open") }
        descriptor = opened
    }

    /// Adds bytes at the end; not yet durable.
    func write(_ bytes: [UInt8]) throws(UploadError) {
        digest.update(bytes)
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                pwrite(
                    descriptor, UnsafeRawBufferPointer(rebasing: buffer[written...]).baseAddress,
                    buffer.count - written, off_t(byteCount + written))
            }
            if count > 0 {
                written += count
            } else if errno != EINTR || count == 0 {
                throw UploadError(errno: count == 0 ? EIO : errno, operation: "pwrite")
            }
        }
        byteCount += bytes.count
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
        let status = DurableSync.file(descriptor)
        guard status == 0 else { throw UploadError(errno: status, operation: "fdatasync") }
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
private struct FileSource: ArchiveSource {
    let descriptor: Int32
    let byteCount: Int

    func read(at offset: Int, count: Int) throws -> [UInt8] {
        var number: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while filled < count {
                let rest = UnsafeMutableRawBufferPointer(
                    rebasing: UnsafeMutableRawBufferPointer(buffer)[filled..<count])
                let got = pread(descriptor, rest.baseAddress, rest.count, off_t(offset + filled))
                if got > 0 {
                    filled += got
                } else if got == 0 || errno != EINTR {
                    number = got == 0 ? EIO : errno
                    return
                }
            }
        }
        guard number == 0 else { throw UploadError(errno: number, operation: "pread") }
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

internal import Synchronization
internal import WaybillThreads

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// The directory in which parts lie as files until their bundle is settled.
///
/// Files are written, synced and read on a few dedicated threads, a file always on the same one.
package final class PartDirectory: Sendable {
    package let path: String
    private let descriptor: Int32
    private let threads: [ThreadExecutor]
    private let remover: PartRemover
    private let filesMade = Atomic(0)

    /// Opens the directory (made, mode 0700, if it is missing) and removes what a crash left behind.
    ///
    /// - Parameter live: names of the files that unsettled bundles need; all others are removed.
    /// - Throws: ``UploadError/io(errno:operation:)``, ``UploadError/diskFull``,
    ///   ``UploadError/noThread(errno:)``.
    package init(
        path: String, keeping live: Set<String>, threadCount: Int = 8
    ) throws(UploadError) {
        try UploadError.makeDirectory(path)
        let threads = try FileCalls.threads(threadCount, named: "parts")
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw UploadError(errno: errno, operation: "open") }
        self.path = path
        self.descriptor = descriptor
        self.threads = threads
        remover = PartRemover(thread: threads[0])
        try sweep(keeping: live)
    }

    deinit {
        close(descriptor)
        for thread in threads { thread.stop() }
    }

    /// Removes the files of a refused or known part. One that stays is swept at the next start.
    package func remove(_ name: String) {
        unlink(path + "/" + name)
    }

    /// As ``remove(_:)``, on one of the directory's threads.
    func remove(_ names: [String]) async {
        guard !names.isEmpty else { return }
        await remover.remove(names, in: path)
    }

    /// Bytes of a file in a directory of parts; nil when it is not there.
    static func byteCount(of name: String, in path: String) -> Int? {
        var status = stat()
        return stat(path + "/" + name, &status) == 0 ? Int(status.st_size) : nil
    }

    /// A new, empty file with a random name.
    func makeFile(hashing algorithms: [DigestAlgorithm]) async throws(UploadError) -> PartFileWriter
    {
        let turn = filesMade.add(1, ordering: .relaxed).oldValue
        var generator = SystemRandomNumberGenerator()
        let words = [generator.next(), generator.next()]
        let name =
            words.map { String($0 | 1 << 63, radix: 16) }.joined() + Self.nameSuffix
        let file = PartFileWriter(
            directory: self, name: name, thread: threads[turn % threads.count],
            hashing: algorithms)
        try await file.create()
        return file
    }

    /// Makes the directory's entries durable. Blocks.
    func sync() throws(UploadError) {
        let status = DurableSync.directory(descriptor)
        guard status == 0 else { throw UploadError(errno: status, operation: "fsync") }
    }

    static let nameSuffix = ".part"

    private func sweep(keeping live: Set<String>) throws(UploadError) {
        for name in try FileCalls.names(in: path) {
            guard name.hasSuffix(Self.nameSuffix), !live.contains(name) else { continue }
            remove(name)
        }
    }
}

/// Unlinks files of parts on a thread of the directory.
private actor PartRemover {
    private let thread: ThreadExecutor

    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    init(thread: ThreadExecutor) {
        self.thread = thread
    }

    /// A file that stays is swept at the next start.
    func remove(_ names: [String], in path: String) {
        for name in names { unlink(path + "/" + name) }
    }
}

extension UploadError {
    static var noSpace: Int32 { ENOSPC }
    static var quota: Int32 { EDQUOT }
}

internal import WaybillQueue
internal import WaybillSealing
internal import WaybillThreads

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// A part's bytes, wherever they lie.
enum PartSource: ArchiveSource, Sendable {
    case memory(MemorySource)
    case file(PartFile)
    case sealed(SealedFile)

    /// Opens the part's file, if it lies in one; it is closed with the last reference.
    ///
    /// - Parameter directory: of parts that are not sealed.
    /// - Throws: ``ListenerError/partDamaged(_:)`` when the file is gone or of another size,
    ///   ``ListenerError/partUnreadable(errno:)``, ``ListenerError/deadLetterDamaged``,
    ///   ``ListenerError/deadLetterMissing``.
    init(
        _ part: PartContent, directory: String, deadLetters: DeadLetterFiles
    ) throws(ListenerError) {
        switch part.location {
        case .inline(let bytes): self = .memory(MemorySource(bytes[...]))
        case .file(let name): self = .file(try Self.file(name, part.byteCount, in: directory))
        case .deadLetter(let name): self = .sealed(try deadLetters.open(name))
        }
    }

    private static func file(
        _ name: String, _ byteCount: Int, in directory: String
    ) throws(ListenerError) -> PartFile {
        let file: PartFile
        do throws(ListenerError) {
            file = try PartFile(path: directory + "/" + name)
        } catch {
            // Without the directory nothing is known of the file.
            guard case .partUnreadable(ENOENT) = error, access(directory, X_OK) == 0 else {
                throw error
            }
            throw .partDamaged("its file is gone")
        }
        guard file.byteCount == byteCount else {
            throw .partDamaged("its file has \(file.byteCount) bytes instead of \(byteCount)")
        }
        return file
    }

    var byteCount: Int {
        switch self {
        case .memory(let source): source.byteCount
        case .file(let source): source.byteCount
        case .sealed(let source): source.byteCount
        }
    }

    /// A file that has become shorter than it was is unreadable (EIO).
    func read(at offset: Int, count: Int) throws -> [UInt8] {
        let bytes =
            switch self {
            case .memory(let source): source.read(at: offset, count: count)
            case .file(let source): try source.read(at: offset, count: count)
            case .sealed(let source): try source.read(at: offset, count: count)
            }
        guard bytes.count == count else { throw ListenerError.partUnreadable(errno: EIO) }
        return bytes
    }
}

/// A part's file, open for reading until the last reference is gone.
final class PartFile: Sendable {
    private let descriptor: Int32
    let byteCount: Int

    init(path: String) throws(ListenerError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .partUnreadable(errno: errno) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            let number = errno
            close(descriptor)
            throw .partUnreadable(errno: number)
        }
        self.descriptor = descriptor
        byteCount = Int(status.st_size)
    }

    deinit {
        close(descriptor)
    }

    /// Unlinks files of settled bundles. One that stays behind is swept at the next start.
    static func remove(_ paths: [String]) {
        for path in paths { unlink(path) }
    }

    /// Up to `count` bytes from `offset` on; fewer only at the end of the file.
    func read(at offset: Int, count: Int) throws(ListenerError) -> [UInt8] {
        let (bytes, number) = PositionalRead.bytes(of: descriptor, at: offset, count: count)
        guard number == 0 else { throw .partUnreadable(errno: number) }
        return bytes
    }
}

internal import WaybillThreads

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// System calls on files and directories, with this module's errors. All of them block.
enum FileCalls {
    static func opened(_ path: String, _ flags: Int32) throws(UploadError) -> Int32 {
        let descriptor = open(path, flags | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw UploadError(errno: errno, operation: "open") }
        return descriptor
    }

    /// Nothing for a descriptor below 0. What was written and not synced may fail later, unheard.
    static func close(_ descriptor: Int32) {
        guard descriptor >= 0 else { return }
        #if canImport(Glibc)
            _ = Glibc.close(descriptor)
        #else
            _ = Darwin.close(descriptor)
        #endif
    }

    /// Not yet durable.
    static func write(
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

    /// Up to `count` bytes: fewer only at the file's end.
    static func read(
        _ descriptor: Int32, at offset: Int, count: Int
    ) throws(UploadError) -> [UInt8] {
        let (bytes, number) = PositionalRead.bytes(of: descriptor, at: offset, count: count)
        guard number == 0 else { throw UploadError(errno: number, operation: "pread") }
        return bytes
    }

    /// The whole file.
    static func read(_ path: String) throws(UploadError) -> [UInt8] {
        let descriptor = try opened(path, O_RDONLY)
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        while true {
            let piece = try read(descriptor, at: bytes.count, count: pieceBytes)
            bytes += piece
            if piece.count < pieceBytes { return bytes }
        }
    }

    static let pieceBytes = 64 << 10

    /// Puts a whole file in place, under its name or not at all; durable on return.
    static func put(_ bytes: [UInt8], at path: String, in folder: String) throws(UploadError) {
        let temporary = path + temporarySuffix
        let descriptor = try opened(temporary, O_WRONLY | O_CREAT | O_TRUNC)
        do {
            try write(bytes, to: descriptor, at: 0)
            try sync(descriptor)
        } catch {
            close(descriptor)
            unlink(temporary)
            throw error
        }
        close(descriptor)
        try rename(temporary, to: path)
        try syncDirectory(folder)
    }

    /// What ``put(_:at:in:)`` had not finished.
    static let temporarySuffix = ".new"

    static func truncate(_ descriptor: Int32, to byteCount: Int) throws(UploadError) {
        guard ftruncate(descriptor, off_t(byteCount)) == 0 else {
            throw UploadError(errno: errno, operation: "ftruncate")
        }
    }

    static func sync(_ descriptor: Int32) throws(UploadError) {
        let status = DurableSync.file(descriptor)
        guard status == 0 else { throw UploadError(errno: status, operation: "fdatasync") }
    }

    /// As ``sync(_:)``, of blocks that were written and synced before: they need no journal.
    static func syncOverwritten(_ descriptor: Int32) throws(UploadError) {
        #if canImport(Glibc)
            guard fdatasync(descriptor) == 0 else {
                throw UploadError(errno: errno, operation: "fdatasync")
            }
        #else
            try sync(descriptor)
        #endif
    }

    static func syncDirectory(_ path: String) throws(UploadError) {
        let descriptor = try opened(path, O_RDONLY | O_DIRECTORY)
        defer { close(descriptor) }
        let status = DurableSync.directory(descriptor)
        guard status == 0 else { throw UploadError(errno: status, operation: "fsync") }
    }

    /// What cannot be removed now is left to the next start.
    static func remove(_ path: String) {
        unlink(path)
    }

    static func rename(_ path: String, to name: String) throws(UploadError) {
        #if canImport(Glibc)
            let status = Glibc.rename(path, name)
        #else
            let status = Darwin.rename(path, name)
        #endif
        guard status == 0 else { throw UploadError(errno: errno, operation: "rename") }
    }

    /// The entries of a directory but hidden ones, in order.
    static func names(in path: String) throws(UploadError) -> [String] {
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

    /// Some threads for actors whose calls block.
    static func threads(_ count: Int, named name: String) throws(UploadError) -> [ThreadExecutor] {
        var threads: [ThreadExecutor] = []
        do {
            for index in 0..<max(1, count) {
                threads.append(try ThreadExecutor(name: "\(name)-\(index)"))
            }
        } catch {
            switch error {
            case .cannotStart(let number): throw .noThread(errno: number)
            }
        }
        return threads
    }
}

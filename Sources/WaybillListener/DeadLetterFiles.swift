internal import WaybillModel
internal import WaybillQueue
package import WaybillStore
internal import WaybillThreads

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// The bytes of quarantined bundles: one sealed file a part, for operators. All that touches their
/// directory is here.
///
/// A file's form is told at ``SealedFileHeader``. Every call blocks.
package struct DeadLetterFiles: Sendable {
    private let directory: String
    private let rootKey: RootKey

    /// - Parameter directory: exists, and is only the server's to read.
    package init(directory: String, rootKey: RootKey) {
        self.directory = directory
        self.rootKey = rootKey
    }

    /// Seals and writes every part, with the memory of one chunk; durable on return.
    ///
    /// The files' names follow from device, bundle and digest, so that a second delivery after a
    /// crash writes the same files again instead of leaving orphans.
    ///
    /// - Parameter open: gives the source of a part's bytes.
    /// - Throws: ``ListenerError/deadLetterUnwritable(errno:)``, worth a retry; or what the parts'
    ///   source or the sealing throws.
    func keep(
        _ message: BundleMessage, open: (PartContent) throws -> PartSource
    ) throws -> DeadLetterFile {
        let name =
            "\(message.deviceID)-\(message.bundleID)-\(message.bundleDigest.description.prefix(16))"
        for (index, part) in message.parts.enumerated() {
            try write(try open(part), to: Self.partName(name, index + 1))
        }
        try sync(path: directory)
        return DeadLetterFile(id: .random(), name: name, byteCount: message.byteCount)
    }

    /// The bytes of one part's file.
    ///
    /// - Throws: ``ListenerError/deadLetterMissing``, ``ListenerError/partUnreadable(errno:)``,
    ///   ``ListenerError/deadLetterDamaged``.
    func open(_ name: String) throws(ListenerError) -> SealedFile {
        let file: PartFile
        do throws(ListenerError) {
            file = try PartFile(path: path(of: name))
        } catch {
            guard case .partUnreadable(ENOENT) = error else { throw error }
            throw .deadLetterMissing
        }
        return try SealedFile(file, rootKey: rootKey, context: Self.context(name))
    }

    /// Whether all parts' files are there.
    func holds(_ letter: StoredDeadLetter) -> Bool {
        letter.partFileNames.allSatisfy { access(path(of: $0), R_OK) == 0 }
    }

    /// Where a file of this name lies.
    func path(of name: String) -> String { directory + "/" + name }

    /// Of the file of one part, counted from 1.
    static func partName(_ name: String, _ part: Int) -> String { "\(name).\(part)" }

    /// Lists the directory; takes one system call a file.
    func contents() throws(ListenerError) -> DeadLetterContents {
        guard let stream = opendir(directory) else {
            throw .deadLettersUnlistable(errno: errno)
        }
        defer { closedir(stream) }
        var contents = DeadLetterContents()
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

    /// Unlinks files; returns how many. One that stays is found again by the next sweep.
    func remove(_ fileNames: [String]) -> Int {
        fileNames.count { unlink(path(of: $0)) == 0 }
    }

    private static func context(_ name: String) -> String { "dead-letter/\(name)" }

    private func write(_ source: PartSource, to name: String) throws {
        let descriptor = openFile(path(of: name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw ListenerError.deadLetterUnwritable(errno: errno) }
        defer { close(descriptor) }
        let header = SealedFileHeader(byteCount: source.byteCount)
        let cipher = rootKey.chunkCipher(context: Self.context(name), header: header.bytes)
        try write(header.bytes, to: descriptor)
        for index in 0..<header.chunkCount {
            let chunk = try source.read(
                at: index * header.chunkByteCount, count: header.clearByteCount(of: index))
            try write(cipher.seal(chunk, index: UInt64(index)), to: descriptor)
        }
        let status = DurableSync.file(descriptor)
        guard status == 0 else { throw ListenerError.deadLetterUnwritable(errno: status) }
    }

    private func write(_ bytes: [UInt8], to descriptor: Int32) throws(ListenerError) {
        var written = 0
        while written < bytes.count {
            let count = bytes[written...].withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress, $0.count)
            }
            if count >= 0 {
                written += count
            } else if errno != EINTR {
                throw .deadLetterUnwritable(errno: errno)
            }
        }
    }

    private func sync(path: String) throws(ListenerError) {
        let descriptor = openFile(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
        guard descriptor >= 0 else { throw .deadLetterUnwritable(errno: errno) }
        defer { close(descriptor) }
        let status = DurableSync.directory(descriptor)
        guard status == 0 else { throw .deadLetterUnwritable(errno: status) }
    }
}

/// `open(2)`, which the method of the same name hides.
private func openFile(_ path: String, _ flags: Int32, _ mode: mode_t) -> Int32 {
    open(path, flags, mode)
}

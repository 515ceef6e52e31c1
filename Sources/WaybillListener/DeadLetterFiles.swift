internal import WaybillModel
internal import WaybillQueue
package import WaybillStore

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// The bytes of quarantined bundles: one sealed file a part, for operators.
package struct DeadLetterFiles: Sendable {
    private let directory: String
    private let rootKey: RootKey

    /// - Parameter directory: exists, and is only the server's to read.
    package init(directory: String, rootKey: RootKey) {
        self.directory = directory
        self.rootKey = rootKey
    }

    /// Seals and writes every part; durable on return.
    ///
    /// The files' names follow from device, bundle and digest, so that a second delivery after a
    /// crash writes the same files again instead of leaving orphans.
    ///
    /// - Throws: ``ListenerError/deadLetterUnwritable(errno:)``, worth a retry; or what the parts'
    ///   source or the sealing throws.
    func keep(_ message: BundleMessage, partsDirectory: String) throws -> DeadLetterFile {
        let name =
            "\(message.deviceID)-\(message.bundleID)-\(message.bundleDigest.description.prefix(16))"
        for (index, part) in message.parts.enumerated() {
            let source = try PartSource(part, directory: partsDirectory)
            let bytes = try source.read(at: 0, count: source.byteCount)
            let file = "\(name).\(index + 1)"
            try write(rootKey.seal(bytes, context: "dead-letter/\(file)"), to: file)
        }
        try sync(path: directory)
        return DeadLetterFile(id: .random(), name: name, byteCount: message.byteCount)
    }

    private func write(_ bytes: [UInt8], to name: String) throws(ListenerError) {
        let path = directory + "/" + name
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .deadLetterUnwritable(errno: errno) }
        defer { close(descriptor) }
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
        guard fsync(descriptor) == 0 else { throw .deadLetterUnwritable(errno: errno) }
    }

    private func sync(path: String) throws(ListenerError) {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .deadLetterUnwritable(errno: errno) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw .deadLetterUnwritable(errno: errno) }
    }
}

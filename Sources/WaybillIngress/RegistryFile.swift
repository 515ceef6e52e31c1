internal import Foundation
internal import WaybillModel
package import WaybillStore
internal import WaybillThreads

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// The registry's copy on disk, for starts without a database: hashes of tokens, no secrets.
package actor RegistryFile {
    private let path: String
    private let thread: ThreadExecutor

    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        thread.asUnownedSerialExecutor()
    }

    /// - Throws: ``ThreadError`` when there is no thread for writing it.
    package init(path: String) throws {
        self.path = path
        thread = try ThreadExecutor(name: "registry")
    }

    deinit {
        thread.stop()
    }

    private struct Content: Codable {
        var version = 1
        var devices: [RegisteredDevice]
    }

    /// The devices as they were saved last; empty without a file. Blocks; for the start only.
    ///
    /// - Throws: what reading or decoding throws; the file is a cache, so going on without is right.
    package static func load(path: String) throws -> [RegisteredDevice] {
        guard FileManager.default.fileExists(atPath: path) else { return [] }
        let data = try Data(contentsOf: URL(filePath: path))
        return try JSONDecoder().decode(Content.self, from: data).devices
    }

    /// Replaces the file (mode 0600); there whole or not at all, also after a power cut.
    package func save(_ devices: [RegisteredDevice]) throws {
        let bytes = try JSONEncoder().encode(Content(devices: devices))
        let temporary = path + ".new"
        let file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw IngressError.registryUnwritable(errno: errno) }
        do {
            defer { close(file) }
            guard write(bytes, to: file), fsync(file) == 0 else {
                throw IngressError.registryUnwritable(errno: errno)
            }
        }
        guard rename(temporary, path) == 0 else {
            throw IngressError.registryUnwritable(errno: errno)
        }
        try syncDirectory()
    }

    private func write(_ bytes: Data, to file: Int32) -> Bool {
        bytes.withUnsafeBytes { buffer in
            var written = 0
            while written < buffer.count {
                let rest = UnsafeRawBufferPointer(rebasing: buffer[written...])
                let count = Self.writeSome(file, rest)
                if count > 0 {
                    written += count
                } else if errno != EINTR {
                    return false
                }
            }
            return true
        }
    }

    private static func writeSome(_ file: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
        #if canImport(Glibc)
            Glibc.write(file, bytes.baseAddress, bytes.count)
        #else
            Darwin.write(file, bytes.baseAddress, bytes.count)
        #endif
    }

    private func syncDirectory() throws {
        let folder = URL(filePath: path).deletingLastPathComponent().path
        let directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw IngressError.registryUnwritable(errno: errno) }
        defer { close(directory) }
        guard fsync(directory) == 0 else { throw IngressError.registryUnwritable(errno: errno) }
    }
}

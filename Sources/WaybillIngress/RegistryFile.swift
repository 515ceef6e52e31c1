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
///
/// Two files. `registry.json` holds all devices as of some time, and is replaced as a whole;
/// `registry.json.journal` holds what has changed since, one line each: the first 16 hexadecimal
/// digits of the SHA-256 of the rest, a space, and JSON, `{"device":{…}}` or `{"forgotten":"<id>"}`.
/// Its first line is `{"follows":"<generation>"}` with the `generation` of the first file; that of
/// another generation is not read. The journal is only added to, and emptied once the first file was
/// replaced: a crash in between leaves older changes than the first file holds, with the generation
/// before. A line that is cut off or damaged ends the journal.
package actor RegistryFile {
    private let path: String
    private let thread: ThreadExecutor
    private var journal: Int32 = -1
    /// Lines in the journal; nil while it must not be added to.
    private var lineCount: Int?

    /// Below this a journal is not worth replacing the other file.
    private static let linesMin = 1000

    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        thread.asUnownedSerialExecutor()
    }

    /// - Throws: ``ThreadError`` when there is no thread for writing it.
    package init(path: String) throws {
        self.path = path
        thread = try ThreadExecutor(name: "registry")
    }

    deinit {
        if journal >= 0 { close(journal) }
        thread.stop()
    }

    private struct Content: Codable {
        var version = 1
        /// Random; nil in files of before there was one.
        var generation: String?
        var devices: [RegisteredDevice]
    }

    private struct Change: Codable {
        var device: RegisteredDevice?
        var forgotten: DeviceID?
        var follows: String?
    }

    /// The devices as they were saved last; empty without a file. Blocks; for the start only.
    ///
    /// - Throws: what reading or decoding throws; the file is a cache, so going on without is right.
    package static func load(path: String) throws -> [RegisteredDevice] {
        var devices: [DeviceID: RegisteredDevice] = [:]
        var generation: String?
        if FileManager.default.fileExists(atPath: path) {
            let data = try Data(contentsOf: URL(filePath: path))
            let content = try JSONDecoder().decode(Content.self, from: data)
            generation = content.generation
            for device in content.devices { devices[device.deviceID] = device }
        }
        let journal = journalPath(path)
        guard FileManager.default.fileExists(atPath: journal) else { return Array(devices.values) }
        let lines = try Data(contentsOf: URL(filePath: journal)).split(
            separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        guard lines.first.flatMap({ change($0) })?.follows == generation else {
            return Array(devices.values)
        }
        // What follows the last line's end is nothing, or a line that is not whole.
        for line in lines.dropLast() {
            guard let change = change(line) else { break }
            if let device = change.device { devices[device.deviceID] = device }
            if let forgotten = change.forgotten { devices[forgotten] = nil }
        }
        return Array(devices.values)
    }

    /// Saves what has changed in `registry`; when this returns, all changes from before the call are
    /// synced to disk. Calls that come while one is writing share the next sync.
    ///
    /// - Throws: ``IngressError/registryUnwritable(errno:)``; the changes are saved with the next call.
    package func save(_ registry: DeviceRegistry) throws {
        let changes = registry.takeUnsaved()
        do {
            guard let lineCount else {
                // The first time, and after an error: nobody knows how the journal ends.
                return try replace(registry)
            }
            guard !changes.isEmpty else { return }
            try append(changes)
            self.lineCount = lineCount + changes.count
            if lineCount + changes.count > max(Self.linesMin, registry.deviceCount) {
                try replace(registry)
            }
        } catch {
            lineCount = nil
            registry.noteUnsaved(changes.keys)
            throw error
        }
    }

    private func replace(_ registry: DeviceRegistry) throws {
        let generation = "\(RequestID.random())"
        try write(Content(generation: generation, devices: registry.devices))
        if journal < 0 {
            journal = open(
                Self.journalPath(path), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        }
        guard journal >= 0, ftruncate(journal, 0) == 0,
            write(try Self.line(Change(follows: generation)), to: journal)
        else {
            throw IngressError.registryUnwritable(errno: errno)
        }
        try Self.check(DurableSync.file(journal))
        try syncDirectory()
        lineCount = 0
    }

    private func append(_ changes: [DeviceID: RegisteredDevice?]) throws {
        var lines = Data()
        for (id, device) in changes {
            lines += try Self.line(Change(device: device, forgotten: device == nil ? id : nil))
        }
        guard write(lines, to: journal) else {
            throw IngressError.registryUnwritable(errno: errno)
        }
        try Self.check(DurableSync.file(journal))
    }

    /// What a sync says.
    private static func check(_ status: Int32) throws {
        guard status == 0 else { throw IngressError.registryUnwritable(errno: status) }
    }

    private static func line(_ change: Change) throws -> Data {
        let json = try JSONEncoder().encode(change)
        return Data("\(check(json)) ".utf8) + json + [UInt8(ascii: "\n")]
    }

    private static func change(_ line: Data) -> Change? {
        guard line.count > 17, let space = line.firstIndex(of: UInt8(ascii: " ")) else {
            return nil
        }
        let json = Data(line[line.index(after: space)...])
        guard Array(line[..<space]) == Array(check(json).utf8) else { return nil }
        // A line whose check fits and whose content does not is of a later version: the end as well.
        return try? JSONDecoder().decode(Change.self, from: json)
    }

    private static func check(_ json: Data) -> String {
        String(Digest256.of(Array(json)).description.prefix(16))
    }

    private static func journalPath(_ path: String) -> String { path + ".journal" }

    /// Replaces the first file (mode 0600); there whole or not at all, also after a power cut.
    private func write(_ content: Content) throws {
        let bytes = try JSONEncoder().encode(content)
        let temporary = path + ".new"
        let file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw IngressError.registryUnwritable(errno: errno) }
        do {
            defer { close(file) }
            guard write(bytes, to: file) else {
                throw IngressError.registryUnwritable(errno: errno)
            }
            try Self.check(DurableSync.file(file))
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
        try Self.check(DurableSync.directory(directory))
    }
}

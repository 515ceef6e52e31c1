import DiskSimulation
import Foundation
import Logging
import Testing
import WaybillThreads

@testable import SegmentedLog

/// A directory of its own for one test, removed with the object.
final class LogFixture: Sendable {
    let root: URL
    let masterKey: MasterKey

    init() throws {
        root = FileManager.default.temporaryDirectory
            .appending(path: "segmented-log-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: root, withIntermediateDirectories: true)
        masterKey = try #require(MasterKey([UInt8](repeating: 7, count: 32)))
    }

    deinit {
        // What stays behind lies in the system's temporary directory.
        try? FileManager.default.removeItem(at: root)
    }

    func options(_ name: String = "log") -> LogOptions {
        var options = LogOptions(
            directory: root.appending(path: name).path, masterKey: masterKey)
        options.segmentBytes = 18 << 10
        options.reserveBytes = 4 << 10
        return options
    }

    struct Opened {
        let log: SegmentedLog
        let report: RecoveryReport
        let records: [LogRecord]

        var payloads: [[UInt8]] { records.map(\.payload) }
    }

    func open(
        _ options: LogOptions, fileSystem: any FileSystem = PosixFileSystem(),
        onFatal: @escaping @Sendable (LogError) -> Void = { _ in }
    ) throws -> Opened {
        var records: [LogRecord] = []
        let (log, report) = try SegmentedLog.open(
            options: options,
            fileSystem: OrderChecker(fileSystem, onViolation: { Issue.record("\($0)") }),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            onFatal: onFatal, replay: { records.append($0) })
        return Opened(log: log, report: report, records: records)
    }

    /// What a killed process leaves: a copy of the directory as it is now.
    func crash(_ name: String, as copy: String) throws {
        try FileManager.default.copyItem(
            at: root.appending(path: name), to: root.appending(path: copy))
    }

    func remove(_ name: String) throws {
        try FileManager.default.removeItem(at: root.appending(path: name))
    }

    func path(_ name: String, segment: UInt64) -> String {
        SegmentName.path(in: root.appending(path: name).path, segment)
    }

    func bytes(_ path: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(filePath: path)))
    }

    func write(_ bytes: some Sequence<UInt8>, to path: String) throws {
        try Data(bytes).write(to: URL(filePath: path))
    }

    /// Appends payloads one after the other, each with a sync of its own.
    func append(_ payloads: [[UInt8]], to log: SegmentedLog) async throws -> [AppendedRecord] {
        var records: [AppendedRecord] = []
        for payload in payloads {
            records.append(try await log.append(type: 1, payload: payload))
        }
        return records
    }
}

extension SegmentedLog {
    /// Adds a record; returns once a sync covers it.
    func append(
        type: UInt16, payload: [UInt8], recordClass: RecordClass = .bulk
    ) async throws(LogError) -> AppendedRecord {
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<AppendedRecord, LogError>, Never>) in
            append(type: type, payload: payload, recordClass: recordClass) { result in
                continuation.resume(returning: result)
            }
        }
        return try result.get()
    }
}

/// The operating system's files, with faults in between.
final class FaultyFileSystem: FileSystem {
    enum Operation: Equatable {
        case open, write, sync, allocate, truncate, syncDirectory, rename, unlink
    }

    /// Asked before each operation on a path: an error number makes it fail.
    typealias Rule = @Sendable (Operation, String) -> Int32?

    private struct State {
        var rule: Rule = { _, _ in nil }
        var counts: [Operation: Int] = [:]
        var writeBytesMax = Int.max
    }

    private let state = Monitor(State())
    private let real = PosixFileSystem()

    func setRule(_ rule: @escaping Rule) { state.update { $0.rule = rule } }
    func setWriteBytesMax(_ count: Int) { state.update { $0.writeBytesMax = count } }
    func count(_ operation: Operation) -> Int { state.withLock { $0.counts[operation] ?? 0 } }
    var writeBytesMax: Int { state.withLock { $0.writeBytesMax } }

    func check(_ operation: Operation, _ path: String) throws(LogError) {
        let rule = state.update { state in
            state.counts[operation, default: 0] += 1
            return state.rule
        }
        guard let number = rule(operation, path) else { return }
        throw .io(errno: number, operation: operation == .sync ? "fdatasync" : "\(operation)")
    }

    func makeDirectory(_ path: String) throws(LogError) { try real.makeDirectory(path) }

    func open(_ path: String, _ mode: FileMode) throws(LogError) -> any OpenFile {
        try check(.open, path)
        return FaultyFile(path: path, file: try real.open(path, mode), fileSystem: self)
    }

    func syncDirectory(_ path: String) throws(LogError) {
        try check(.syncDirectory, path)
        try real.syncDirectory(path)
    }

    func rename(_ path: String, to newPath: String) throws(LogError) {
        try check(.rename, path)
        try real.rename(path, to: newPath)
    }

    func unlink(_ path: String) throws(LogError) {
        try check(.unlink, path)
        try real.unlink(path)
    }

    func list(_ path: String) throws(LogError) -> [String] { try real.list(path) }
    func freeBytes(_ path: String) throws(LogError) -> Int { try real.freeBytes(path) }
    func lock(_ path: String) throws(LogError) -> any OpenFile { try real.lock(path) }
}

private final class FaultyFile: OpenFile {
    private let path: String
    private let file: any OpenFile
    private let fileSystem: FaultyFileSystem

    init(path: String, file: any OpenFile, fileSystem: FaultyFileSystem) {
        self.path = path
        self.file = file
        self.fileSystem = fileSystem
    }

    func write(_ bytes: ArraySlice<UInt8>, at offset: Int) throws(LogError) -> Int {
        do {
            try fileSystem.check(.write, path)
        } catch {
            // A failing write may have written some of it.
            _ = try file.write(bytes.prefix(bytes.count / 2 + 1), at: offset)
            throw error
        }
        return try file.write(bytes.prefix(fileSystem.writeBytesMax), at: offset)
    }

    func read(at offset: Int, count: Int) throws(LogError) -> [UInt8] {
        try file.read(at: offset, count: count)
    }

    func synchronize(overwriting: Bool) throws(LogError) {
        try fileSystem.check(.sync, path)
        try file.synchronize(overwriting: overwriting)
    }

    func allocate(_ byteCount: Int) throws(LogError) {
        try fileSystem.check(.allocate, path)
        try file.allocate(byteCount)
    }

    func truncate(_ byteCount: Int) throws(LogError) {
        try fileSystem.check(.truncate, path)
        try file.truncate(byteCount)
    }

    func byteCount() throws(LogError) -> Int { try file.byteCount() }
}

import CGlibc
import Foundation
import WaybillModel
import WaybillQueue
import WaybillThreads

/// A queue with much in it: how long its opening takes, and what memory it needs.
struct Backlog {
    private let directory: String
    private let key: [UInt8]
    private let bytes: Int
    private let backlogBytes: Int
    private let devices: Int

    init(_ arguments: Arguments) throws {
        directory = arguments.required("directory")
        bytes = arguments.count("bytes", 1024)
        backlogBytes = arguments.count("backlog", 10 << 30)
        devices = arguments.count("devices", 10_000)
        key = try Self.key(in: arguments.required("key"))
    }

    /// The key in a file as the server has it, 64 hexadecimal digits; made if there is none.
    private static func key(in path: String) throws -> [UInt8] {
        guard FileManager.default.fileExists(atPath: path) else {
            let text = Hexadecimal.encode(BenchQueue.key)
            let made = FileManager.default.createFile(
                atPath: path, contents: Data(text.utf8), attributes: [.posixPermissions: 0o600])
            guard made else { QueueBench.end("\(path) cannot be made") }
            return BenchQueue.key
        }
        let digits = try Data(contentsOf: URL(filePath: path)).filter { $0 > 0x20 }
        guard let key = Hexadecimal.decode(String(decoding: digits, as: UTF8.self)) else {
            QueueBench.end("\(path) is no key")
        }
        return Array(key)
    }

    /// Puts in as many bundles as make up the backlog.
    func fill() async throws {
        let began = Deadline.now
        let queue = try BenchQueue.open(directory, key: key)
        let count = backlogBytes / bytes
        try await BenchQueue.fill(
            queue, count: count, bytes: bytes, devices: UInt64(devices), senders: 1024)
        queue.close()
        try Figures.print([
            "bundles": Double(count),
            "seconds": Double(Deadline.now.nanoseconds - began.nanoseconds) / 1e9,
        ])
    }

    /// Opens the queue, says so, and waits for the end of the input with the queue open.
    func open() throws {
        let began = Deadline.now
        let queue = try BenchQueue.open(directory, key: key)
        // As the server does.
        malloc_trim(0)
        let ready = Deadline.now
        try Figures.print([
            "open_seconds": Double(ready.nanoseconds - began.nanoseconds) / 1e9,
            "bundles": Double(queue.status.depth),
        ])
        while readLine() != nil {}
        queue.close()
    }
}

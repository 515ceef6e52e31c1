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
        let file = URL(filePath: arguments.required("key"))
        if let data = try? Data(contentsOf: file) {
            key = Array(data)
        } else {
            // There is none yet, or it cannot be read: then this fails and says why.
            key = BenchQueue.key
            try Data(key).write(to: file, options: .withoutOverwriting)
        }
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
        let ready = Deadline.now
        try Figures.print([
            "open_seconds": Double(ready.nanoseconds - began.nanoseconds) / 1e9,
            "bundles": Double(queue.status.depth),
        ])
        while readLine() != nil {}
        queue.close()
    }
}

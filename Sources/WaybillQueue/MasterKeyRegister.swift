internal import SegmentedLog
package import WaybillModel

/// The master keys of a queue: how many log segments are under each, now.
package struct MasterKeyRegister: Sendable {
    private let log: SegmentedLog
    /// The ids of the keys that the queue was opened with, the one of new segments first.
    private let given: [String]
    /// Segments that were there at the opening under other keys than the first.
    private let older: [UInt64: String]
    /// Those of them that the log did not take over: they stay, and go on wanting their keys.
    private let leftAlone: Set<UInt64>

    /// Reads the headers of all segments; blocks.
    ///
    /// - Throws: ``QueueError/io(errno:operation:)``, ``QueueError/corrupt(_:)``.
    package init(of queue: DiskQueue, options: DiskQueueOptions) throws(QueueError) {
        log = queue.log
        given = ([options.masterKey] + options.previousMasterKeys).reduce(into: []) { ids, key in
            guard let id = Self.keyID(of: key), !ids.contains(id) else { return }
            ids.append(id)
        }
        // First: what is deleted from here on was the log's.
        let closed = log.closedSegments
        do throws(LogError) {
            let current = given.first
            older = try MasterKeyUse.read(options.directory).keyIDs.filter { $0.value != current }
        } catch {
            throw QueueError(error)
        }
        leftAlone = Set(older.keys).subtracting(closed)
    }

    /// All keys that are given or wanted, the one of new segments first. Costs two locks.
    package var keys: [QueueMasterKey] {
        let closed = Set(log.closedSegments)
        let rewritten = log.rewrittenSegments
        let older = older.filter { !rewritten.contains($0.key) }
        let left = older.filter { closed.contains($0.key) || leftAlone.contains($0.key) }
        var counts: [String: Int] = [:]
        for id in left.values { counts[id, default: 0] += 1 }
        let newer = closed.subtracting(older.keys).count + 1
        return given.enumerated().map { index, id in
            QueueMasterKey(
                keyID: id, isCurrent: index == 0, segments: index == 0 ? newer : counts[id] ?? 0)
        }
    }

    /// The id of a master key, as the log's segments name it; nil unless it has 32 bytes.
    package static func keyID(of key: [UInt8]) -> String? {
        MasterKey(key)?.keyID
    }

    /// The ids of the keys that a queue's directory wants, newest first; none where nothing can be
    /// read. Blocks.
    package static func wanted(by directory: String) -> [String] {
        // It completes the message of an error that is told anyway.
        (try? MasterKeyUse.read(directory).newestFirst) ?? []
    }
}

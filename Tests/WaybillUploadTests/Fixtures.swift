import Foundation
import Synchronization
import WaybillModel
import WaybillQueue
import WaybillSealing
import WaybillThreads
import WaybillUpload

/// A queue in memory: what was enqueued, and what it is told to fail with.
final class MemoryQueue: BundleQueue {
    private struct State {
        var entries: [BundleKey: BundleEntry] = [:]
        var messages: [BundleMessage] = []
        var failure: QueueError?
    }

    private let state = Mutex(State())

    var messages: [BundleMessage] { state.withLock { $0.messages } }

    func fail(with error: QueueError?) {
        state.withLock { $0.failure = error }
    }

    func note(_ key: BundleKey, _ entry: BundleEntry) {
        state.withLock { $0.entries[key] = entry }
    }

    func enqueue(_ message: BundleMessage) async throws(QueueError) -> EnqueueResult {
        let (failure, result) = state.withLock { state -> (QueueError?, EnqueueResult) in
            if let failure = state.failure { return (failure, .enqueued) }
            if let entry = state.entries[message.key], entry.state != .lost {
                return (nil, .existing(entry))
            }
            state.messages.append(message)
            state.entries[message.key] = BundleEntry(
                state: .queued, bundleDigest: message.bundleDigest,
                partByteCounts: message.parts.map(\.byteCount), receivedAt: message.receivedAt)
            return (nil, .enqueued)
        }
        if let failure { throw failure }
        return result
    }

    func find(_ key: BundleKey) -> BundleEntry? { state.withLock { $0.entries[key] } }

    func forget(_ key: BundleKey) { state.withLock { $0.entries[key] = nil } }

    func lease(_ request: LeaseRequest) throws(QueueError) -> Lease? { nil }

    func settle(
        _ lease: Lease, _ results: [Settlement], whenDurable: @escaping @Sendable () -> Void
    ) throws(QueueError) {
        throw .staleLease
    }

    func extend(_ lease: Lease, by duration: Duration) throws(QueueError) -> Lease {
        throw .staleLease
    }
}

/// Settled bundles from a dictionary; counts questions, and can be frozen.
final class MemoryHistory: SettledBundles {
    private struct State {
        var known: [BundleKey: BundleStanding] = [:]
        var questions: [Int] = []
        var isFrozen = false
        var fails = false
        /// Pieces left to learn before it is known what is new.
        var lessons: Int?
    }

    struct Away: Error {}

    private let state = Monitor(State())

    /// How many keys each question had.
    var questions: [Int] { state.withLock { $0.questions } }

    func note(_ key: BundleKey, _ standing: BundleStanding) {
        state.withLock { $0.known[key] = standing }
    }

    func fail() {
        state.withLock { $0.fails = true }
    }

    func freeze() {
        state.withLock { $0.isFrozen = true }
    }

    func thaw() {
        state.update { $0.isFrozen = false }
    }

    /// From now on it says what is new, after so many pieces.
    func teach(pieces: Int) {
        state.withLock { $0.lessons = pieces }
    }

    func mayHold(_ key: BundleKey) -> Bool {
        state.withLock { $0.lessons != 0 || $0.known[key] != nil }
    }

    func learn() throws -> Bool {
        _ = state.wait { $0.lessons != nil && $0.isFrozen ? nil : true }
        return try state.withLock { state in
            if state.fails { throw Away() }
            guard let left = state.lessons, left > 0 else { return false }
            state.lessons = left - 1
            return left > 1
        }
    }

    func find(_ keys: [BundleKey]) throws -> [BundleKey: BundleStanding] {
        state.withLock { $0.questions.append(keys.count) }
        _ = state.wait { $0.isFrozen ? nil : true }
        return try state.withLock { state in
            if state.fails { throw Away() }
            return state.known.filter { keys.contains($0.key) }
        }
    }
}

/// A directory of its own, gone at the end.
final class ScratchDirectory: Sendable {
    let path: String

    init() throws {
        let url = FileManager.default.temporaryDirectory.appending(
            path: "waybill-upload-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        path = url.path
    }

    deinit {
        // What is left in the temporary folder harms nobody.
        try? FileManager.default.removeItem(atPath: path)
    }

    func names() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: path)
    }
}

/// A well-formed part of exactly `byteCount` bytes.
func part(ofByteCount byteCount: Int, fill: UInt8 = 120) throws -> [UInt8] {
    let password = [UInt8](repeating: 97, count: 43)
    let salt = [UInt8](repeating: 7, count: 16)
    let overhead = try PartSealer.seal([], password: password, method: .stored, salt: salt).count
    let entry = [UInt8](repeating: fill, count: byteCount - overhead)
    return try PartSealer.seal(entry, password: password, method: .stored, salt: salt)
}

func incoming(_ bundleID: BundleID = .random(), device: DeviceID = .random()) throws
    -> IncomingBundle
{
    guard let slug = TenantSlug("acme") else { throw MemoryHistory.Away() }
    return IncomingBundle(
        tenant: TenantID(1), tenantSlug: slug, deviceID: device, bundleID: bundleID, epoch: nil,
        startedAt: .now, source: "127.0.0.1")
}

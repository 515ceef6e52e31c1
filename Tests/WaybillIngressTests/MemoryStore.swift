import Synchronization
import WaybillIngress
import WaybillModel
import WaybillPostgres
import WaybillQueue
import WaybillUpload

@testable import WaybillStore

/// Devices and receipts in memory, and a switch that takes the database away.
final class MemoryStore: DeviceDirectory, ReceiptStore, SettledBundles {
    private struct State {
        var isAway = false
        var devices: [RegisteredDevice] = []
        var codes: [String: (device: DeviceID?, count: Int)] = [:]
        var seen: [DeviceID] = []
        var lookUps = 0
        var receipts: [DeviceID: [StoredReceipt]] = [:]
        var references: [BundleKey: StoredReceipt] = [:]
        var confirmed: [DeviceID: Int64] = [:]
        /// The highest number that a page was asked to begin after.
        var readThrough: Int64 = 0
        var pageCount = 0
        var refusals = 0
    }

    private let state = Mutex(State())

    var seen: [DeviceID] { state.withLock { $0.seen } }
    var lookUps: Int { state.withLock { $0.lookUps } }
    var confirmed: [Int64] { state.withLock { Array($0.confirmed.values) } }

    var readThrough: Int64 { state.withLock { $0.readThrough } }
    var pageCount: Int { state.withLock { $0.pageCount } }
    /// Calls that found the database away.
    var refusals: Int { state.withLock { $0.refusals } }

    func setAway(_ isAway: Bool) {
        state.withLock { $0.isAway = isAway }
    }

    func addCode(_ code: String) {
        state.withLock { $0.codes[code] = (nil, 0) }
    }

    func addDevice(token: String, isRevoked: Bool = false) throws -> RegisteredDevice {
        guard let slug = TenantSlug("acme") else { throw StoreError.notFound }
        let device = RegisteredDevice(
            tokenHash: .of(token.utf8), deviceID: .random(), tenant: 1, tenantSlug: slug,
            name: "tablet", epoch: 1, isRevoked: isRevoked, isSeen: false)
        state.withLock { $0.devices.append(device) }
        return device
    }

    func addReceipt(_ document: String, of device: DeviceID, bundle: BundleID, parts: [Digest256]) {
        state.withLock { state in
            let receipt = StoredReceipt(
                document: document, sequence: Int64(state.receipts[device]?.count ?? 0) + 1,
                bundleDigest: .ofBundle(parts: parts), state: .settled,
                partByteCounts: parts.map { _ in 10 })
            state.receipts[device, default: []].append(receipt)
            state.references[BundleKey(deviceID: device, bundleID: bundle)] = receipt
        }
    }

    private func reach<Value>(
        _ body: (inout State) throws(StoreError) -> sending Value
    ) throws(StoreError) -> sending Value {
        try state.withLock { state throws(StoreError) -> sending Value in
            guard !state.isAway else {
                state.refusals += 1
                throw .unavailable(PostgresError.unavailable("away"))
            }
            return try body(&state)
        }
    }

    /// Like the database when it was not told of the device's first request: a code works again.
    func enroll(
        _ request: EnrollmentRequest, mayReplace: @escaping @Sendable (DeviceID) -> Bool
    ) async throws(StoreError) -> Enrollment {
        try reach { state throws(StoreError) in
            guard let slug = TenantSlug("acme"), let uses = state.codes[request.code] else {
                throw .codeInvalid
            }
            if let made = uses.device, request.requestID == nil || !mayReplace(made) {
                throw .codeInvalid
            }
            let token = "token-of-\(request.code)-\(uses.count)"
            let device = RegisteredDevice(
                tokenHash: .of(token.utf8), deviceID: uses.device ?? .random(), tenant: 1,
                tenantSlug: slug, name: request.name, epoch: 1, isRevoked: false, isSeen: false)
            state.codes[request.code] = (device.deviceID, uses.count + 1)
            state.devices.removeAll { $0.deviceID == device.deviceID }
            state.devices.append(device)
            return Enrollment(
                device: device, token: token, secret: [UInt8](repeating: 1, count: 32))
        }
    }

    func markSeen(_ device: DeviceID, epoch: Int) async throws(StoreError) {
        try reach { $0.seen.append(device) }
    }

    func registry(changedSince: Timestamp?) async throws(StoreError) -> [RegisteredDevice] {
        try reach { $0.devices }
    }

    func device(tokenHash: Digest256) async throws(StoreError) -> RegisteredDevice? {
        try reach { state in
            state.lookUps += 1
            return state.devices.first { $0.tokenHash == tokenHash }
        }
    }

    func progress(_ device: DeviceID) async throws(StoreError) -> DeviceProgress {
        try reach { state in
            let last = Int64(state.receipts[device]?.count ?? 0)
            return DeviceProgress(
                last: last, confirmed: 0, safeThrough: last, deviceSequence: 17, gaps: [3...5])
        }
    }

    func receipts(
        _ device: DeviceID, after: Int64, limit: Int, bytesMax: Int
    ) async throws(StoreError) -> ReceiptBatch {
        try reach { state in
            state.pageCount += 1
            state.readThrough = max(state.readThrough, after)
            let all = state.receipts[device] ?? []
            let wanted = all.filter { $0.sequence > after }.prefix(limit)
            return ReceiptBatch(
                documents: wanted.map(\.document), sequences: wanted.map(\.sequence),
                last: Int64(all.count),
                safeThrough: Int64(all.count))
        }
    }

    func receipts(
        of bundles: [BundleKey]
    ) async throws(StoreError) -> [BundleKey: StoredReceipt] {
        try reach { state in state.references.filter { bundles.contains($0.key) } }
    }

    func find(_ keys: [BundleKey]) throws -> [BundleKey: BundleStanding] {
        try reach { state in state.references.filter { keys.contains($0.key) } }.mapValues {
            BundleStanding(
                state: $0.state, bundleDigest: $0.bundleDigest, partByteCounts: $0.partByteCounts,
                receipt: $0.document)
        }
    }

    func mayHold(_ key: BundleKey) -> Bool { true }

    func learn() -> Bool { false }

    func confirm(_ device: DeviceID, through: Int64) async throws(StoreError) {
        try reach { state throws(StoreError) in
            let last = Int64(state.receipts[device]?.count ?? 0)
            guard through <= last else { throw .notIssued(last: last) }
            state.confirmed[device] = max(state.confirmed[device] ?? 0, through)
        }
    }

    func receiptKeys() async throws(StoreError) -> [ReceiptKey] {
        try reach { _ in
            [
                ReceiptKey(
                    keyID: "k1", publicKey: "AAAA", notBefore: Timestamp(microseconds: 0),
                    notAfter: nil)
            ]
        }
    }
}

/// A queue in memory.
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

    /// Lets all bundles be settled, as far as the queue knows.
    func settleAll() {
        state.withLock { state in
            state.entries = state.entries.mapValues { entry in
                BundleEntry(
                    state: .settled, bundleDigest: entry.bundleDigest,
                    partByteCounts: entry.partByteCounts, receivedAt: entry.receivedAt)
            }
        }
    }

    func enqueue(_ message: BundleMessage) async throws(QueueError) -> EnqueueResult {
        let (failure, result) = state.withLock { state -> (QueueError?, EnqueueResult) in
            if let failure = state.failure { return (failure, .enqueued) }
            if let entry = state.entries[message.key] { return (nil, .existing(entry)) }
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

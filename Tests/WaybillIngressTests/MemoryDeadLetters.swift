import Synchronization
import WaybillAdmin
import WaybillModel
import WaybillPostgres
import WaybillQueue
import WaybillStore

/// Dead letters in memory, with a switch for each thing that can go wrong.
final class MemoryDeadLetters: DeadLetterCatalogue, DeadLetterDecisions, DeadLetterBytes {
    private struct State {
        var letters: [StoredDeadLetter] = []
        var retried: [DeadLetterID] = []
        var unlinked: [DeadLetterID] = []
        var audited: [String] = []
        var isQueueFull = false
        var awayAfter: Int?
        var elsewhere: Set<DeadLetterID> = []
    }

    private let state = Mutex(State())

    var letters: [StoredDeadLetter] { state.withLock { $0.letters } }
    var retried: [DeadLetterID] { state.withLock { $0.retried } }
    var unlinked: [DeadLetterID] { state.withLock { $0.unlinked } }
    var audited: [String] { state.withLock { $0.audited } }

    /// Lets the queue refuse everything.
    func setQueueFull(_ isFull: Bool) { state.withLock { $0.isQueueFull = isFull } }
    /// Takes the database away after that many pages.
    func setAway(afterPages count: Int) { state.withLock { $0.awayAfter = count } }
    func setElsewhere(_ id: DeadLetterID) { state.withLock { _ = $0.elsewhere.insert(id) } }

    /// Adds letters a second apart, oldest first.
    func add(_ count: Int, code: QuarantineCode = .cannotOpen, name: String = "tablet") {
        guard let slug = TenantSlug("acme") else { return }
        state.withLock { state in
            for _ in 0..<count {
                let number = Int64(state.letters.count)
                state.letters.append(
                    StoredDeadLetter(
                        id: .random(), tenant: TenantID(1), tenantSlug: slug,
                        deviceID: DeviceID(high: 1, low: UInt64(number % 3)), bundleID: .random(),
                        bundleDigest: .zero, epoch: 1, deviceName: name, receiptSeq: number + 1,
                        code: code.rawValue, detail: "detail", node: "node-1",
                        fileName: "file-\(number)", byteCount: 10, partByteCounts: [10],
                        createdAt: Timestamp(microseconds: number * 1_000_000)))
            }
        }
    }

    private func fitting(_ filter: DeadLetterFilter, _ wanted: DeadLetterState, _ state: State)
        -> [StoredDeadLetter]
    {
        state.letters.filter { letter in
            (filter.tenant == nil || letter.tenantSlug == filter.tenant)
                && (filter.device == nil || letter.deviceID == filter.device)
                && (filter.code == nil || letter.code == filter.code?.rawValue)
                && filter.before.map { letter.createdAt < $0 } ?? true
                && (wanted == .all || (letter.resolution == nil) == (wanted == .open))
        }
    }

    func deadLetters(_ query: DeadLetterQuery) async throws(StoreError) -> [StoredDeadLetter] {
        try state.withLock { state throws(StoreError) in
            if let pages = state.awayAfter {
                guard pages > 0 else { throw .unavailable(.unavailable("away")) }
                state.awayAfter = pages - 1
            }
            return Array(
                fitting(query.filter, query.state, state).filter { letter in
                    query.after.map { letter.createdAt > $0.createdAt } ?? true
                }.prefix(query.limit))
        }
    }

    func deadLetter(_ id: DeadLetterID) async throws(StoreError) -> StoredDeadLetter? {
        state.withLock { state in state.letters.first { $0.id == id } }
    }

    func deadLetterTotals(
        _ filter: DeadLetterFilter, state wanted: DeadLetterState
    ) async throws(StoreError) -> DeadLetterTotals {
        if let tenant = filter.tenant, tenant.text != "acme" {
            throw .invalid("tenant: there is none of this name")
        }
        return state.withLock { state in
            let found = fitting(filter, wanted, state)
            return DeadLetterTotals(
                count: found.count, bytes: found.reduce(0) { $0 + $1.byteCount })
        }
    }

    func claimRetries(
        _ letters: [StoredDeadLetter], by actor: DeadLetterActor
    ) async throws(StoreError) -> Set<DeadLetterID> {
        change(letters, kind: "dead_letter.retry") { $0.with(isRetrying: true) }
    }

    func releaseRetries(_ ids: [DeadLetterID]) async throws(StoreError) {
        state.withLock { state in
            for (index, letter) in state.letters.enumerated() where ids.contains(letter.id) {
                state.letters[index] = letter.with(isRetrying: false)
            }
        }
    }

    func discard(
        _ letters: [StoredDeadLetter], kind: String, by actor: DeadLetterActor
    ) async throws(StoreError) -> Set<DeadLetterID> {
        change(letters, kind: kind) { $0.with(isRetrying: false, resolution: "discarded") }
    }

    private func change(
        _ letters: [StoredDeadLetter], kind: String,
        _ change: @Sendable (StoredDeadLetter) -> StoredDeadLetter
    ) -> Set<DeadLetterID> {
        let wanted = Set(letters.map(\.id))
        return state.withLock { state in
            var changed: Set<DeadLetterID> = []
            for (index, letter) in state.letters.enumerated()
            where wanted.contains(letter.id) && letter.resolution == nil && !letter.isRetrying {
                state.letters[index] = change(letter)
                state.audited.append(kind)
                changed.insert(letter.id)
            }
            return changed
        }
    }

    func holds(_ letter: StoredDeadLetter) async -> Bool {
        state.withLock { !$0.elsewhere.contains(letter.id) }
    }

    func retry(_ letter: StoredDeadLetter) async throws {
        try state.withLock { state in
            if state.isQueueFull { throw QueueError.diskFull }
            state.retried.append(letter.id)
        }
    }

    func discard(_ letter: StoredDeadLetter) async throws {
        state.withLock { $0.unlinked.append(letter.id) }
    }
}

extension StoredDeadLetter {
    /// The same letter in another state.
    fileprivate func with(isRetrying: Bool, resolution: String? = nil) -> StoredDeadLetter {
        StoredDeadLetter(
            id: id, tenant: tenant, tenantSlug: tenantSlug, deviceID: deviceID,
            bundleID: bundleID, bundleDigest: bundleDigest, epoch: epoch, deviceName: deviceName,
            receiptSeq: receiptSeq, code: code, detail: detail, node: node, fileName: fileName,
            byteCount: byteCount, partByteCounts: partByteCounts, attempts: attempts,
            lastError: lastError, createdAt: createdAt, isRetrying: isRetrying,
            resolvedAt: resolution.map { _ in .now }, resolution: resolution)
    }
}

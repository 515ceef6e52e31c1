internal import Logging
internal import Metrics
internal import ServiceLifecycle
package import WaybillModel
package import WaybillStore

/// How long and how much of what was set aside is kept.
package struct DeadLetterPolicy: Sendable {
    package var retention: Duration
    /// Of all sealed files of this node.
    package var bytesMax: Int
    /// Between two rounds.
    package var interval: Duration = .seconds(300)
    /// Younger files may be waiting for the row that names them.
    package var orphanAgeMin: Duration = .seconds(3600)

    package init(retention: Duration, bytesMax: Int) {
        self.retention = retention
        self.bytesMax = bytesMax
    }
}

/// What retention needs of the database.
package protocol DeadLetterLedger: Sendable {
    func deadLetters(_ query: DeadLetterQuery) async throws(StoreError) -> [StoredDeadLetter]
    func deadLetterTotals(
        _ filter: DeadLetterFilter, state: DeadLetterState
    ) async throws(StoreError) -> DeadLetterTotals
    func discard(
        _ letters: [StoredDeadLetter], kind: String, by actor: DeadLetterActor
    ) async throws(StoreError) -> Set<DeadLetterID>
    func orphans(
        among files: [(name: String, device: DeviceID)]
    ) async throws(StoreError) -> [String]
}

extension Store: DeadLetterLedger {}

/// Discards the oldest open dead letters beyond an age or a number of bytes, and sweeps files that
/// no open letter names.
///
/// Nothing of the promise is lost by it: a device deletes only on a settled receipt, and these
/// bundles have a quarantined one, so the device still has their bytes.
package struct DeadLetterRetention: Service {
    /// What one round did.
    package struct Outcome: Sendable, Equatable {
        package var expired = 0
        package var sweptFiles = 0
    }

    private let ledger: any DeadLetterLedger
    private let folder: DeadLetterFolder
    private let policy: DeadLetterPolicy
    private let node: String
    private let oldestUnsettled: @Sendable () -> Timestamp?
    private let metrics = DeadLetterMetrics()
    private let logger = Logger(label: "waybill.dead-letters")

    private static let pageSize = 100

    /// - Parameters:
    ///   - node: as the audit names it.
    ///   - oldestUnsettled: when the oldest bundle of the queue was received; nil with an empty one.
    package init(
        ledger: any DeadLetterLedger, folder: DeadLetterFolder, policy: DeadLetterPolicy,
        node: String, oldestUnsettled: @escaping @Sendable () -> Timestamp?
    ) {
        self.ledger = ledger
        self.folder = folder
        self.policy = policy
        self.node = node
        self.oldestUnsettled = oldestUnsettled
    }

    /// Does its rounds until shutdown. A round that fails is tried again with the next.
    package func run() async throws {
        while !Task.isCancelled, !Task.isShuttingDownGracefully {
            do {
                try await round(at: .now)
            } catch {
                logger.notice(
                    "dead letters could not be looked through", metadata: ["error": "\(error)"])
            }
            // Cancelled by the shutdown, which ends the loop.
            try? await cancelWhenGracefulShutdown { try await Task.sleep(for: policy.interval) }
        }
    }

    /// One round: age, then bytes, then files without a letter.
    @discardableResult
    package func round(at now: Timestamp) async throws -> Outcome {
        var outcome = Outcome()
        outcome.expired += try await expireOld(at: now)
        var contents = try await folder.contents()
        if contents.byteCount > policy.bytesMax {
            outcome.expired += try await expireSurplus(contents)
            contents = try await folder.contents()
        }
        outcome.sweptFiles = try await sweep(contents, at: now)
        if outcome.sweptFiles > 0 { contents = try await folder.contents() }
        metrics.keptBytes.record(contents.byteCount)
        metrics.kept.record(
            try await ledger.deadLetterTotals(DeadLetterFilter(), state: .open).count)
        return outcome
    }

    private func expireOld(at now: Timestamp) async throws -> Int {
        var filter = DeadLetterFilter()
        filter.before = now.advanced(by: .zero - policy.retention)
        var expired = 0
        try await forEachPage(filter) { letters in
            expired += try await expire(letters, because: "age")
            return true
        }
        return expired
    }

    private func expireSurplus(_ contents: DeadLetterContents) async throws -> Int {
        var surplus = contents.byteCount - policy.bytesMax
        var expired = 0
        try await forEachPage(DeadLetterFilter()) { page in
            var letters: [StoredDeadLetter] = []
            for letter in page where surplus > 0 && !letter.isRetrying {
                guard let entry = contents.entries[letter.fileName] else { continue }
                surplus -= entry.byteCount
                letters.append(letter)
            }
            expired += try await expire(letters, because: "bytes")
            return surplus > 0
        }
        return expired
    }

    /// Calls `body` with the open letters that fit, page by page, until it returns false.
    private func forEachPage(
        _ filter: DeadLetterFilter, _ body: ([StoredDeadLetter]) async throws -> Bool
    ) async throws {
        var query = DeadLetterQuery(filter: filter, limit: Self.pageSize)
        while true {
            let letters = try await ledger.deadLetters(query)
            guard let last = letters.last, try await body(letters),
                letters.count == Self.pageSize, !Task.isShuttingDownGracefully
            else { return }
            query.after = DeadLetterQuery.Position(last)
        }
    }

    private func expire(
        _ letters: [StoredDeadLetter], because reason: String
    ) async throws -> Int {
        let gone = try await ledger.discard(
            letters, kind: "dead_letter.expired",
            by: DeadLetterActor(name: "retention", node: node, reason: reason))
        guard !gone.isEmpty else { return 0 }
        // First the row, then the bytes: what a crash leaves between them is swept.
        await folder.remove(letters.filter { gone.contains($0.id) }.flatMap(\.partFileNames))
        metrics.expired.increment(by: gone.count)
        logger.notice(
            "dead letters discarded",
            metadata: ["reason": "\(reason)", "letters.count": "\(gone.count)"])
        return gone.count
    }

    /// Files that are older than an hour and than any bundle on its way, and have no open row.
    private func sweep(
        _ contents: DeadLetterContents, at now: Timestamp
    ) async throws -> Int {
        let aged = now.advanced(by: .zero - policy.orphanAgeMin)
        let limit = oldestUnsettled().map { min($0, aged) } ?? aged
        let candidates = contents.entries.filter { $0.value.modifiedAt < limit }
        var swept = 0
        var names = Array(candidates.keys)[...]
        while !names.isEmpty {
            let batch = names.prefix(500)
            names = names.dropFirst(500)
            let orphans = try await ledger.orphans(
                among: batch.compactMap { name in
                    candidates[name].map { (name: name, device: $0.device) }
                })
            swept += await folder.remove(orphans.flatMap { candidates[$0]?.fileNames ?? [] })
        }
        guard swept > 0 else { return 0 }
        metrics.sweptFiles.increment(by: swept)
        logger.notice(
            "files of no dead letter were removed", metadata: ["files.count": "\(swept)"])
        return swept
    }
}

/// The metrics of dead letters, all in one place.
private struct DeadLetterMetrics: Sendable {
    let kept = Gauge(label: "waybill_dead_letters")
    let keptBytes = Gauge(label: "waybill_dead_letter_bytes")
    let expired = Counter(label: "waybill_dead_letters_expired_total")
    let sweptFiles = Counter(label: "waybill_dead_letter_files_swept_total")
}

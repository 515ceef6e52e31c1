internal import Logging
package import WaybillModel
internal import WaybillQueue
package import WaybillStore

/// What is known of dead letters, as an operator's calls read it.
package protocol DeadLetterCatalogue: Sendable {
    func deadLetters(_ query: DeadLetterQuery) async throws(StoreError) -> [StoredDeadLetter]
    func deadLetter(_ id: DeadLetterID) async throws(StoreError) -> StoredDeadLetter?
    func deadLetterTotals(
        _ filter: DeadLetterFilter, state: DeadLetterState
    ) async throws(StoreError) -> DeadLetterTotals
}

/// What is decided about dead letters: each call is one transaction with its audit rows.
package protocol DeadLetterDecisions: Sendable {
    /// Returns those that were free.
    func claimRetries(
        _ letters: [StoredDeadLetter], by actor: DeadLetterActor
    ) async throws(StoreError) -> Set<DeadLetterID>
    func releaseRetries(_ ids: [DeadLetterID]) async throws(StoreError)
    /// Returns those that were open.
    func discard(
        _ letters: [StoredDeadLetter], kind: String, by actor: DeadLetterActor
    ) async throws(StoreError) -> Set<DeadLetterID>
}

extension Store: DeadLetterCatalogue, DeadLetterDecisions {}

/// The sealed bytes of dead letters and their way back into the queue.
package protocol DeadLetterBytes: Sendable {
    /// Whether the bytes lie on this node.
    func holds(_ letter: StoredDeadLetter) async -> Bool
    /// Queues the bundle once more; durable on return.
    func retry(_ letter: StoredDeadLetter) async throws
    /// Unlinks the bytes of a letter that is resolved.
    func discard(_ letter: StoredDeadLetter) async throws
}

/// What an operator can decide about a dead letter.
package enum DeadLetterAction: String, Sendable, CaseIterable {
    case retry, discard
}

/// Carries out operators' decisions: database first, then the bytes.
///
/// A crash between the two leaves a claim that ends by itself, or files that are swept.
package struct DeadLetterOffice: Sendable {
    let catalogue: any DeadLetterCatalogue
    private let decisions: any DeadLetterDecisions
    private let bytes: any DeadLetterBytes
    private let logger = Logger(label: "waybill.dead-letters")

    package init(
        catalogue: any DeadLetterCatalogue, decisions: any DeadLetterDecisions,
        bytes: any DeadLetterBytes
    ) {
        self.catalogue = catalogue
        self.decisions = decisions
        self.bytes = bytes
    }

    /// Does one thing to one letter.
    ///
    /// - Returns: the letter as it is afterwards.
    /// - Throws: ``Problem``: 404 without the letter, 409 when it is resolved or being retried;
    ///   ``StoreError``; what the queue throws.
    func perform(
        _ action: DeadLetterAction, on id: DeadLetterID, by actor: DeadLetterActor
    ) async throws -> StoredDeadLetter {
        guard let letter = try await catalogue.deadLetter(id) else {
            throw Problem(.notFound, "There is no such dead letter.")
        }
        if let problem = Self.obstacle(letter) { throw problem }
        if let failure = try await perform(action, on: [letter], by: actor).first {
            throw failure.problem
        }
        return try await catalogue.deadLetter(id) ?? letter
    }

    /// A letter that nothing was done to.
    struct Failure {
        let id: DeadLetterID
        let problem: Problem
    }

    /// Does one thing to the letters of a page; returns those that it could not be done to.
    ///
    /// - Throws: ``StoreError``; then nothing, or only the claiming, has been done.
    func perform(
        _ action: DeadLetterAction, on letters: [StoredDeadLetter], by actor: DeadLetterActor
    ) async throws(StoreError) -> [Failure] {
        switch action {
        case .retry: try await retry(letters, by: actor)
        case .discard: try await discard(letters, by: actor)
        }
    }

    private func discard(
        _ letters: [StoredDeadLetter], by actor: DeadLetterActor
    ) async throws(StoreError) -> [Failure] {
        let done = try await decisions.discard(letters, kind: "dead_letter.discard", by: actor)
        for letter in letters where done.contains(letter.id) {
            do {
                try await bytes.discard(letter)
            } catch {
                logger.warning(
                    "a discarded letter's files stay until they are swept",
                    metadata: ["dead_letter.id": "\(letter.id)", "error": "\(error)"])
            }
        }
        return letters.filter { !done.contains($0.id) }.map(Self.taken)
    }

    private func retry(
        _ letters: [StoredDeadLetter], by actor: DeadLetterActor
    ) async throws(StoreError) -> [Failure] {
        var failures: [Failure] = []
        var here: [StoredDeadLetter] = []
        for letter in letters {
            if await bytes.holds(letter) {
                here.append(letter)
            } else {
                failures.append(
                    Failure(id: letter.id, problem: .deadLetterElsewhere(letter.node)))
            }
        }
        let claimed = try await decisions.claimRetries(here, by: actor)
        failures += here.filter { !claimed.contains($0.id) }.map(Self.taken)
        let refused = await enqueue(here.filter { claimed.contains($0.id) })
        if !refused.isEmpty { try await decisions.releaseRetries(refused.map(\.id)) }
        return failures + refused
    }

    /// Each device's letters in their order, those of different devices side by side, so that they
    /// share the queue's syncs.
    private func enqueue(_ letters: [StoredDeadLetter]) async -> [Failure] {
        await withTaskGroup(of: [Failure].self) { group in
            for ofDevice in Dictionary(grouping: letters, by: \.deviceID).values {
                group.addTask {
                    var failures: [Failure] = []
                    for letter in ofDevice {
                        do {
                            try await bytes.retry(letter)
                        } catch {
                            failures.append(
                                Failure(id: letter.id, problem: Problem(operatorError: error)))
                        }
                    }
                    return failures
                }
            }
            return await group.reduce(into: []) { $0 += $1 }
        }
    }

    private static func obstacle(_ letter: StoredDeadLetter) -> Problem? {
        if let resolution = letter.resolution { return .deadLetterResolved(resolution) }
        return letter.isRetrying ? .deadLetterTaken : nil
    }

    private static func taken(_ letter: StoredDeadLetter) -> Failure {
        Failure(id: letter.id, problem: .deadLetterTaken)
    }
}

extension Problem {
    static func deadLetterResolved(_ resolution: String) -> Problem {
        Problem(
            title: "The dead letter is resolved", status: 409, code: "already_resolved",
            detail: "It is \(resolution) already.", retryable: false)
    }

    static let deadLetterTaken = Problem(
        title: "The dead letter is taken", status: 409, code: "already_taken",
        detail: "It is being retried, or somebody else has just resolved it.", retryable: false)

    static func deadLetterElsewhere(_ node: String) -> Problem {
        Problem(
            title: "The bytes are not here", status: 409, code: "bytes_elsewhere",
            detail: "Not all of the bytes are on this server node; they were kept by \(node).",
            retryable: false)
    }
}

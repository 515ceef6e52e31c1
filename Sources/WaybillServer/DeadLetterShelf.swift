internal import WaybillAdmin
internal import WaybillListener
internal import WaybillStore

/// The bytes of dead letters as the operator's calls need them: files, and the way into the queue.
struct DeadLetterShelf: DeadLetterBytes {
    let folder: DeadLetterFolder
    let desk: DeadLetterDesk

    func holds(_ letter: StoredDeadLetter) async -> Bool { await folder.holds(letter) }

    func retry(_ letter: StoredDeadLetter) async throws { try await desk.retry(letter) }

    func discard(_ letter: StoredDeadLetter) async throws {
        await folder.remove(letter.partFileNames)
    }
}

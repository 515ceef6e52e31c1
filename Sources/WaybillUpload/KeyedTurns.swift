internal import Synchronization

/// Lets those who decide on the same thing go one after the other, first come, first served.
///
/// Different things do not wait for each other. Cheap where nobody waits: a lock and a dictionary.
final class KeyedTurns<Key: Hashable & Sendable>: Sendable {
    /// Who waits for the turn of a key; a key is here while somebody has its turn.
    private let lines = Mutex<[Key: [CheckedContinuation<Void, Never>]]>([:])

    /// Runs `body` while nobody else has the key's turn.
    func take<Value>(
        _ key: Key, _ body: () async throws(UploadError) -> Value
    ) async throws(UploadError) -> Value {
        await enter(key)
        defer { leave(key) }
        return try await body()
    }

    private func enter(_ key: Key) async {
        guard !tryToEnter(key) else { return }
        await withCheckedContinuation { continuation in
            let isFree = lines.withLock { lines in
                guard lines[key] != nil else {
                    lines[key] = []
                    return true
                }
                lines[key]?.append(continuation)
                return false
            }
            if isFree { continuation.resume() }
        }
    }

    private func tryToEnter(_ key: Key) -> Bool {
        lines.withLock { lines in
            guard lines[key] == nil else { return false }
            lines[key] = []
            return true
        }
    }

    private func leave(_ key: Key) {
        let next = lines.withLock { lines -> CheckedContinuation<Void, Never>? in
            guard let first = lines[key]?.first else {
                lines[key] = nil
                return nil
            }
            lines[key]?.removeFirst()
            return first
        }
        next?.resume()
    }
}

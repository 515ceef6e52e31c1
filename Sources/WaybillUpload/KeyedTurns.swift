internal import Synchronization
internal import WaybillModel

/// Lets those who decide on the same bundle go one after the other, first come, first served.
///
/// Bundles do not wait for each other. Cheap where nobody waits: a lock and a dictionary.
final class KeyedTurns: Sendable {
    /// Who waits for the turn of a key; a key is here while somebody has its turn.
    private let lines = Mutex<[BundleKey: [CheckedContinuation<Void, Never>]]>([:])

    /// Runs `body` while nobody else has the key's turn.
    func take<Value>(
        _ key: BundleKey, _ body: () async throws(UploadError) -> Value
    ) async throws(UploadError) -> Value {
        await enter(key)
        defer { leave(key) }
        return try await body()
    }

    private func enter(_ key: BundleKey) async {
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

    private func tryToEnter(_ key: BundleKey) -> Bool {
        lines.withLock { lines in
            guard lines[key] == nil else { return false }
            lines[key] = []
            return true
        }
    }

    private func leave(_ key: BundleKey) {
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

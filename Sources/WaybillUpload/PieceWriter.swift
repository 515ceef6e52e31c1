/// Has pieces written one after the other, each while its owner gathers the next one.
///
/// At most one piece is under way.
struct PieceWriter<Outcome: Sendable> {
    private var current: Task<Result<Outcome, UploadError>, Never>?

    /// Begins to write a piece; returns what became of the one before, nil for the first.
    ///
    /// - Throws: what the piece before threw; this one is not begun then.
    mutating func begin(
        _ write: @escaping @Sendable () async throws(UploadError) -> Outcome
    ) async throws(UploadError) -> Outcome? {
        let before = try await end()
        current = Task {
            do throws(UploadError) {
                return .success(try await write())
            } catch {
                return .failure(error)
            }
        }
        return before
    }

    /// Waits for the piece under way; returns what became of it, nil where there is none.
    mutating func end() async throws(UploadError) -> Outcome? {
        guard let task = current else { return nil }
        current = nil
        return try await task.value.get()
    }
}

internal import Hummingbird
internal import WaybillModel
internal import WaybillQueue
internal import WaybillStore

extension AdminCalls {
    /// Hands out no more bundles; new ones are taken.
    func pause(_ request: Request, _ context: Context) async throws -> Response {
        try await change("queue.pause", context) { desk async throws(QueueError) in
            try await desk.queue.pause()
        }
    }

    /// Ends a pause and a drain.
    func resume(_ request: Request, _ context: Context) async throws -> Response {
        try await change("queue.resume", context) { desk async throws(QueueError) in
            desk.intake.setDraining(false)
            try await desk.queue.resume()
        }
    }

    /// Takes nothing new; what is in the queue goes on its way.
    func drain(_ request: Request, _ context: Context) async throws -> Response {
        try await change("queue.drain", context) { desk async throws(QueueError) in
            desk.intake.setDraining(true)
        }
    }

    private func change(
        _ kind: String, _ context: Context,
        _ work: (QueueDesk) async throws(QueueError) -> Void
    ) async throws -> Response {
        do {
            try await work(parts.queueDesk)
        } catch {
            // It was done all the same, and whoever asks the audit is to find it.
            await record(
                AuditEvent(
                    kind: kind, actor: Self.actor,
                    details: ["kept": "until a restart", "error": error.shortDescription]), context)
            throw Problem(
                .internalError, "It holds until a restart only: \(error).", retryAfter: 10)
        }
        await record(AuditEvent(kind: kind, actor: Self.actor), context)
        return try AdminAnswer.json(queueStatus(deadLetters: await deadLetters(context)))
    }
}

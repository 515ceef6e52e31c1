internal import Hummingbird
internal import NIOCore
internal import Synchronization
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

    /// Reads the queue's whole log: one JSON document, after white space that says that the walk goes
    /// on.
    func verifyQueue(_ request: Request, _ context: Context) async throws -> Response {
        let queue = parts.queue
        let body = ResponseBody { writer in
            let walk = QueueWalk(queue)
            var lastSign = ContinuousClock.now
            while walk.report == nil {
                try await Task.sleep(for: QueueWalk.interval)
                guard lastSign.duration(to: .now) > AdminAnswer.signOfLife else { continue }
                try await writer.write(ByteBuffer(string: "\n"))
                lastSign = .now
            }
            if let report = walk.report { try await writer.write(AdminAnswer.body(report)) }
            try await writer.finish(nil)
        }
        return Response(status: .ok, headers: [.contentType: "application/json"], body: body)
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

/// A walk through the queue's log that somebody waits for.
private final class QueueWalk: Sendable {
    static let interval = Duration.milliseconds(50)
    private let result = Mutex<QueueReport?>(nil)

    init(_ queue: any QueueOverview) {
        Task {
            var found = QueueVerification()
            var failure: String?
            do throws(QueueError) {
                found = try await queue.verify()
            } catch {
                failure = error.shortDescription
            }
            let lost = queue.lostBundles
            let report = QueueReport(
                segments: found.segments, records: found.records, faults: found.faults,
                lost: lost.count, lostBundles: lost.prefix(1000).map { LostBundleReport($0) },
                error: failure)
            result.withLock { $0 = report }
        }
    }

    /// Nil while it goes on.
    var report: QueueReport? { result.withLock { $0 } }
}

extension LostBundleReport {
    init(_ bundle: LostBundle) {
        self.init(
            deviceID: bundle.key.deviceID, bundleID: bundle.key.bundleID,
            sequence: bundle.sequence, bytes: bundle.byteCount, receivedAt: bundle.receivedAt,
            foundAt: bundle.foundAt)
    }
}

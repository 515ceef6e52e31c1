internal import Hummingbird
internal import Logging
internal import NIOCore
internal import WaybillModel
internal import WaybillQueue
internal import WaybillStore

/// What was done, by whom and when: traces and the audit.
struct TrailCalls: Sendable {
    typealias Context = BasicRequestContext

    private let store: any TrailStore
    private let queue: any QueueTraces

    init(_ desk: TrailDesk) {
        store = desk.store
        queue = desk.queue
    }

    /// Bundles in the queue that a trace lists.
    private static let queuedMax = 50
    /// A walk says so often that it is still at it: proxies and clients end silent connections.

    // MARK: Trace

    /// Answers also while the database is away, from the queue alone, and says so. 404 only when
    /// everything was asked and nothing was found.
    func trace(_ request: Request, _ context: Context) async throws -> Response {
        guard let text = context.parameters.get("id"), let id = TracedID(text) else {
            throw Problem(
                .invalidRequest, "The id of a transaction, bundle or device is a UUID.")
        }
        var report = TraceReport(id: id.description)
        do {
            report.findings = try await store.trace(id)
        } catch {
            guard error.isRetryable else { throw error }
            report.notAsked.append("the database does not answer: \(error.shortDescription)")
        }
        do {
            try await add(queue.traces(of: id, limit: Self.queuedMax), to: &report)
        } catch let error as QueueError {
            report.notAsked.append("the queue cannot be read now: \(error.shortDescription)")
        }
        if report.findings.isEmpty, report.notAsked.isEmpty {
            throw Problem(
                .notFound,
                "No transaction, bundle or device has this id. What bundles in the queue hold is "
                    + "not known before they are opened.")
        }
        return try AdminAnswer.json(report)
    }

    private func add(
        _ queued: (count: Int, first: [QueueTrace]), to report: inout TraceReport
    ) async throws {
        guard queued.count > 0 else { return }
        let names = await names(of: queued.first, &report)
        for bundle in queued.first {
            let event = TraceEvent(
                bundle.isRetry ? "bundle.retry_queued" : "bundle.queued", at: bundle.receivedAt,
                [
                    "attempts": "\(bundle.attempts)", "parts": "\(bundle.partCount)",
                    "bytes": "\(bundle.byteCount)",
                ])
            let known = report.findings.firstIndex {
                $0.kind != .device && $0.deviceID == bundle.key.deviceID
                    && $0.bundleID == bundle.key.bundleID
            }
            if let known {
                report.findings[known].facts["queue_state"] = bundle.state.rawValue
                report.findings[known].events.append(event)
                report.findings[known].sortEvents()
                continue
            }
            let device = names[bundle.key.deviceID]
            var finding = TraceFinding(
                kind: .bundle, tenant: device?.tenant, deviceID: bundle.key.deviceID,
                deviceName: device?.deviceName, bundleID: bundle.key.bundleID,
                state: bundle.state.rawValue,
                facts: [
                    "attempts": "\(bundle.attempts)", "bytes": "\(bundle.byteCount)",
                    "parts": "\(bundle.partCount)",
                ],
                events: (device?.events ?? []) + [event])
            finding.sortEvents()
            report.findings.append(finding)
        }
        if queued.count > queued.first.count {
            report.notes.append(
                "\(queued.count) bundles in the queue; the oldest \(queued.first.count) are listed")
        }
    }

    private func names(
        of bundles: [QueueTrace], _ report: inout TraceReport
    ) async -> [DeviceID: TraceFinding] {
        guard report.notAsked.isEmpty else { return [:] }
        do {
            return try await store.deviceFindings(
                Array(Set(bundles.map(\.key.deviceID))))
        } catch {
            report.notAsked.append("the database does not answer: \(error.shortDescription)")
            return [:]
        }
    }

    // MARK: Audit

    func audit(_ request: Request, _ context: Context) async throws -> Response {
        try AdminAnswer.json(try await store.audit(try Self.query(request)))
    }

    private static func query(_ request: Request) throws(Problem) -> AuditQuery {
        let parameters = request.uri.queryParameters
        var query = AuditQuery()
        if let text = parameters["limit"] {
            guard let limit = Int(text), limit >= 1 else {
                throw Problem(.invalidRequest, "`limit` is a number from 1 on.")
            }
            query.limit = min(limit, 1000)
        }
        if let name = parameters["tenant"] {
            guard let tenant = TenantSlug(String(name)) else {
                throw Problem(.invalidRequest, "`tenant` names a tenant.")
            }
            query.tenant = tenant
        }
        query.kind = try text("kind", parameters)
        query.subject = try text("subject", parameters)
        let (before, after) = (parameters["before"], parameters["after"])
        guard before == nil || after == nil else {
            throw Problem(.invalidRequest, "Either `before` or `after`, not both.")
        }
        if let text = before ?? after {
            guard let cursor = AuditCursor(String(text)) else {
                throw Problem(.invalidRequest, "`before` and `after` are what a page said.")
            }
            query.place = before == nil ? .after(cursor) : .before(cursor)
        }
        return query
    }

    /// - Throws: 400 for what no row of the audit can hold.
    private static func text(
        _ name: String, _ parameters: Parameters
    ) throws(Problem) -> String? {
        guard let value = parameters[Substring(name)] else { return nil }
        let text = String(value)
        guard (1...200).contains(text.count), text.unicodeScalars.allSatisfy({ $0.value >= 0x20 })
        else {
            throw Problem(.invalidRequest, "`\(name)` has 1 to 200 characters without controls.")
        }
        return text
    }

    /// One JSON document, after white space that says that the walk goes on.
    func verify(_ request: Request, _ context: Context) async throws -> Response {
        // The first page decides about the status: without a database there is no walk.
        var first = store.makeWalk()
        let isLonger = try await first.step()
        let body = ResponseBody { [first, logger = context.logger] writer in
            var walk = first
            var goesOn = isLonger
            var lastSign = ContinuousClock.now
            var failure: String?
            do {
                while goesOn {
                    goesOn = try await walk.step()
                    if lastSign.duration(to: .now) > AdminAnswer.signOfLife {
                        try await writer.write(ByteBuffer(string: "\n"))
                        lastSign = .now
                    }
                }
            } catch let error as StoreError {
                logger.error("a walk along the audit ended", metadata: ["error": "\(error)"])
                failure = error.shortDescription
            }
            var result = walk.result
            result.error = failure
            try await writer.write(AdminAnswer.body(result))
            try await writer.finish(nil)
        }
        return Response(status: .ok, headers: [.contentType: "application/json"], body: body)
    }
}

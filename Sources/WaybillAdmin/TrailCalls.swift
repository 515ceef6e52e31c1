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

    /// Bundles in the queue that a trace lists, and as many lost ones.
    private static let queuedMax = 50

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
        var queued: (count: Int, first: [QueueTrace]) = (0, [])
        do {
            queued = try queue.traces(of: id, limit: Self.queuedMax)
        } catch {
            report.notAsked.append("the queue cannot be read now: \(error.shortDescription)")
        }
        await add(queued, id, to: &report)
        if report.findings.isEmpty, report.notAsked.isEmpty {
            throw Problem(
                .notFound,
                "No transaction, bundle or device has this id. What bundles in the queue hold is "
                    + "not known before they are opened.")
        }
        return try AdminAnswer.json(report)
    }

    private func add(
        _ queued: (count: Int, first: [QueueTrace]), _ id: TracedID, to report: inout TraceReport
    ) async {
        let lost = queue.lostBundles.filter { id.names($0.key) }
        let sightings =
            queued.first.map { Sighting($0) } + lost.prefix(Self.queuedMax).map { Sighting($0) }
        guard !sightings.isEmpty else { return }
        let devices = await names(of: sightings, &report)
        for sighting in sightings {
            sighting.add(to: &report.findings, device: devices[sighting.key.deviceID])
        }
        for (count, what) in [(queued.count, "in the queue"), (lost.count, "lost")]
        where count > Self.queuedMax {
            report.notes.append(
                "\(count) bundles \(what); the oldest \(Self.queuedMax) are listed")
        }
    }

    private func names(
        of sightings: [Sighting], _ report: inout TraceReport
    ) async -> [DeviceID: TraceFinding] {
        guard report.notAsked.isEmpty else { return [:] }
        do {
            return try await store.deviceFindings(Array(Set(sightings.map(\.key.deviceID))))
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

/// What the queue knows of a bundle that is traced.
private struct Sighting {
    let key: BundleKey
    let state: BundleState
    let facts: [String: String]
    let events: [TraceEvent]

    init(_ bundle: QueueTrace) {
        key = bundle.key
        state = bundle.state
        facts = [
            "attempts": "\(bundle.attempts)", "bytes": "\(bundle.byteCount)",
            "parts": "\(bundle.partCount)",
        ]
        let what = bundle.isRetry ? "bundle.retry_queued" : "bundle.queued"
        events = [TraceEvent(what, at: bundle.receivedAt, facts)]
    }

    init(_ bundle: LostBundle) {
        key = bundle.key
        state = .lost
        facts = ["bytes": "\(bundle.byteCount)"]
        events = [
            TraceEvent("bundle.queued", at: bundle.receivedAt, facts),
            TraceEvent(
                "bundle.lost", at: bundle.foundAt, ["queue.sequence": "\(bundle.sequence)"]),
        ]
    }

    /// Into what is known of the bundle already, or as a finding of its own.
    func add(to findings: inout [TraceFinding], device: TraceFinding?) {
        let known = findings.firstIndex {
            $0.kind != .device && $0.deviceID == key.deviceID && $0.bundleID == key.bundleID
        }
        if let known {
            findings[known].facts["queue_state"] = state.rawValue
            findings[known].events += events
            findings[known].sortEvents()
            return
        }
        var finding = TraceFinding(
            kind: .bundle, tenant: device?.tenant, deviceID: key.deviceID,
            deviceName: device?.deviceName, bundleID: key.bundleID, state: state.rawValue,
            facts: facts, events: (device?.events ?? []) + events)
        finding.sortEvents()
        findings.append(finding)
    }
}

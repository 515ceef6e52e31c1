internal import Foundation
internal import HTTPTypes
internal import Hummingbird
internal import Logging
internal import NIOCore
internal import WaybillModel
internal import WaybillStore

/// The calls under `/admin/v1/dead-letters` and `/admin/v1/jobs`.
struct DeadLetterCalls: Sendable {
    typealias Context = BasicRequestContext

    let parts: AdminParts
    let deadLetters: DeadLetterParts

    private static let limitMax = 1000

    func add(to group: RouterGroup<BasicRequestContext>) {
        group.get("dead-letters", use: list)
        group.get("dead-letters/:id", use: show)
        group.delete("dead-letters/:id", use: discard)
        group.post("dead-letters/:id/retry", use: retry)
        group.post("dead-letters/retry") { try await bulk(.retry, $0, $1) }
        group.post("dead-letters/discard") { try await bulk(.discard, $0, $1) }
        group.get("jobs", use: jobs)
        group.get("jobs/:id", use: job)
        group.delete("jobs/:id", use: cancel)
    }

    /// One page of what fits the filter, oldest first; the first page tells the filter's totals.
    func list(_ request: Request, _ context: Context) async throws -> Response {
        let wanted = try DeadLetterListing(request.uri.queryParameters.map { ($0.key, $0.value) })
        var query = DeadLetterQuery(
            filter: wanted.filter, state: wanted.state, limit: min(wanted.limit, Self.limitMax))
        var totals: DeadLetterTotals?
        let catalogue = deadLetters.office.catalogue
        if let after = wanted.after {
            guard let letter = try await catalogue.deadLetter(after) else {
                throw Problem(.invalidRequest, "`after` names no dead letter.")
            }
            query.after = DeadLetterQuery.Position(letter)
        } else {
            totals = try await catalogue.deadLetterTotals(wanted.filter, state: wanted.state)
        }
        let letters = try await catalogue.deadLetters(query)
        return try AdminAnswer.json(
            DeadLetterPage(
                deadLetters: letters.map(\.summary),
                next: letters.count == query.limit ? letters.last?.id : nil,
                total: totals?.count, totalBytes: totals?.bytes))
    }

    func show(_ request: Request, _ context: Context) async throws -> Response {
        guard let letter = try await deadLetters.office.catalogue.deadLetter(try id(context)) else {
            throw Problem(.notFound, "There is no such dead letter.")
        }
        return try AdminAnswer.json(letter.summary)
    }

    /// 202: the bundle is queued once more, and the letter tells what became of it.
    func retry(_ request: Request, _ context: Context) async throws -> Response {
        let letter = try await deadLetters.office.perform(
            .retry, on: try id(context), by: actor)
        return try AdminAnswer.json(letter.summary, status: .accepted)
    }

    func discard(_ request: Request, _ context: Context) async throws -> Response {
        _ = try await deadLetters.office.perform(.discard, on: try id(context), by: actor)
        return Response(status: .noContent)
    }

    /// 202 with a job: the body is the filter, `{}` means all open letters.
    func bulk(
        _ action: DeadLetterAction, _ request: Request, _ context: Context
    ) async throws -> Response {
        let body = try await request.body.collect(upTo: 64 << 10)
        let filter = try DeadLetterListing.filter(body: Array(body.readableBytesView))
        // A filter that names nothing that exists is refused here, not in the job.
        let totals = try await deadLetters.office.catalogue.deadLetterTotals(filter, state: .open)
        var job = try deadLetters.jobs.add(action, filter)
        job.total = totals.count
        await recordStart(job, context)
        deadLetters.jobs.start(job.id)
        return try AdminAnswer.json(
            job, status: .accepted, headers: [.location: "/admin/v1/jobs/\(job.id)"])
    }

    func jobs(_ request: Request, _ context: Context) async throws -> Response {
        try AdminAnswer.json(deadLetters.jobs.all)
    }

    func job(_ request: Request, _ context: Context) async throws -> Response {
        guard let id = jobID(context), let job = deadLetters.jobs.find(id) else {
            throw Self.noSuchJob
        }
        return try AdminAnswer.json(job)
    }

    /// Cancels; a job that has ended stays as it is.
    func cancel(_ request: Request, _ context: Context) async throws -> Response {
        guard let id = jobID(context), let job = deadLetters.jobs.cancel(id) else {
            throw Self.noSuchJob
        }
        return try AdminAnswer.json(job)
    }

    private static let noSuchJob = Problem(
        .notFound, "There is no such job; a restart of the server forgets them.")

    private var actor: DeadLetterActor {
        DeadLetterActor(name: AdminCalls.actor, node: parts.node)
    }

    private func id(_ context: Context) throws(Problem) -> DeadLetterID {
        guard let text = context.parameters.get("id"), let id = DeadLetterID(text) else {
            throw Problem(.notFound, "There is no such dead letter.")
        }
        return id
    }

    private func jobID(_ context: Context) -> JobID? {
        context.parameters.get("id").flatMap { JobID($0) }
    }

    private func recordStart(_ job: JobStatus, _ context: Context) async {
        var details = ["total": "\(job.total)"]
        if let tenant = job.filter.tenant { details["tenant"] = tenant.text }
        if let device = job.filter.device { details["device"] = device.description }
        if let code = job.filter.code { details["code"] = code.rawValue }
        if let before = job.filter.before { details["before"] = before.description }
        await AdminCalls(parts: parts).record(
            AuditEvent(
                kind: "\(job.kind)_all", actor: AdminCalls.actor, subject: job.id.description,
                details: details), context)
    }
}

/// What a list or a bulk job is about, read strictly: a misspelt filter must not mean everything.
struct DeadLetterListing {
    var filter = DeadLetterFilter()
    var state = DeadLetterState.open
    var after: DeadLetterID?
    var limit = 100

    /// - Throws: 400 for an unknown, repeated or malformed parameter.
    init(_ parameters: [(some StringProtocol, some StringProtocol)]) throws(Problem) {
        var seen: Set<String> = []
        for (name, value) in parameters {
            let name = String(name)
            let value = String(value)
            guard seen.insert(name).inserted else {
                throw Problem(.invalidRequest, "`\(name)` is given twice.")
            }
            switch name {
            case "tenant": filter.tenant = try Self.read(name, TenantSlug(value))
            case "device": filter.device = try Self.read(name, DeviceID(value))
            case "code": filter.code = try Self.read(name, QuarantineCode(rawValue: value))
            case "before": filter.before = try Self.read(name, Timestamp(rfc3339: value))
            case "state": state = try Self.read(name, DeadLetterState(rawValue: value))
            case "after": after = try Self.read(name, DeadLetterID(value))
            case "limit": limit = try Self.read(name, Int(value).flatMap { $0 > 0 ? $0 : nil })
            default: throw Problem(.invalidRequest, "There is no filter of this name.")
            }
        }
    }

    private static func read<Value>(_ name: String, _ value: Value?) throws(Problem) -> Value {
        guard let value else { throw Problem(.invalidRequest, "`\(name)` is not valid.") }
        return value
    }

    /// The body of a bulk call.
    ///
    /// - Throws: 400 for what is no object, an unknown member or a malformed value.
    static func filter(body: [UInt8]) throws(Problem) -> DeadLetterFilter {
        let members: [String: String]
        do {
            members = try JSONDecoder().decode([String: String].self, from: Data(body))
        } catch {
            throw Problem(.invalidRequest, "The body is not an object of texts.")
        }
        guard Set(members.keys).isSubset(of: ["tenant", "device", "code", "before"]) else {
            throw Problem(
                .invalidRequest, "The filter has `tenant`, `device`, `code` and `before` only.")
        }
        return try DeadLetterListing(members.map { ($0.key, $0.value) }).filter
    }
}

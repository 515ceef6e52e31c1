internal import Foundation
internal import HTTPTypes
internal import Hummingbird
internal import Logging
internal import NIOCore
internal import WaybillModel
internal import WaybillQueue
internal import WaybillStore

/// The calls under `/admin/v1`.
struct AdminCalls: Sendable {
    typealias Context = BasicRequestContext

    let parts: AdminParts

    /// The name that the audit knows the local token's bearer by.
    static let actor = "local-admin"

    func status(_ request: Request, _ context: Context) async throws -> Response {
        let isReachable = await isDatabaseReachable()
        return try AdminAnswer.json(
            ServerStatus(
                version: parts.version, startedAt: parts.startedAt,
                databaseReachable: isReachable,
                queue: queueStatus(deadLetters: isReachable ? await deadLetters(context) : 0),
                listeners: parts.listeners.status))
    }

    func queue(_ request: Request, _ context: Context) async throws -> Response {
        try AdminAnswer.json(queueStatus(deadLetters: await deadLetters(context)))
    }

    func tenants(_ request: Request, _ context: Context) async throws -> Response {
        try AdminAnswer.json(try await parts.tenants.tenants())
    }

    func createTenant(_ request: Request, _ context: Context) async throws -> Response {
        let body = try await decode(TenantRequest.self, request)
        let tenant = try await parts.tenants.createTenant(body.name)
        await record(
            AuditEvent(
                kind: "tenant.create", actor: Self.actor, tenant: body.name,
                subject: body.name.text), context)
        return try AdminAnswer.json(tenant, status: .created)
    }

    /// Counts the rows in the database: what the tenant has, not what was reported of it.
    func transactionCount(_ request: Request, _ context: Context) async throws -> Response {
        guard let name = context.parameters.get("name"), let tenant = TenantSlug(name) else {
            throw Problem(.notFound, "There is no such tenant.")
        }
        let count = try await parts.tenants.transactionCount(tenant: tenant)
        return try AdminAnswer.json(["count": count])
    }

    func devices(_ request: Request, _ context: Context) async throws -> Response {
        guard let name = request.uri.queryParameters["tenant"], let tenant = TenantSlug(name) else {
            throw Problem(.invalidRequest, "`tenant` names a tenant.")
        }
        return try AdminAnswer.json(try await parts.tenants.devices(tenant: tenant))
    }

    /// What became of invitations; their codes are told once, when they are made.
    func invitations(_ request: Request, _ context: Context) async throws -> Response {
        guard let name = request.uri.queryParameters["tenant"], let tenant = TenantSlug(name) else {
            throw Problem(.invalidRequest, "`tenant` names a tenant.")
        }
        return try AdminAnswer.json(try await parts.tenants.invitations(tenant: tenant))
    }

    func invite(_ request: Request, _ context: Context) async throws -> Response {
        let body = try await decode(InvitationRequest.self, request)
        guard (1...1000).contains(body.count) else {
            throw Problem(.invalidRequest, "`count` lies between 1 and 1000.")
        }
        let invitations = try await parts.tenants.invite(tenant: body.tenant, count: body.count)
        await record(
            AuditEvent(
                kind: "device.invite", actor: Self.actor, tenant: body.tenant,
                details: ["count": "\(body.count)"]), context)
        return try AdminAnswer.json(
            invitations, status: .created, headers: [.cacheControl: "no-store"])
    }

    func queueStatus(deadLetters: Int) -> QueueStatus {
        let status = parts.queue.status
        let lost = parts.queue.lostBundles
        let faults = parts.queue.faults
        let age = status.oldestReceivedAt.map { max(0, Timestamp.now.seconds(since: $0)) }
        return QueueStatus(
            depth: status.depth, leased: status.leased, oldestAgeSeconds: age ?? 0,
            bytes: status.bytes, deadLetters: deadLetters, logBytes: status.logBytes,
            segments: status.segments,
            isHealthy: status.isHealthy, isPaused: status.isPaused,
            isDraining: parts.queueDesk.intake.isDraining, masterKeys: parts.masterKeys(),
            lost: lost.count,
            lostBundles: lost.prefix(100).map { LostBundleReport($0) },
            faultCount: faults.count, faults: Array(faults.prefix(100)))
    }

    /// 0 while the database does not say; the rest of a status is worth telling without it.
    func deadLetters(_ context: Context) async -> Int {
        do {
            return try await parts.operations.deadLetterCount()
        } catch {
            context.logger.debug(
                "the dead letters cannot be counted", metadata: ["error": "\(error)"])
            return 0
        }
    }

    private func isDatabaseReachable() async -> Bool {
        do {
            try await parts.operations.ping()
            return true
        } catch {
            return false
        }
    }

    /// What was done is done: an audit row that cannot be written is an error of the server.
    func record(_ event: AuditEvent, _ context: Context) async {
        do {
            try await parts.operations.record(event, node: parts.node)
        } catch {
            context.logger.error(
                "an operator's action is missing in the audit",
                metadata: ["audit.kind": "\(event.kind)", "error": "\(error)"])
        }
    }

    func decode<Value: Decodable>(
        _ type: Value.Type, _ request: Request
    ) async throws -> Value {
        let body = try await request.body.collect(upTo: 64 << 10)
        do {
            return try JSONDecoder().decode(type, from: Data(body.readableBytesView))
        } catch {
            throw Problem(.invalidRequest, "The body is not a valid \(Value.self).")
        }
    }
}

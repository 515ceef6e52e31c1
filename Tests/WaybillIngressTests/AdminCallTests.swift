import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import NIOCore
import Synchronization
import Testing
import WaybillAdmin
import WaybillIngress
import WaybillListener
import WaybillModel
import WaybillPostgres
import WaybillQueue
import WaybillStore

/// Everything behind the operator's side, in memory.
final class MemoryOperations: ListenerControl, TenantStore, OperationStore, BackupStore {
    private struct State {
        var target = 4
        var isAway = false
        var isHealthy = true
        var events: [String] = []
    }

    private let state = Mutex(State())

    var events: [String] { state.withLock { $0.events } }

    func set(isAway: Bool = false, isHealthy: Bool = true) {
        state.withLock { state in
            state.isAway = isAway
            state.isHealthy = isHealthy
        }
    }

    var status: ListenerStatus {
        ListenerStatus(
            target: state.withLock { $0.target }, running: 0, busy: 0, min: 0, max: 256,
            autoscale: false)
    }

    func setTarget(_ target: Int) throws(ListenerError) {
        guard (0...256).contains(target) else {
            throw .outOfRange(target: target, min: 0, max: 256)
        }
        state.withLock { $0.target = target }
    }

    var queueStatus: DiskQueueStatus {
        DiskQueueStatus(
            depth: 2, leased: 1, oldestReceivedAt: .now, bytes: 3, segments: 1,
            isHealthy: state.withLock { $0.isHealthy })
    }

    private func reach() throws(StoreError) {
        guard !state.withLock({ $0.isAway }) else { throw .unavailable(.unavailable("away")) }
    }

    func createTenant(_ slug: TenantSlug) async throws(StoreError) -> TenantSummary {
        throw .alreadyExists
    }

    func tenants() async throws(StoreError) -> [TenantSummary] {
        try reach()
        return []
    }

    func transactionCount(tenant: TenantSlug) async throws(StoreError) -> Int { 3 }

    func invite(tenant: TenantSlug, count: Int) async throws(StoreError) -> [Invitation] {
        (0..<count).map { Invitation(code: "code-\($0)", expiresAt: .now) }
    }

    func devices(tenant: TenantSlug) async throws(StoreError) -> [DeviceSummary] { [] }

    func revoke(_ device: DeviceID) async throws(StoreError) -> Bool { device.low != 0 }

    func rotate(_ device: DeviceID) async throws(StoreError) -> Invitation {
        guard device.low != 0 else { throw .revoked }
        return Invitation(code: "next", expiresAt: .now)
    }

    func beginBackup() async throws(StoreError) -> Backup {
        Backup(id: 1, beganAt: .now, completedAt: nil)
    }

    func completeBackup(_ id: Int64) async throws(StoreError) -> Backup {
        guard id == 1 else { throw .notFound }
        return Backup(id: id, beganAt: .now, completedAt: .now)
    }

    func backups() async throws(StoreError) -> [Backup] { [] }

    func record(_ event: AuditEvent, node: String) async throws(StoreError) {
        state.withLock { $0.events.append(event.kind) }
    }

    func deadLetterCount() async throws(StoreError) -> Int { 5 }

    func ping() async throws(StoreError) { try reach() }
}

struct QueueOfOperations: QueueOverview {
    let operations: MemoryOperations
    var status: DiskQueueStatus { operations.queueStatus }
}

extension MemoryOperations {
    /// The operator side over these operations, with the token `0perator`.
    func router(deadLetters: DeadLetterParts? = nil) -> Router<BasicRequestContext> {
        AdminService.router(
            token: OperatorToken("0perator"),
            parts: AdminParts(
                listeners: self, queue: QueueOfOperations(operations: self), tenants: self,
                backups: self, operations: self, deadLetters: deadLetters, node: "node-1",
                version: "0", startedAt: .now, document: .openAPI,
                renderMetrics: { "metric 1\n" }, isMigrated: { true }, onRevoke: { _ in }))
    }
}

@Suite struct AdminCallTests {
    private func run(
        _ operations: MemoryOperations,
        _ test: @Sendable (any TestClientProtocol) async throws -> Void
    ) async throws {
        try await Application(
            router: operations.router()
        ).test(.router, test)
    }

    private var authorization: HTTPFields { [.authorization: "Bearer 0perator"] }

    /// The document's operator side and the router: the same paths, the same methods.
    @Test func documentNamesWhatTheOperatorSideServes() throws {
        let operations = MemoryOperations()
        let letters = MemoryDeadLetters()
        let office = DeadLetterOffice(catalogue: letters, decisions: letters, bytes: letters)
        let parts = DeadLetterParts(
            office: office,
            jobs: DeadLetterJobs(office: office, operations: operations, node: "node-1"))
        let live = Set(
            operations.router(deadLetters: parts).routes.filter { $0.method != .head }.map {
                "\($0.method) /\($0.path)".replacing("//", with: "/")
            })
        let documented = try DocumentedCalls(ServedDocument.openAPI).operatorSide
        #expect(live.subtracting(documented).sorted() == ["GET /openapi.yaml"])
        #expect(documented.subtracting(live).isEmpty)
    }

    @Test func servesTheDocumentWithoutAToken() async throws {
        try await run(MemoryOperations()) { client in
            let document = try await client.execute(uri: "/openapi.yaml", method: .get)
            #expect(document.headers[.contentType] == "application/yaml")
            #expect(document.text.hasPrefix("openapi: 3.1"))
            let again = try await client.execute(
                uri: "/openapi.yaml", method: .get,
                headers: [.ifNoneMatch: try #require(document.headers[.eTag])])
            #expect(again.status == .notModified)
        }
    }

    @Test func letsNobodyInWithoutTheToken() async throws {
        try await run(MemoryOperations()) { client in
            for fields: HTTPFields in [
                [:], [.authorization: "Bearer 0perato"], [.authorization: "Bearer 0peratorx"],
            ] {
                let answer = try await client.execute(
                    uri: "/admin/v1/status", method: .get, headers: fields)
                #expect(try answer.code() == "unauthorized")
            }
            let status = try await client.execute(
                uri: "/admin/v1/status", method: .get, headers: authorization)
            #expect(try status.json()["queue"]?["dead_letters"]?.integer == 5)
            let metrics = try await client.execute(uri: "/metrics", method: .get)
            #expect(metrics.text == "metric 1\n")
        }
    }

    @Test func setsListenersWithinTheirLimits() async throws {
        let operations = MemoryOperations()
        try await run(operations) { client in
            for (target, status) in [(0, 200), (256, 200), (257, 400), (-1, 400)] {
                let answer = try await client.execute(
                    uri: "/admin/v1/listeners", method: .put, headers: authorization,
                    body: ByteBuffer(string: #"{"target":\#(target)}"#))
                #expect(answer.status.code == status)
            }
            #expect(operations.status.target == 256)
            #expect(operations.events == ["listeners.set", "listeners.set"])
            let seen = try await client.execute(
                uri: "/admin/v1/listeners", method: .get, headers: authorization)
            var fields = authorization
            fields[.ifMatch] = seen.headers[.eTag]
            #expect(fields[.ifMatch] == "\"256-0-256-false\"")
            for (target, status) in [(7, 200), (8, 412)] {
                let answer = try await client.execute(
                    uri: "/admin/v1/listeners", method: .put, headers: fields,
                    body: ByteBuffer(string: #"{"target":\#(target)}"#))
                #expect(answer.status.code == status)
            }
        }
    }

    @Test func isReadyWithoutADatabaseAndNotWithABrokenLog() async throws {
        let operations = MemoryOperations()
        try await run(operations) { client in
            operations.set(isAway: true)
            let away = try await client.execute(uri: "/readyz", method: .get)
            #expect(away.status == .ok)
            #expect(away.text.contains("database"))
            let tenants = try await client.execute(
                uri: "/admin/v1/tenants", method: .get, headers: authorization)
            #expect(try tenants.code() == "database_unavailable")
            operations.set(isHealthy: false)
            let broken = try await client.execute(uri: "/readyz", method: .get)
            #expect(broken.status == .serviceUnavailable)
        }
    }

    @Test func answersErrorsWithProblems() async throws {
        try await run(MemoryOperations()) { client in
            func code(
                _ method: HTTPRequest.Method, _ path: String, _ body: String = ""
            ) async throws -> String? {
                try await client.execute(
                    uri: "/admin/v1/" + path, method: method, headers: authorization,
                    body: ByteBuffer(string: body)
                ).code()
            }
            let known = DeviceID(high: 1, low: 1)
            let unknown = DeviceID(high: 1, low: 0)
            let codes = [
                try await code(.get, "nothing"), try await code(.delete, "tenants"),
                try await code(.post, "tenants", #"{"name":"acme"}"#),
                try await code(.post, "tenants", #"{"name":"-"}"#),
                try await code(.post, "devices/\(unknown)/revoke"),
                try await code(.post, "devices/\(known)/revoke"),
                try await code(.post, "invitations", #"{"tenant":"acme","count":0}"#),
            ]
            #expect(
                codes == [
                    "not_found", "method_not_allowed", "already_exists", "invalid_request",
                    "not_found", nil, "invalid_request",
                ])
        }
    }
}

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
import WaybillUpload

/// Everything behind the operator's side, in memory.
final class MemoryOperations: ListenerControl, TenantStore, OperationStore, BackupStore,
    QueueControl, IntakeControl, TrailStore, QueueTraces
{
    private struct State {
        var target = 4
        var bounds: ClosedRange<Int>?
        var isAway = false
        var isHealthy = true
        var events: [String] = []
        var isPaused = false
        var isDraining = false
        var refusal: UploadError?
        var isPauseUnwritable = false
        var queued: [QueueTrace] = []
        var lost: [LostBundle] = []
        var findings: [TraceFinding] = []
        var query: AuditQuery?
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
        state.withLock { state in
            ListenerStatus(
                target: state.target, running: 0, busy: 0, min: state.bounds?.lowerBound ?? 0,
                max: state.bounds?.upperBound ?? 256, autoscale: state.bounds != nil)
        }
    }

    func listener(_ number: Int) -> ListenerSummary? {
        switch number {
        case 0: ListenerSummary(number: 0, state: .busy, busySince: .now, batch: 7, settled: 9)
        case 1..<256:
            ListenerSummary(
                number: number, state: number == 5 ? .ending : .stopped, busySince: nil, batch: 0,
                settled: 0)
        default: nil
        }
    }

    func apply(
        _ change: ListenerChange, where isExpected: @escaping @Sendable (ListenerStatus) -> Bool
    ) async throws(ListenerError) -> (before: ListenerStatus, after: ListenerStatus) {
        let before = status
        guard isExpected(before) else { throw .notAsExpected(target: before.target) }
        switch change {
        case .keep: break
        case .fixed(let target):
            guard (0...256).contains(target) else {
                throw .outOfRange(target: target, min: 0, max: 256)
            }
            state.withLock { $0.target = target }
        case .automatic(let min, let max):
            guard 0 <= min, min <= max, max <= 256 else {
                throw .boundsInvalid(min: min, max: max, limit: 256)
            }
            state.withLock { $0.bounds = min...max }
        }
        return (before, status)
    }

    var queueStatus: DiskQueueStatus {
        DiskQueueStatus(
            depth: 2, leased: 1, oldestReceivedAt: .now, bytes: 3, logBytes: 4, segments: 1,
            isHealthy: state.withLock { $0.isHealthy }, isPaused: isPaused)
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

    func invitations(tenant: TenantSlug) async throws(StoreError) -> [InvitationSummary] { [] }

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

    var isPaused: Bool { state.withLock { $0.isPaused } }

    func pause() async throws(QueueError) {
        let isUnwritable = state.withLock { state in
            state.isPaused = true
            return state.isPauseUnwritable
        }
        if isUnwritable { throw .io(errno: 5, operation: "fsync") }
    }

    func makePauseUnwritable() { state.withLock { $0.isPauseUnwritable = true } }

    func resume() async throws(QueueError) { state.withLock { $0.isPaused = false } }

    var isDraining: Bool { state.withLock { $0.isDraining } }

    func refuse(_ refusal: UploadError?) { state.withLock { $0.refusal = refusal } }

    func check() throws(UploadError) {
        let refusal = state.withLock { $0.isDraining ? .draining : $0.refusal }
        if let refusal { throw refusal }
    }

    func setDraining(_ isDraining: Bool) { state.withLock { $0.isDraining = isDraining } }

    func know(
        findings: [TraceFinding] = [], queued: [QueueTrace] = [], lost: [LostBundle] = []
    ) {
        state.withLock { state in
            state.findings = findings
            state.queued = queued
            state.lost = lost
        }
    }

    var lostBundles: [LostBundle] { state.withLock { $0.lost } }

    func traces(of id: TracedID, limit: Int) -> (count: Int, first: [QueueTrace]) {
        let queued = state.withLock { $0.queued }
        return (queued.count, Array(queued.prefix(limit)))
    }

    func trace(_ id: TracedID) async throws(StoreError) -> [TraceFinding] {
        try reach()
        return state.withLock { $0.findings }
    }

    func deviceFindings(
        _ devices: [DeviceID]
    ) async throws(StoreError) -> [DeviceID: TraceFinding] {
        try reach()
        return [:]
    }

    var lastQuery: AuditQuery? { state.withLock { $0.query } }

    func audit(_ query: AuditQuery) async throws(StoreError) -> AuditPage {
        try reach()
        state.withLock { $0.query = query }
        return AuditPage(events: [], older: nil, newer: "x")
    }

    func makeWalk() -> any TrailWalk {
        WalkOfOperations(operations: self, result: AuditVerification())
    }

    fileprivate func checkReachable() throws(StoreError) { try reach() }

    func deadLetterCount() async throws(StoreError) -> Int { 5 }

    func ping() async throws(StoreError) { try reach() }
}

struct QueueOfOperations: QueueOverview {
    let operations: MemoryOperations
    var status: DiskQueueStatus { operations.queueStatus }

    var lostBundles: [LostBundle] {
        [
            LostBundle(
                key: BundleKey(
                    deviceID: DeviceID(high: 1, low: 2), bundleID: BundleID(high: 3, low: 4)),
                tenant: TenantID(1), bundleDigest: .zero, sequence: 77, byteCount: 9,
                receivedAt: Timestamp(microseconds: 0), foundAt: Timestamp(microseconds: 1))
        ]
    }

    var faults: [String] { ["segment 3 is damaged"] }

    func verify() async throws(QueueError) -> QueueVerification {
        var found = QueueVerification()
        found.segments = 2
        found.faults = ["segment 1: damaged"]
        return found
    }
}

/// Three pages, of which the last has a fault.
private struct WalkOfOperations: TrailWalk {
    let operations: MemoryOperations
    var result: AuditVerification

    mutating func step() async throws(StoreError) -> Bool {
        try operations.checkReachable()
        result.auditRows += 1
        guard result.auditRows == 3 else { return true }
        result.note(
            AuditFault(.edited, in: .audit, chain: DeviceID(high: 0, low: 0), sequence: 3, "x"))
        return false
    }
}

extension MemoryOperations {
    /// The operator side over these operations, with the token `0perator`.
    func router(deadLetters: DeadLetterParts? = nil) -> Router<BasicRequestContext> {
        AdminService.router(
            token: OperatorToken("0perator"),
            parts: AdminParts(
                listeners: self, queue: QueueOfOperations(operations: self),
                queueDesk: QueueDesk(queue: self, intake: self),
                trails: TrailDesk(store: self, queue: self), tenants: self, backups: self,
                operations: self, deadLetters: deadLetters, node: "node-1", version: "0",
                startedAt: .now, document: .openAPI, renderMetrics: { "metric 1\n" },
                masterKeys: {
                    [QueueMasterKey(keyID: "00112233445566ff", isCurrent: true, segments: 1)]
                },
                isMigrated: { true }, onRevoke: { _ in }))
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
            #expect(fields[.ifMatch] == "\"256-0-256\"")
            for (target, status) in [(7, 200), (8, 412)] {
                let answer = try await client.execute(
                    uri: "/admin/v1/listeners", method: .put, headers: fields,
                    body: ByteBuffer(string: #"{"target":\#(target)}"#))
                #expect(answer.status.code == status)
            }
        }
    }

    @Test func leavesListenersToTheServerWithinBounds() async throws {
        let operations = MemoryOperations()
        try await run(operations) { client in
            let bodies = [
                (#"{"autoscale":true,"min":1,"max":8}"#, 200),
                (#"{"autoscale":true,"min":9,"max":8}"#, 400),
                (#"{"autoscale":true,"min":-1,"max":8}"#, 400),
                (#"{"autoscale":true,"min":0,"max":257}"#, 400),
                (#"{"autoscale":true}"#, 400), ("{}", 400), (#"{"target":1.5}"#, 400),
                (#"{"target":null}"#, 400), ("[]", 400),
            ]
            for (body, status) in bodies {
                let answer = try await client.execute(
                    uri: "/admin/v1/listeners", method: .put, headers: authorization,
                    body: ByteBuffer(string: body))
                #expect(answer.status.code == status, "\(body)")
            }
            #expect(operations.status.autoscale)
            #expect(operations.events == ["listeners.auto"])
        }
    }

    @Test func tellsOfOneListener() async throws {
        try await run(MemoryOperations()) { client in
            let one = try await client.execute(
                uri: "/admin/v1/listeners/0", method: .get, headers: authorization)
            #expect(try one.json()["settled"]?.integer == 9)
            for number in ["4", "256", "-1", "x", "99999999999999999999"] {
                let none = try await client.execute(
                    uri: "/admin/v1/listeners/\(number)", method: .get, headers: authorization)
                #expect(try none.code() == "not_found")
            }
        }
    }

    @Test func pausesResumesAndDrainsTheQueue() async throws {
        let operations = MemoryOperations()
        try await run(operations) { client in
            let cases = [
                ("pause", true, false), ("drain", true, true), ("resume", false, false),
                ("drain", false, true), ("resume", false, false),
            ]
            for (verb, paused, draining) in cases {
                let answer = try await client.execute(
                    uri: "/admin/v1/queue/\(verb)", method: .post, headers: authorization)
                #expect(try answer.json()["paused"] == .bool(paused))
                #expect(try answer.json()["draining"] == .bool(draining))
                #expect(operations.isPaused == paused)
                #expect(operations.isDraining == draining)
            }
            #expect(
                operations.events == cases.map { "queue.\($0.0)" })
        }
    }

    @Test func aPauseThatCannotBeKeptIsInTheAudit() async throws {
        let operations = MemoryOperations()
        operations.makePauseUnwritable()
        try await run(operations) { client in
            let answer = try await client.execute(
                uri: "/admin/v1/queue/pause", method: .post, headers: authorization)
            #expect(try answer.code() == "internal_error")
            #expect(operations.isPaused)
            #expect(operations.events == ["queue.pause"])
        }
    }

    /// The target is 4: 5 finishes its batch, the others beyond it do not exist.
    @Test func aListenerBeyondTheTargetIsThereWhileItRuns() async throws {
        try await run(MemoryOperations()) { client in
            for (number, status) in [(0, 200), (3, 200), (4, 404), (5, 200), (99, 404)] {
                let answer = try await client.execute(
                    uri: "/admin/v1/listeners/\(number)", method: .get, headers: authorization)
                #expect(answer.status.code == status, "\(number)")
            }
        }
    }

    @Test func tracesTheQueueWhileTheDatabaseIsAwayAndSaysSo() async throws {
        let operations = MemoryOperations()
        let key = BundleKey(deviceID: .random(), bundleID: .random())
        let path = "/admin/v1/trace/\(key.bundleID)"
        try await run(operations) { client in
            let nothing = try await client.execute(
                uri: path, method: .get, headers: authorization)
            #expect(try nothing.code() == "not_found")
            for id in ["x", "..", "\(key.bundleID)0"] {
                let bad = try await client.execute(
                    uri: "/admin/v1/trace/\(id)", method: .get, headers: authorization)
                #expect(try bad.code() == "invalid_request")
            }
            operations.know(
                findings: [],
                queued: [
                    QueueTrace(
                        key: key, tenant: TenantID(1), state: .processing, attempts: 2,
                        receivedAt: .now, partCount: 1, byteCount: 99)
                ])
            operations.set(isAway: true)
            let answer = try await client.execute(
                uri: path, method: .get, headers: authorization)
            let report = try JSONDecoder().decode(
                TraceReport.self, from: Data(answer.text.utf8))
            #expect(report.notAsked.count == 1)
            let finding = try #require(report.findings.first)
            #expect(finding.state == "processing")
            #expect(finding.facts["attempts"] == "2")
            #expect(finding.events.map(\.what) == ["bundle.queued"])
            operations.know()
            let empty = try await client.execute(
                uri: path, method: .get, headers: authorization)
            #expect(empty.status == .ok, "nobody can say that it is not there")
        }
    }

    @Test func tracesLostBundlesByTheirIDAndTheirDevices() async throws {
        let operations = MemoryOperations()
        let device = DeviceID.random()
        let lost = (1...51).map { sequence in
            LostBundle(
                key: BundleKey(deviceID: device, bundleID: .random()), tenant: TenantID(1),
                bundleDigest: .zero, sequence: sequence, byteCount: 9, receivedAt: .now,
                foundAt: .now)
        }
        operations.know(lost: lost)
        try await run(operations) { client in
            func report(_ id: String) async throws -> TraceReport {
                let answer = try await client.execute(
                    uri: "/admin/v1/trace/\(id)", method: .get, headers: authorization)
                return try JSONDecoder().decode(TraceReport.self, from: Data(answer.text.utf8))
            }
            let one = try await report("\(lost[3].key.bundleID)")
            #expect(one.findings.map(\.bundleID) == [lost[3].key.bundleID])
            #expect(one.findings.first?.state == "lost")
            #expect(one.findings.first?.events.map(\.what) == ["bundle.queued", "bundle.lost"])
            #expect(one.findings.first?.events.last?.details == ["queue.sequence": "4"])
            #expect(one.notes == [])
            let all = try await report("\(device)")
            #expect(all.findings.map(\.bundleID) == lost.prefix(50).map(\.key.bundleID))
            #expect(all.notes == ["51 bundles lost; the oldest 50 are listed"])
            // It was retried after its device had a receipt: what the database knows comes first.
            operations.know(findings: [one.findings[0]], lost: [lost[3]])
            let known = try await report("\(lost[3].key.bundleID)")
            #expect(known.findings.count == 1)
            #expect(known.findings.first?.facts["queue_state"] == "lost")
        }
    }

    @Test func pagesTheAuditWithinLimits() async throws {
        let operations = MemoryOperations()
        try await run(operations) { client in
            let zeros = DeviceID(high: 0, low: 0)
            for (query, limit) in [
                ("", 100), ("limit=1", 1), ("limit=1000", 1000), ("limit=1001", 1000),
            ] {
                let answer = try await client.execute(
                    uri: "/admin/v1/audit?\(query)", method: .get, headers: authorization)
                #expect(answer.status == .ok)
                #expect(operations.lastQuery?.limit == limit)
            }
            for query in ["after=5.\(zeros).6", "tenant=acme&kind=bundle&subject=x"] {
                let answer = try await client.execute(
                    uri: "/admin/v1/audit?\(query)", method: .get, headers: authorization)
                #expect(answer.status == .ok, "\(query)")
            }
            #expect(operations.lastQuery?.kind == "bundle")
        }
    }

    @Test(arguments: [
        "limit=0", "limit=-1", "limit=x", "tenant=-", "after=x", "before=x", "kind=", "kind=a%00b",
        "subject=%0a",
        "after=1.00000000-0000-0000-0000-000000000000.1&before=1.00000000-0000-0000-0000-000000000000.1",
    ])
    func refusesQueriesOfTheAuditThatAreNone(query: String) async throws {
        try await run(MemoryOperations()) { client in
            let answer = try await client.execute(
                uri: "/admin/v1/audit?\(query)", method: .get, headers: authorization)
            let code = try answer.code()
            #expect(code == "invalid_request")
        }
    }

    @Test func walksAlongTheAuditAndNamesFaults() async throws {
        let operations = MemoryOperations()
        try await run(operations) { client in
            let answer = try await client.execute(
                uri: "/admin/v1/audit/verify", method: .get, headers: authorization)
            #expect(try answer.json()["intact"] == .bool(false))
            #expect(try answer.json()["fault_count"]?.integer == 1)
            #expect(try answer.json()["audit_rows"]?.integer == 3)
            operations.set(isAway: true)
            let away = try await client.execute(
                uri: "/admin/v1/audit/verify", method: .get, headers: authorization)
            #expect(try away.code() == "database_unavailable")
        }
    }

    @Test func answersOtherMethodsWithThoseThereAre() async throws {
        try await run(MemoryOperations()) { client in
            let cases: [(HTTPRequest.Method, String, String)] = [
                (.delete, "/admin/v1/listeners", "GET, HEAD, PUT"),
                (.post, "/admin/v1/listeners/0", "GET, HEAD"),
                (.get, "/admin/v1/devices/x/revoke", "POST"), (.post, "/metrics", "GET, HEAD"),
            ]
            for (method, path, allowed) in cases {
                let answer = try await client.execute(
                    uri: path, method: method, headers: authorization)
                #expect(answer.status == .methodNotAllowed)
                #expect(answer.headers[.allow] == allowed)
            }
            let head = try await client.execute(
                uri: "/admin/v1/listeners", method: .head, headers: authorization)
            #expect(head.status == .ok)
            #expect(head.body.readableBytes == 0)
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

    @Test func isNotReadyWhileBundlesAreRefused() async throws {
        let operations = MemoryOperations()
        try await run(operations) { client in
            func reasons() async throws -> (status: Int, text: String) {
                let answer = try await client.execute(uri: "/readyz", method: .get)
                return (answer.status.code, answer.text)
            }
            #expect(try await reasons().status == 200)
            for (refusal, word) in [
                (UploadError.diskFull, "disk"), (UploadError.backlogFull, "backlog"),
            ] {
                operations.refuse(refusal)
                let found = try await reasons()
                #expect(found.status == 503)
                #expect(found.text.contains(#""ready":false"#) && found.text.contains(word))
            }
            operations.refuse(nil)
            operations.setDraining(true)
            let found = try await reasons()
            #expect(found.status == 503 && found.text.contains("draining"))
            operations.setDraining(false)
            #expect(try await reasons().status == 200)
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

internal import NIOHTTP1
package import WaybillModel

/// The operator side of a server (CONTRACT.md, "HTTP, operator side").
package struct AdminClient: Sendable {
    let transport: Transport

    /// - Parameter baseURL: without `/admin/v1`.
    package init(baseURL: String, token: String?, session: ClientSession) {
        transport = Transport(baseURL: baseURL, token: token, session: session)
    }

    package func status() async throws(ClientError) -> ServerStatus {
        try await transport.value(.get("/admin/v1/status"))
    }

    package func tenants() async throws(ClientError) -> [TenantSummary] {
        try await transport.value(.get("/admin/v1/tenants"))
    }

    package func createTenant(_ name: TenantSlug) async throws(ClientError) -> TenantSummary {
        try await transport.value(.post("/admin/v1/tenants"), json: TenantRequest(name: name))
    }

    /// Rows of the tenant's transactions in the database.
    package func transactionCount(tenant: TenantSlug) async throws(ClientError) -> Int {
        let answer: TransactionCount = try await transport.value(
            .get("/admin/v1/tenants/\(tenant)/transactions/count"))
        return answer.count
    }

    /// One-time codes; each is told this once.
    package func invite(
        tenant: TenantSlug, count: Int
    ) async throws(ClientError) -> [Invitation] {
        try await transport.value(
            .post("/admin/v1/invitations"), json: InvitationRequest(tenant: tenant, count: count))
    }

    /// - Parameter tenant: nil for all tenants.
    package func devices(tenant: TenantSlug?) async throws(ClientError) -> [DeviceSummary] {
        let query = tenant.map { "?tenant=\($0)" } ?? ""
        return try await transport.value(.get("/admin/v1/devices" + query))
    }

    package func revoke(_ device: DeviceID) async throws(ClientError) {
        _ = try await transport.send(.post("/admin/v1/devices/\(device)/revoke"))
    }

    /// A one-time code for the device's next epoch.
    package func rotate(_ device: DeviceID) async throws(ClientError) -> Invitation {
        try await transport.value(.post("/admin/v1/devices/\(device)/rotate"))
    }

    /// Newest first.
    package func backups() async throws(ClientError) -> [Backup] {
        try await transport.value(.get("/admin/v1/backups"))
    }

    package func beginBackup() async throws(ClientError) -> Backup {
        try await transport.value(.post("/admin/v1/backups"))
    }

    package func completeBackup(_ id: Int64) async throws(ClientError) -> Backup {
        try await transport.value(.post("/admin/v1/backups/\(id)/complete"))
    }

    package func listeners() async throws(ClientError) -> ListenerStatus {
        try await transport.value(.get("/admin/v1/listeners"))
    }

    /// - Parameter target: 0 pauses processing.
    package func setListeners(target: Int) async throws(ClientError) -> ListenerStatus {
        try await putListeners(ListenerRequest(target: target))
    }

    /// Lets the server choose how many listeners there are.
    package func setListeners(min: Int, max: Int) async throws(ClientError) -> ListenerStatus {
        try await putListeners(ListenerRequest(min: min, max: max))
    }

    private func putListeners(
        _ request: ListenerRequest
    ) async throws(ClientError) -> ListenerStatus {
        try await transport.value(
            Call(method: .PUT, target: "/admin/v1/listeners"), json: request)
    }

    package func queue() async throws(ClientError) -> QueueStatus {
        try await transport.value(.get("/admin/v1/queue"))
    }

    /// Hands out no more bundles; new ones are taken.
    package func pauseQueue() async throws(ClientError) -> QueueStatus {
        try await transport.value(.post("/admin/v1/queue/pause"))
    }

    /// Ends a pause and a drain.
    package func resumeQueue() async throws(ClientError) -> QueueStatus {
        try await transport.value(.post("/admin/v1/queue/resume"))
    }

    /// Has the server read the queue's whole log; takes as long as it takes.
    package func verifyQueue() async throws(ClientError) -> QueueReport {
        try await transport.value(
            .get("/admin/v1/queue/verify", timeout: .seconds(24 * 3600)))
    }

    /// Takes nothing new; what is in the queue goes on its way.
    package func drainQueue() async throws(ClientError) -> QueueStatus {
        try await transport.value(.post("/admin/v1/queue/drain"))
    }
}

/// `GET /admin/v1/tenants/{name}/transactions/count`.
private struct TransactionCount: Decodable {
    var count: Int
}

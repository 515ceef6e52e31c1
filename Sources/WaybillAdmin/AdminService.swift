package import Hummingbird
package import Logging
internal import NIOCore
internal import ServiceLifecycle
internal import WaybillHTTP

/// The operator's side as one service: plain HTTP, for loopback.
package struct AdminService: Service {
    private let application: Application<RouterResponder<BasicRequestContext>>

    /// - Parameter onRunning: told the bound port once the server listens.
    package init(
        host: String, port: Int, token: OperatorToken, parts: AdminParts, logger: Logger,
        onRunning: @escaping @Sendable (Int) async -> Void = { _ in }
    ) {
        application = Application(
            router: Self.router(token: token, parts: parts),
            server: .guarded(limits: ConnectionLimits()),
            configuration: ApplicationConfiguration(address: .hostname(host, port: port)),
            onServerRunning: { channel in await onRunning(channel.localAddress?.port ?? 0) },
            logger: logger)
    }

    package func run() async throws {
        try await application.run()
    }

    /// The routes of the contract's operator side.
    package static func router(
        token: OperatorToken, parts: AdminParts
    ) -> Router<BasicRequestContext> {
        let paths = AdminPaths()
        let router = Router(options: [.autoGenerateHeadEndpoints])
        router.add(middleware: RequestTraces())
        router.add(middleware: ProblemAnswers(paths: paths))
        let health = HealthCalls(parts: parts)
        router.get("livez", use: health.live)
        router.get("readyz", use: health.ready)
        router.get("startupz", use: health.started)
        router.get("metrics", use: health.metrics)
        router.get("openapi.yaml", use: health.document)

        let calls = AdminCalls(parts: parts)
        let admin = router.group("admin/v1").add(middleware: OperatorGate(token: token))
        admin.get("status", use: calls.status)
        admin.get("queue", use: calls.queue)
        admin.post("queue/pause", use: calls.pause)
        admin.post("queue/resume", use: calls.resume)
        admin.post("queue/drain", use: calls.drain)
        admin.get("queue/verify", use: calls.verifyQueue)
        admin.get("listeners", use: calls.listeners)
        admin.put("listeners", use: calls.setListeners)
        admin.get("listeners/:number", use: calls.listener)
        admin.get("tenants", use: calls.tenants)
        admin.post("tenants", use: calls.createTenant)
        admin.get("tenants/:name/transactions/count", use: calls.transactionCount)
        admin.get("devices", use: calls.devices)
        admin.post("devices/:id/revoke", use: calls.revoke)
        admin.post("devices/:id/rotate", use: calls.rotate)
        admin.get("backups", use: calls.backups)
        admin.post("backups", use: calls.beginBackup)
        admin.post("backups/:id/complete", use: calls.completeBackup)
        admin.get("invitations", use: calls.invitations)
        admin.post("invitations", use: calls.invite)
        if let deadLetters = parts.deadLetters {
            DeadLetterCalls(parts: parts, deadLetters: deadLetters).add(to: admin)
        }
        let trails = TrailCalls(parts.trails)
        admin.get("trace/:id", use: trails.trace)
        admin.get("audit", use: trails.audit)
        admin.get("audit/verify", use: trails.verify)
        paths.learn(router)
        return router
    }
}

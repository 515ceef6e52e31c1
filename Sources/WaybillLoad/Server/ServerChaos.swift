internal import WaybillClient
internal import WaybillModel

/// Chaos as it happens to a server that the run has started itself.
struct ServerChaos: ChaosEffects {
    let server: ServerProcess
    let session: ClientSession
    let disk: DiskFiller
    /// Nil where the plan has no phone networks.
    let network: PhoneNetwork?
    /// Nil where the server works with somebody else's.
    let database: PrivateDatabase?
    /// Called when other processes run than before.
    var processesChanged: @Sendable () throws -> Void = {}
    private static let scalePatience = Duration.seconds(60)

    func begin(_ step: LoadPlan.ChaosStep) async throws {
        switch step.action {
        case .killServer: try await server.kill()
        case .restartServer: try await server.stop()
        case .killPostgres:
            guard let database else {
                throw ServerFailure.impossible("the server's PostgreSQL is not its own")
            }
            try database.kill()
        case .scale: try await scale(to: step.count ?? 0)
        case .fillDisk:
            let disk = disk
            _ = try await OwnThread.run("disk") { () throws(ServerFailure) in try disk.fill() }
        case .edge, .lossy, .tunnel:
            guard let profile = PhoneProfile(step.action) else { return }
            try await network?.apply(profile)
        }
    }

    func keepUp(_ step: LoadPlan.ChaosStep) async throws {
        // The server starts it again; here it is to stay away.
        if step.action == .killPostgres { try database?.kill() }
    }

    func end(_ step: LoadPlan.ChaosStep) async throws {
        switch step.action {
        case .killServer, .restartServer: try await server.start()
        case .killPostgres:
            try await database?.waitForReturn()
            try processesChanged()
        case .scale: break
        case .fillDisk: try disk.free()
        case .edge, .lossy, .tunnel: try await network?.clear()
        }
    }

    /// The server may be away for a moment, by a step of another lane.
    private func scale(to count: Int) async throws {
        let deadline = ContinuousClock.now + Self.scalePatience
        while true {
            do {
                guard let address = server.address else {
                    throw ClientError.unreachable("it is being started")
                }
                let admin = AdminClient(
                    baseURL: address.adminURL, token: address.token, session: session)
                _ = try await admin.setListeners(target: count)
                return
            } catch let error as ClientError {
                // A restart gives operators another token.
                let isStale = if case .problem(_, 401) = error { true } else { false }
                guard error.isRetryable || isStale, ContinuousClock.now < deadline else {
                    throw error
                }
            }
            try await Task.sleep(for: .milliseconds(100))
        }
    }
}

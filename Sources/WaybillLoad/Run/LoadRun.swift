internal import Foundation
internal import WaybillClient
internal import WaybillModel

/// One run of a plan against a server: load, receipts, audit, report.
package struct LoadRun: Sendable {
    let plan: LoadPlan
    let target: LoadTarget
    let options: LoadRunOptions
    let onProgress: @Sendable (LoadProgress) -> Void

    /// - Parameters:
    ///   - plan: checked by ``LoadPlan/validate()``.
    ///   - onProgress: called from any thread, at most a few times a second.
    package init(
        plan: LoadPlan, target: LoadTarget, options: LoadRunOptions,
        onProgress: @escaping @Sendable (LoadProgress) -> Void
    ) {
        self.plan = plan
        self.target = target
        self.options = options
        self.onProgress = onProgress
    }

    /// Takes as long as the plan says, and up to its `settle_seconds` and the audit's time more.
    ///
    /// A run that finds faults returns like any other: they are in the report.
    package func run() async throws -> LoadReport {
        let objectives = try plan.objectives.map(Objective.init)
        let session = ClientSession(
            connectionsMax: 48, authorityFile: target.authorityFile)
        do {
            let report = try await run(session, objectives)
            try await session.shutdown()
            return report
        } catch {
            // The first error is the one to tell.
            try? await session.shutdown()
            throw error
        }
    }

    private func run(
        _ session: ClientSession, _ objectives: [Objective]
    ) async throws -> LoadReport {
        let stage = try await prepare(session)
        let figures = try await stage.load(onProgress)
        onProgress(LoadProgress(phase: .auditing))
        try stage.ledger.save()
        let rowsSent = Double(max(1, figures.totals.outcomes.accepted))
        let audit = try await LedgerAudit.run(
            stage.ledger, source: stage.maker.book, connectionString: target.databaseURL
        ) { rows in
            onProgress(LoadProgress(phase: .auditing, share: min(1, Double(rows) / rowsSent)))
        }
        var report = LoadReport(
            startedAt: stage.clock.startedAt, seconds: figures.seconds, plan: plan,
            machine: .current(), totals: figures.totals, latencies: figures.latencies,
            series: figures.series, marks: figures.marks, generator: figures.generator,
            audit: audit, objectives: [])
        report.objectives = objectives.map { $0.judge(report) }
        return report
    }

    // MARK: Before the load

    private func prepare(_ session: ClientSession) async throws -> LoadStage {
        guard let tenant = TenantSlug(plan.tenant) else {
            throw LoadPlanError(["tenant is no tenant's name"])
        }
        onProgress(LoadProgress(phase: .enrolling, share: 0))
        let admin = try target.admin(session)
        let count = plan.devices
        let devices = try await Fleet.enroll(
            count: count, tenant: tenant, admin: admin, deviceURL: target.deviceURL,
            session: session, name: "load", file: options.devicesFile
        ) { done in
            onProgress(LoadProgress(phase: .enrolling, share: Double(done) / Double(count)))
        }
        let keys = try await DeviceClient(
            baseURL: target.deviceURL, token: nil, session: session
        ).keys()
        let listeners = try await setListeners(admin)
        let book = RecipeBook(plan: plan, runID: UInt32.random(in: 1 ... .max))
        let maker = BundleMaker(book: book, devices: devices)
        let supply = try await seal(maker)
        let clock = RunClock()
        let ids = book.ids
        let ledger = try BundleLedger(
            run: LedgerRun(
                runID: book.runID, startedAt: clock.startedAt, plan: plan, tenant: tenant,
                devices: devices.map(\.deviceID), keys: keys),
            directory: options.directory + "/ledger", numberOf: { ids.number(of: $0) })
        for (index, device) in devices.enumerated() {
            ledger.begin(device: index, after: device.lastReceipt)
        }
        return LoadStage(
            plan: plan, target: target, session: session, maker: maker, supply: supply,
            clock: clock, ledger: ledger, loops: options.loops, heldListeners: listeners)
    }

    /// How many listeners there are to be; with the plan's hold, none until all is acknowledged.
    private func setListeners(_ admin: AdminClient) async throws -> Int {
        let before = try await admin.listeners()
        let wanted = plan.listeners ?? max(1, before.target)
        if plan.holdsListeners {
            _ = try await admin.setListeners(target: 0)
        } else if plan.listeners != nil {
            _ = try await admin.setListeners(target: wanted)
        }
        return wanted
    }

    private func seal(_ maker: BundleMaker) async throws -> BundleSupply {
        let supply = try BundleSupply(
            maker: maker,
            options: BundleSupply.Options(
                threads: options.sealingThreads, spoolDirectory: options.directory))
        guard plan.sealsInAdvance else { return supply }
        // The supply tells how far it is to who asks.
        try await withThrowingTaskGroup(of: Void.self) { group in
            defer { group.cancelAll() }
            group.addTask {
                while !Task.isCancelled {
                    let level = supply.level
                    if level.inAdvanceMax > 0 {
                        let share = Double(level.inAdvance) / Double(level.inAdvanceMax)
                        onProgress(LoadProgress(phase: .sealing, share: share))
                    }
                    // Cancelled as soon as everything is sealed.
                    try? await Task.sleep(for: .milliseconds(250))
                }
            }
            try await supply.prepare()
        }
        return supply
    }
}

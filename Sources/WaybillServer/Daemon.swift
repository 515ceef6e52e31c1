internal import Foundation
internal import Logging
internal import Metrics
internal import ServiceLifecycle
internal import UnixSignals
internal import WaybillAdmin
internal import WaybillHTTP
internal import WaybillIngress
internal import WaybillListener
internal import WaybillModel
internal import WaybillObservability
internal import WaybillPostgres
internal import WaybillQueue
internal import WaybillStore
internal import WaybillThreads
internal import WaybillUpload

/// The server put together: builds every part from the configuration and runs them as one group.
struct Daemon {
    static let version = "0.1.0"
    /// What this server is called where several work on one database.
    private static let node = ProcessInfo.processInfo.hostName

    private let configuration: ServerConfiguration
    private let directory: DataDirectory
    private let logger = Logger(label: "waybill.server")
    private let startedAt = Timestamp.now

    init(_ configuration: ServerConfiguration) throws(ConfigurationFault) {
        self.configuration = configuration
        directory = try DataDirectory(configuration.dataDirectory)
    }

    /// Serves until a signal comes.
    ///
    /// - Throws: ``ConfigurationFault`` for a wrong key, and what a part that cannot go on threw.
    func run() async throws {
        FreedMemory.share()
        let opened = try openQueue()
        defer { opened.queue.close() }
        let rootKey = RootKey(bytes: try loadKey(configuration.rootKeyFile, mayCreate: true))
        let database = try await startDatabase()
        do {
            try await serve(
                queue: opened.queue, masterKeys: opened.masterKeys, rootKey: rootKey,
                database: database)
        } catch {
            try await database.own?.stop()
            throw error
        }
        try await database.own?.stop()
    }

    // MARK: Before the services

    private func openQueue() throws -> OpenQueue {
        let keys = try MasterKeyFiles.load(configuration, directory)
        if keys.current.isNew { sayNewKey(configuration.masterKeyFile) }
        var options = DiskQueueOptions(directory: directory.log, masterKey: keys.current.bytes)
        options.previousMasterKeys = keys.previous.map(\.bytes)
        options.segmentBytes = configuration.segmentBytes
        options.recordBytesMax = max(options.recordBytesMax, configuration.inlineBytesMax + 1 << 16)
        let logger = logger
        do {
            let queue = try DiskQueue.open(options: options) { error in
                // What is on disk is known only after a restart: acknowledge nothing more, leave.
                logger.critical("the queue's log failed", metadata: ["error": "\(error)"])
                exit(1)
            }
            FreedMemory.giveBack()
            let register = try MasterKeyRegister(of: queue, options: options)
            keys.tell(register.keys, logger)
            return OpenQueue(queue: queue, masterKeys: register)
        } catch {
            switch error {
            case .wrongKey(let keyID): throw keys.lack(of: keyID, directory)
            case .locked:
                throw ConfigurationFault(problems: [
                    "data-dir: another server is running on \(directory.path)"
                ])
            default: throw error
            }
        }
    }

    private func loadKey(_ path: String, mayCreate: Bool) throws -> [UInt8] {
        let (key, isNew) = try KeyFile.load(path, mayCreate: mayCreate)
        if isNew { sayNewKey(path) }
        return key
    }

    private func sayNewKey(_ path: String) {
        logger.notice("made a new key: back it up", metadata: ["file": "\(path)"])
    }

    private func startDatabase() async throws -> Database {
        if let url = configuration.databaseURL { return Database(url: url, own: nil) }
        let own = try await PrivatePostgres.start(dataDirectory: directory.postgres)
        logger.notice(
            own.isAdopted
                ? "no database-url: adopted the private PostgreSQL that was left running"
                : "no database-url: started a private PostgreSQL",
            metadata: ["directory": "\(own.location)"])
        return Database(url: own.connectionString, own: own)
    }

    // MARK: The services

    private func serve(
        queue: DiskQueue, masterKeys: MasterKeyRegister, rootKey: RootKey, database: Database
    ) async throws {
        let databaseURL = database.url
        let metrics = PrometheusRegistry(help: MetricCatalogue.help)
        MetricsSystem.bootstrap(metrics)
        let bell = ReceiptBell()
        let filter = ReceiptFilter()
        let pool = try Store.makePool(
            connectionString: databaseURL, threads: configuration.databaseConnections)
        defer { pool.close() }
        let store = Store(
            pool: pool, rootKey: rootKey, bell: bell, options: configuration.store)
        let notices = try StoreNotices(
            connectionString: databaseURL, bell: bell, filter: filter)
        let gate = DatabaseGate(
            connectionString: databaseURL, store: store, migrates: configuration.migrates)
        try await openAtStart(gate)
        let budget = descriptorBudget()
        let ingressOptions = configuration.ingressOptions(budget)
        let staleLeases = StaleLeaseAudit(store: store, node: Self.node)
        let listeners = try listenerPool(
            queue: queue, rootKey: rootKey, databaseURL: databaseURL, bell: bell, filter: filter,
            gate: gate, listenersMax: budget.listeners, onStaleLease: { staleLeases.note($0) })
        let previous = PreviousBundles(
            source: ReceiptHistory(connectionString: databaseURL, filter: filter))
        let number = DurableSync.everything(around: directory.path)
        if number != 0 {
            logger.warning(
                "what was left unsynced could not be synced", metadata: ["errno": "\(number)"])
        }
        let unfinished = try OpenBundles(path: directory.bundles, partsPath: directory.parts) {
            switch queue.find($0)?.state {
            case .queued, .processing: true
            // What the queue calls settled may be taken again, with a database that was restored.
            default: false
            }
        }
        let owned = try queue.liveFileNames().union(unfinished.fileNames)
        let uploads = try Uploads(
            path: directory.uploads, partsPath: directory.parts, owned: owned)
        let parts = try PartDirectory(
            path: directory.parts, keeping: owned.union(uploads.fileNames))
        let registry = DeviceRegistry(knownDevices(), bell: bell)
        let keyRing = ReceiptKeyRing(store: store)
        let keeper = try registryKeeper(
            registry, keyRing, store, notices, interval: ingressOptions.refreshInterval)
        let announcement = Announcement(directory: directory, configuration: configuration)
        let intake = BundleIntake(
            queue: queue, directory: parts, open: unfinished, previous: previous, uploads: uploads,
            options: configuration.uploadOptions)
        let intakeGate = intakeGate(queue)
        let ingress = try IngressService(
            options: ingressOptions,
            parts: IngressParts(
                intake: intake, registry: registry, directory: store, receipts: store, bell: bell,
                keyRing: keyRing, gate: intakeGate, saveRegistry: { await keeper.save() }),
            logger: Logger(label: "waybill.ingress"),
            onRunning: { announcement.deviceSideListens(port: $0) })
        let letters = try deadLetters(queue: queue, rootKey: rootKey, store: store)
        let admin = AdminService(
            host: configuration.adminAddress.host, port: configuration.adminAddress.port,
            token: OperatorToken(announcement.token),
            parts: AdminParts(
                listeners: listeners, queue: queue,
                queueDesk: QueueDesk(queue: queue, intake: intakeGate),
                trails: TrailDesk(store: store, queue: queue), tenants: store, backups: store,
                operations: store, deadLetters: letters.parts, node: Self.node,
                version: Self.version, startedAt: startedAt, document: .openAPI,
                renderMetrics: { metrics.render() }, masterKeys: { masterKeys.keys },
                isMigrated: { gate.signerIfOpen != nil },
                onRevoke: {
                    registry.revoke($0)
                    await keeper.save()
                }),
            logger: Logger(label: "waybill.admin"),
            onRunning: { announcement.operatorSideListens(port: $0) })
        // Shut down in the reverse order: first nothing new comes in, last the database goes.
        try await run([
            PostgresKeeper(own: database.own), gate,
            UntilShutdown { try await previous.run() },
            UntilShutdown { try await notices.run() },
            UntilShutdown { await staleLeases.run() },
            recheck(store, notices, interval: ingressOptions.recheckInterval),
            UntilShutdown { await intake.keepUp() }, letters.retention,
            letters.jobs, keeper, admin, listeners,
            AutoscaleService(pool: listeners, queue: { queue.status }), ingress,
        ])
    }

    private func descriptorBudget() -> DescriptorBudget {
        let budget = DescriptorBudget(configuration)
        if budget.connections < configuration.connectionsMax
            || budget.listeners < configuration.listenersMax
        {
            logger.warning(
                "there are too few file descriptors for what is configured",
                metadata: [
                    "connections.max": "\(budget.connections)",
                    "listeners.max": "\(budget.listeners)",
                ])
        }
        return budget
    }

    private func registryKeeper(
        _ registry: DeviceRegistry, _ keyRing: ReceiptKeyRing, _ store: Store,
        _ notices: StoreNotices, interval: Duration
    ) throws -> RegistryKeeper {
        RegistryKeeper(
            registry: registry, keyRing: keyRing, directory: store,
            file: try RegistryFile(path: directory.registry),
            interval: interval, news: notices.deviceChanges)
    }

    /// For what no notice told of.
    private func recheck(
        _ store: Store, _ notices: StoreNotices, interval: Duration
    ) -> UntilShutdown {
        let recheck = ReceiptRecheck(
            bell: store.bell, interval: interval,
            lastReceipts: { try await store.lastReceipts(of: $0) })
        return UntilShutdown { await recheck.run(reasons: notices.connected) }
    }

    private func intakeGate(_ queue: DiskQueue) -> IntakeGate {
        let path = directory.path
        return IntakeGate(
            options: IntakeGate.Options(
                diskFreeFloor: configuration.diskFreeFloor,
                bundlesMax: configuration.backlogBundlesMax,
                bytesMax: configuration.backlogBytesMax),
            diskFree: { IntakeGate.room(at: path) },
            backlog: { queue.backlog })
    }

    /// The registry as it was saved last. It is a cache: without it, tokens are looked up in the
    /// database.
    private func knownDevices() -> [RegisteredDevice] {
        do {
            return try RegistryFile.load(path: directory.registry)
        } catch {
            logger.error("the saved registry cannot be read", metadata: ["error": "\(error)"])
            return []
        }
    }

    /// The first try, before anything listens, so that a wrong schema or key ends the start.
    private func openAtStart(_ gate: DatabaseGate) async throws {
        do {
            try await gate.openSoon()
        } catch {
            try judge(error)
        }
    }

    /// Throws on what no waiting mends; otherwise the gate goes on trying while bundles come in.
    private func judge(_ error: StoreError) throws {
        if case .cannotOpenSealed(let keyID) = error {
            throw ConfigurationFault(problems: [
                "root-key-file: the database was sealed under another root key than \(keyID)"
            ])
        }
        guard !DatabaseGate.needsPerson(error) else { throw error }
        logger.warning("the database is away at start", metadata: ["error": "\(error)"])
    }

    private func listenerPool(
        queue: DiskQueue, rootKey: RootKey, databaseURL: String, bell: ReceiptBell,
        filter: ReceiptFilter,
        gate: DatabaseGate, listenersMax: Int,
        onStaleLease: @escaping @Sendable ([BundleKey]) -> Void
    ) throws -> ListenerPool {
        var options = ListenerOptions()
        options.max = listenersMax
        options.attemptsMax = configuration.attemptsMax
        options.failingMax = configuration.failingMax
        options.leaseDuration = configuration.leaseDuration
        let settingFile = ListenerSettingFile(
            path: directory.listeners, configured: configuration.listeners)
        apply(keptSetting(settingFile), to: &options)
        options.limits = configuration.limits
        let node = Self.node
        return ListenerPool(
            context: ListenerContext(
                options: options, queue: queue, rootKey: rootKey, partsDirectory: directory.parts,
                reaper: try PartReaper(),
                deadLetters: DeadLetterFiles(directory: directory.deadLetters, rootKey: rootKey),
                makeSettler: {
                    gate.signerIfOpen.map {
                        Settler(
                            connectionString: databaseURL, rootKey: rootKey, signer: $0,
                            bell: bell, filter: filter, node: node)
                    }
                }, onStaleLease: onStaleLease),
            keep: { try settingFile.keep($0) })
    }

    /// A file that cannot be read costs what an operator set, not the start.
    private func keptSetting(_ file: ListenerSettingFile) -> ListenerSetting? {
        do {
            return try file.load()
        } catch {
            logger.error(
                "what was set for listeners cannot be read", metadata: ["error": "\(error)"])
            return nil
        }
    }

    private func apply(_ setting: ListenerSetting?, to options: inout ListenerOptions) {
        options.target = min(setting?.target ?? configuration.listeners, options.max)
        guard let setting else { return }
        options.automatic = setting.automatic.map {
            min($0.min, options.max)...min($0.max, options.max)
        }
        logger.notice(
            "listeners as an operator set them last",
            metadata: [
                "listeners.target": "\(options.target)",
                "listeners.autoscale": "\(setting.automatic != nil)",
            ])
    }

    private func deadLetters(
        queue: DiskQueue, rootKey: RootKey, store: Store
    ) throws -> (parts: DeadLetterParts, jobs: DeadLetterJobs, retention: DeadLetterRetention) {
        let files = DeadLetterFiles(directory: directory.deadLetters, rootKey: rootKey)
        let folder = try DeadLetterFolder(files)
        let desk = DeadLetterDesk(queue: queue, files: files)
        let office = DeadLetterOffice(
            catalogue: store, decisions: store, bytes: DeadLetterShelf(folder: folder, desk: desk))
        let jobs = DeadLetterJobs(office: office, operations: store, node: Self.node)
        let retention = DeadLetterRetention(
            ledger: store, folder: folder,
            policy: DeadLetterPolicy(
                retention: configuration.deadLetterRetention,
                bytesMax: configuration.deadLetterBytesMax),
            node: Self.node, oldestUnsettled: { queue.status.oldestReceivedAt })
        return (DeadLetterParts(office: office, jobs: jobs), jobs, retention)
    }

    private func run(_ services: [any Service]) async throws {
        var group = ServiceGroupConfiguration(
            services: services.map { .init(service: $0) },
            gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        group.maximumGracefulShutdownDuration =
            configuration.connection.shutdownGrace + .seconds(50)
        try await ServiceGroup(configuration: group).run()
    }
}

extension ServerConfiguration {
    var uploadOptions: UploadOptions {
        var options = UploadOptions(inlineBytesMax: inlineBytesMax, limits: limits)
        options.openBundleAge = .seconds(86400 * openBundleDays)
        return options
    }

    func ingressOptions(_ budget: DescriptorBudget) -> IngressOptions {
        var files: IngressOptions.TLSFiles?
        if let tlsCertificate, let tlsKey {
            files = IngressOptions.TLSFiles(certificate: tlsCertificate, key: tlsKey)
        }
        var options = IngressOptions(
            host: deviceAddress.host, port: deviceAddress.port, tls: files, publicURL: publicURL,
            limits: limits)
        options.failureRate = failureRate
        options.connection = connection
        options.connectionsMax = budget.connections
        options.requestsInProgressMax = requestsInProgressMax
        options.origins = corsOrigins
        let proxies = trustedProxies
        options.isProxy = { peer in proxies.contains { $0.contains(peer) } }
        if files == nil {
            options.admits = { peer in
                SocketAddress(host: peer, port: 0).isLoopback
                    || proxies.contains { $0.contains(peer) }
            }
        }
        return options
    }
}

/// The queue, and what its log is sealed under.
private struct OpenQueue {
    let queue: DiskQueue
    let masterKeys: MasterKeyRegister
}

/// Where the server's rows are.
private struct Database {
    let url: String
    /// Nil where somebody else runs it.
    let own: PrivatePostgres?
}

/// Work that ends with the server, as a service.
private struct UntilShutdown: Service {
    let work: @Sendable () async throws -> Void

    func run() async throws {
        try await cancelWhenGracefulShutdown { try await work() }
    }
}

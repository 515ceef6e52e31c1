package import WaybillModel

/// What the operator's side works with.
package struct AdminParts: Sendable {
    package var listeners: any ListenerControl
    package var queue: any QueueOverview
    package var queueDesk: QueueDesk
    package var trails: TrailDesk
    package var tenants: any TenantStore
    package var backups: any BackupStore
    package var operations: any OperationStore
    /// Nil where nothing is set aside; there are no calls then.
    package var deadLetters: DeadLetterParts?
    /// This server node, as the audit names it.
    package var node: String
    package var version: String
    package var startedAt: Timestamp
    /// What `/openapi.yaml` answers with.
    package var document: ServedDocument
    /// The metrics as Prometheus text.
    package var renderMetrics: @Sendable () -> String
    /// The keys that the queue's log is sealed under.
    package var masterKeys: @Sendable () -> [QueueMasterKey]
    /// True once the schema is up to date.
    package var isMigrated: @Sendable () -> Bool
    /// Called when a device was revoked, so that this process refuses it at once.
    package var onRevoke: @Sendable (DeviceID) async -> Void

    package init(
        listeners: any ListenerControl, queue: any QueueOverview, queueDesk: QueueDesk,
        trails: TrailDesk, tenants: any TenantStore, backups: any BackupStore,
        operations: any OperationStore, deadLetters: DeadLetterParts? = nil, node: String,
        version: String, startedAt: Timestamp, document: ServedDocument,
        renderMetrics: @escaping @Sendable () -> String,
        masterKeys: @escaping @Sendable () -> [QueueMasterKey],
        isMigrated: @escaping @Sendable () -> Bool,
        onRevoke: @escaping @Sendable (DeviceID) async -> Void
    ) {
        self.listeners = listeners
        self.queue = queue
        self.queueDesk = queueDesk
        self.trails = trails
        self.tenants = tenants
        self.backups = backups
        self.operations = operations
        self.deadLetters = deadLetters
        self.node = node
        self.version = version
        self.startedAt = startedAt
        self.document = document
        self.renderMetrics = renderMetrics
        self.masterKeys = masterKeys
        self.isMigrated = isMigrated
        self.onRevoke = onRevoke
    }
}

/// What the calls about dead letters work with.
package struct DeadLetterParts: Sendable {
    let office: DeadLetterOffice
    let jobs: DeadLetterJobs

    package init(office: DeadLetterOffice, jobs: DeadLetterJobs) {
        self.office = office
        self.jobs = jobs
    }
}

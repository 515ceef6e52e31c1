package import WaybillListener
package import WaybillModel
package import WaybillQueue
package import WaybillStore
package import WaybillUpload

/// The listeners, as an operator sees them.
package protocol ListenerControl: Sendable {
    var status: ListenerStatus { get }
    /// Nil for a number that no listener can have.
    func listener(_ number: Int) -> ListenerSummary?
    /// - Throws: ``ListenerError`` for a bad number or bounds, or when `isExpected` says no; nothing
    ///   has changed then.
    func apply(
        _ change: ListenerChange, where isExpected: @escaping @Sendable (ListenerStatus) -> Bool
    ) async throws(ListenerError) -> (before: ListenerStatus, after: ListenerStatus)
}

extension ListenerPool: ListenerControl {}

/// The queue, as an operator sees it.
package protocol QueueOverview: Sendable {
    var status: DiskQueueStatus { get }
    /// Bundles that are lost and were not sent again yet, oldest first.
    var lostBundles: [LostBundle] { get }
    /// Damage in the log that the start found, or that was found since where an index had to be made
    /// again; in words.
    var faults: [String] { get }
    /// Reads the whole log, however long that takes.
    func verify() async throws(QueueError) -> QueueVerification
}

extension DiskQueue: QueueOverview {}

/// The queue's way out and the way in, as an operator stops and opens them.
package protocol QueueControl: Sendable {
    /// Hands out nothing any more, also after a restart; durable on return.
    func pause() async throws(QueueError)
    /// Durable on return.
    func resume() async throws(QueueError)
}

extension DiskQueue: QueueControl {}

/// Whether bundles are taken, and what an operator says to that.
package protocol IntakeControl: Sendable {
    var isDraining: Bool { get }
    func setDraining(_ isDraining: Bool)
    /// - Throws: why bundles are refused now.
    func check() throws(UploadError)
}

extension IntakeGate: IntakeControl {}

/// Both ends of the queue.
package struct QueueDesk: Sendable {
    package var queue: any QueueControl
    package var intake: any IntakeControl

    package init(queue: any QueueControl, intake: any IntakeControl) {
        self.queue = queue
        self.intake = intake
    }
}

/// Tenants and devices, as an operator changes them.
package protocol TenantStore: Sendable {
    func createTenant(_ slug: TenantSlug) async throws(StoreError) -> TenantSummary
    func tenants() async throws(StoreError) -> [TenantSummary]
    func transactionCount(tenant: TenantSlug) async throws(StoreError) -> Int
    func invite(tenant: TenantSlug, count: Int) async throws(StoreError) -> [Invitation]
    func invitations(tenant: TenantSlug) async throws(StoreError) -> [InvitationSummary]
    func devices(tenant: TenantSlug) async throws(StoreError) -> [DeviceSummary]
    /// False if there is no such device.
    func revoke(_ device: DeviceID) async throws(StoreError) -> Bool
    /// A one-time code for the device's next epoch.
    func rotate(_ device: DeviceID) async throws(StoreError) -> Invitation
}

/// Backups, as an operator reports them.
package protocol BackupStore: Sendable {
    func beginBackup() async throws(StoreError) -> Backup
    func completeBackup(_ id: Int64) async throws(StoreError) -> Backup
    /// Newest first.
    func backups() async throws(StoreError) -> [Backup]
}

/// What else an operator's calls need of the database.
package protocol OperationStore: Sendable {
    /// - Parameter node: this server node, as the audit names it.
    func record(_ event: AuditEvent, node: String) async throws(StoreError)
    func deadLetterCount() async throws(StoreError) -> Int
    func ping() async throws(StoreError)
}

extension Store: TenantStore, OperationStore, BackupStore {}

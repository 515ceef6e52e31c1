package import WaybillListener
package import WaybillModel
package import WaybillQueue
package import WaybillStore

/// The listeners, as an operator sees them.
package protocol ListenerControl: Sendable {
    var status: ListenerStatus { get }
    /// - Throws: ``ListenerError/outOfRange(target:min:max:)``; nothing has changed then.
    func setTarget(_ target: Int) throws(ListenerError)
}

extension ListenerPool: ListenerControl {}

/// The queue, as an operator sees it.
package protocol QueueOverview: Sendable {
    var status: DiskQueueStatus { get }
}

extension DiskQueue: QueueOverview {}

/// Tenants and devices, as an operator changes them.
package protocol TenantStore: Sendable {
    func createTenant(_ slug: TenantSlug) async throws(StoreError) -> TenantSummary
    func tenants() async throws(StoreError) -> [TenantSummary]
    func transactionCount(tenant: TenantSlug) async throws(StoreError) -> Int
    func invite(tenant: TenantSlug, count: Int) async throws(StoreError) -> [Invitation]
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

package import WaybillModel

/// Which run a ledger belongs to: with it, all that was sent can be made again.
package struct LedgerRun: Codable, Sendable {
    package var version = 1
    package var runID: UInt32
    /// Wall time at the run's nanosecond 0.
    package var startedAt: Timestamp
    package var plan: LoadPlan
    package var tenant: TenantSlug
    /// By the device's number in the run.
    package var devices: [DeviceID]
    /// What the receipts were signed with, so that they can be verified without the server.
    package var keys: ReceiptKeySet

    package init(
        runID: UInt32, startedAt: Timestamp, plan: LoadPlan, tenant: TenantSlug,
        devices: [DeviceID], keys: ReceiptKeySet
    ) {
        self.runID = runID
        self.startedAt = startedAt
        self.plan = plan
        self.tenant = tenant
        self.devices = devices
        self.keys = keys
    }

    enum CodingKeys: String, CodingKey {
        case version, plan, tenant, devices, keys
        case runID = "run_id"
        case startedAt = "started_at"
    }
}

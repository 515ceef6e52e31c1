package import WaybillModel
internal import WaybillQueue

/// A complete bundle as it stands now.
package struct BundleStanding: Sendable, Equatable {
    package var state: BundleState
    package var bundleDigest: Digest256
    package var partByteCounts: [Int]
    /// The receipt's stored text; nil until there is one, or while the database is away.
    package var receipt: String?

    package init(
        state: BundleState, bundleDigest: Digest256, partByteCounts: [Int], receipt: String?
    ) {
        self.state = state
        self.bundleDigest = bundleDigest
        self.partByteCounts = partByteCounts
        self.receipt = receipt
    }

    init(_ entry: BundleEntry) {
        self.init(
            state: entry.state, bundleDigest: entry.bundleDigest,
            partByteCounts: entry.partByteCounts, receipt: nil)
    }
}

/// A bundle of one part on its way in: all but its bytes.
package struct IncomingBundle: Sendable {
    package var tenant: TenantID
    package var tenantSlug: TenantSlug
    package var deviceID: DeviceID
    package var bundleID: BundleID
    /// As the device named it.
    package var epoch: Int?
    package var startedAt: Timestamp
    /// The peer's address.
    package var source: String?

    package init(
        tenant: TenantID, tenantSlug: TenantSlug, deviceID: DeviceID, bundleID: BundleID,
        epoch: Int?, startedAt: Timestamp, source: String?
    ) {
        self.tenant = tenant
        self.tenantSlug = tenantSlug
        self.deviceID = deviceID
        self.bundleID = bundleID
        self.epoch = epoch
        self.startedAt = startedAt
        self.source = source
    }

    package var key: BundleKey { BundleKey(deviceID: deviceID, bundleID: bundleID) }
}

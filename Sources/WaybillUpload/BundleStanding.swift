package import WaybillModel
internal import WaybillQueue

/// A bundle as it stands now.
package struct BundleStanding: Sendable, Equatable {
    package var state: BundleState
    /// Nil while a part's digest is not known.
    package var bundleDigest: Digest256?
    package var parts: [PartStanding]
    /// The receipt's stored text; nil until there is one, or while the database is away.
    package var receipt: String?

    package init(
        state: BundleState, bundleDigest: Digest256?, parts: [PartStanding], receipt: String?
    ) {
        self.state = state
        self.bundleDigest = bundleDigest
        self.parts = parts
        self.receipt = receipt
    }

    /// A bundle all of whose parts were received.
    package init(
        state: BundleState, bundleDigest: Digest256, partByteCounts: [Int], receipt: String?
    ) {
        self.init(
            state: state, bundleDigest: bundleDigest,
            parts: partByteCounts.map { PartStanding(complete: $0) }, receipt: receipt)
    }

    /// There is a receipt, shown or not.
    var isDone: Bool { state == .settled || state == .quarantined }

    init(_ entry: BundleEntry) {
        self.init(
            state: entry.state, bundleDigest: entry.bundleDigest,
            partByteCounts: entry.partByteCounts, receipt: nil)
    }
}

/// One part of a bundle as it stands now.
package struct PartStanding: Sendable, Equatable {
    /// Nil while it is not known.
    package var byteCount: Int?
    /// Synced bytes.
    package var receivedByteCount: Int
    package var isComplete: Bool
    /// The upload to go on with; nil while none was begun.
    package var upload: UploadID?

    package init(
        byteCount: Int?, receivedByteCount: Int, isComplete: Bool, upload: UploadID? = nil
    ) {
        self.byteCount = byteCount
        self.receivedByteCount = receivedByteCount
        self.isComplete = isComplete
        self.upload = upload
    }

    package init(complete byteCount: Int) {
        self.init(byteCount: byteCount, receivedByteCount: byteCount, isComplete: true)
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

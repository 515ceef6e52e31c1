package import WaybillModel

/// A complete bundle on its way from the upload to a listener.
package struct BundleMessage: Sendable, Equatable {
    package var tenant: TenantID
    package var tenantSlug: TenantSlug
    package var deviceID: DeviceID
    package var bundleID: BundleID
    /// The key epoch that the device named; nil when it named none.
    package var epoch: Int?
    package var bundleDigest: Digest256
    /// In part order; never empty.
    package var parts: [PartContent]
    /// When the bundle's first request came.
    package var startedAt: Timestamp
    /// When its last part was complete.
    package var receivedAt: Timestamp
    /// The peer's address, for the audit.
    package var source: String?
    /// Set when an operator has a quarantined bundle processed again.
    package var retryOf: RetryOf?

    /// The dead letter that a message tries again, and the receipt that a success supersedes.
    package struct RetryOf: Sendable, Equatable {
        package let deadLetterID: DeadLetterID
        /// Number of the quarantined bundle's receipt.
        package let receiptSeq: Int64

        package init(deadLetterID: DeadLetterID, receiptSeq: Int64) {
            self.deadLetterID = deadLetterID
            self.receiptSeq = receiptSeq
        }
    }

    package init(
        tenant: TenantID, tenantSlug: TenantSlug, deviceID: DeviceID, bundleID: BundleID,
        epoch: Int?, bundleDigest: Digest256, parts: [PartContent], startedAt: Timestamp,
        receivedAt: Timestamp, source: String?, retryOf: RetryOf? = nil
    ) {
        self.tenant = tenant
        self.tenantSlug = tenantSlug
        self.deviceID = deviceID
        self.bundleID = bundleID
        self.epoch = epoch
        self.bundleDigest = bundleDigest
        self.parts = parts
        self.startedAt = startedAt
        self.receivedAt = receivedAt
        self.source = source
        self.retryOf = retryOf
    }

    package var key: BundleKey { BundleKey(deviceID: deviceID, bundleID: bundleID) }

    /// Bytes of all parts.
    package var byteCount: Int { parts.reduce(0) { $0 + $1.byteCount } }
}

/// One sealed part of a bundle and where its bytes lie.
package struct PartContent: Sendable, Equatable {
    package var digest: Digest256
    package var byteCount: Int
    package var location: Location

    package enum Location: Sendable, Equatable {
        /// The bytes themselves; they are stored in the queue's log.
        case inline([UInt8])
        /// A file in the directory of parts, by name.
        case file(name: String)
        /// A sealed file in the directory of dead letters, by name.
        case deadLetter(name: String)
    }

    package init(digest: Digest256, byteCount: Int, location: Location) {
        self.digest = digest
        self.byteCount = byteCount
        self.location = location
    }
}

/// What the queue knows of a bundle without reading its record.
package struct BundleEntry: Sendable, Equatable {
    package let state: BundleState
    package let bundleDigest: Digest256
    package let partByteCounts: [Int]
    package let receivedAt: Timestamp

    package init(
        state: BundleState, bundleDigest: Digest256, partByteCounts: [Int], receivedAt: Timestamp
    ) {
        self.state = state
        self.bundleDigest = bundleDigest
        self.partByteCounts = partByteCounts
        self.receivedAt = receivedAt
    }
}

/// What became of an attempt to enqueue a bundle.
package enum EnqueueResult: Sendable, Equatable {
    /// The bundle is in the queue and synced to disk.
    case enqueued
    /// The queue holds a bundle of this key already, or settled one lately; nothing was written.
    case existing(BundleEntry)
}

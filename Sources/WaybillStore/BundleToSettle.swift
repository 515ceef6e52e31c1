package import WaybillModel

/// What is known of a device's secret.
package enum DeviceSecret: Sendable, Equatable {
    case secret([UInt8])
    /// It is there, and cannot be opened: damaged, or sealed under another root key.
    case damaged
}

/// A device under one epoch of its secret.
package struct DeviceEpoch: Hashable, Sendable {
    package let deviceID: DeviceID
    package let epoch: Int

    package init(deviceID: DeviceID, epoch: Int) {
        self.deviceID = deviceID
        self.epoch = epoch
    }
}

/// A file that holds the bytes of a bundle which could not be processed.
package struct DeadLetterFile: Sendable {
    package let id: DeadLetterID
    /// Within the directory of dead letters.
    package let name: String
    package let byteCount: Int

    package init(id: DeadLetterID, name: String, byteCount: Int) {
        self.id = id
        self.name = name
        self.byteCount = byteCount
    }
}

/// The dead letter that a bundle tries again.
package struct DeadLetterRetry: Sendable, Equatable {
    package let deadLetterID: DeadLetterID
    /// Number of the receipt that says "quarantined".
    package let receiptSequence: Int64

    package init(deadLetterID: DeadLetterID, receiptSequence: Int64) {
        self.deadLetterID = deadLetterID
        self.receiptSequence = receiptSequence
    }
}

/// One bundle of a batch that is settled in one database transaction.
package struct BundleToSettle: Sendable {
    /// What the listener found in it.
    package enum Verdict: Sendable {
        /// It opened; its lines are handed over while the transaction is open.
        case transactions
        case quarantined(code: QuarantineCode, detail: String, deadLetter: DeadLetterFile?)
    }

    /// From the authenticated delivery, never from content.
    package var tenant: TenantID
    package var deviceID: DeviceID
    package var bundleID: BundleID
    package var bundleDigest: Digest256
    package var epoch: Int
    package var deviceSequence: Int64?
    /// Zipped bytes of each part, in part order.
    package var partByteCounts: [Int]
    package var transactionCount: Int
    package var startedAt: Timestamp
    package var receivedAt: Timestamp
    package var leasedAt: Timestamp
    package var openedAt: Timestamp
    /// Peer address of the upload, for the audit.
    package var source: String?
    package var attempt: Int
    package var verdict: Verdict
    /// Set for a dead letter: if it succeeds, its receipt supersedes the one before; if it is
    /// quarantined again, it gets none, and the dead letter says why.
    package var retryOf: DeadLetterRetry?

    package init(
        tenant: TenantID, deviceID: DeviceID, bundleID: BundleID, bundleDigest: Digest256,
        epoch: Int, deviceSequence: Int64?, partByteCounts: [Int], transactionCount: Int,
        startedAt: Timestamp, receivedAt: Timestamp, leasedAt: Timestamp, openedAt: Timestamp,
        source: String?, attempt: Int, verdict: Verdict
    ) {
        self.tenant = tenant
        self.deviceID = deviceID
        self.bundleID = bundleID
        self.bundleDigest = bundleDigest
        self.epoch = epoch
        self.deviceSequence = deviceSequence
        self.partByteCounts = partByteCounts
        self.transactionCount = transactionCount
        self.startedAt = startedAt
        self.receivedAt = receivedAt
        self.leasedAt = leasedAt
        self.openedAt = openedAt
        self.source = source
        self.attempt = attempt
        self.verdict = verdict
    }

    package var partCount: Int { partByteCounts.count }
    package var byteCount: Int { partByteCounts.reduce(0, +) }
    var key: BundleKey { BundleKey(deviceID: deviceID, bundleID: bundleID) }
}

/// What became of one bundle of a batch, once the batch is committed.
package struct SettledBundle: Sendable, Equatable {
    /// Position in the batch.
    package let ordinal: Int
    /// It had its receipt before and keeps it: nothing new was settled.
    package let isRepeat: Bool
    package let receiptSequence: Int64
    package let counts: OutcomeCounts
    /// ``BundleState/settled`` or ``BundleState/quarantined``.
    package let state: BundleState
}

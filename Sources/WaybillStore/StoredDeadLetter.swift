package import WaybillModel

/// A bundle that was set aside, as the database knows it; its bytes lie in sealed files.
package struct StoredDeadLetter: Sendable, Equatable {
    package let id: DeadLetterID
    package let tenant: TenantID
    package let tenantSlug: TenantSlug
    package let deviceID: DeviceID
    package let bundleID: BundleID
    package let bundleDigest: Digest256
    /// Under which the device said it sealed; nil if it said nothing.
    package let epoch: Int?
    /// As the device called itself: untrusted text.
    package let deviceName: String
    /// Of the receipt that says it was quarantined.
    package let receiptSeq: Int64
    package let code: String
    package let detail: String
    /// The server node that has the bytes.
    package let node: String
    /// Within that node's directory of dead letters; part *n* is called `fileName.n`.
    package let fileName: String
    /// Zipped bytes of all parts, before they were sealed.
    package let byteCount: Int
    /// Zipped bytes of each part, in part order.
    package let partByteCounts: [Int]
    /// Retries that have failed.
    package let attempts: Int
    /// Of the last failed retry.
    package let lastError: String?
    package let createdAt: Timestamp
    /// A retry was asked for and has not ended yet.
    package let isRetrying: Bool
    package let resolvedAt: Timestamp?
    /// `settled` or `discarded`; nil while it is open.
    package let resolution: String?

    package init(
        id: DeadLetterID, tenant: TenantID, tenantSlug: TenantSlug, deviceID: DeviceID,
        bundleID: BundleID, bundleDigest: Digest256, epoch: Int?, deviceName: String,
        receiptSeq: Int64, code: String, detail: String, node: String, fileName: String,
        byteCount: Int, partByteCounts: [Int], attempts: Int = 0, lastError: String? = nil,
        createdAt: Timestamp, isRetrying: Bool = false, resolvedAt: Timestamp? = nil,
        resolution: String? = nil
    ) {
        self.id = id
        self.tenant = tenant
        self.tenantSlug = tenantSlug
        self.deviceID = deviceID
        self.bundleID = bundleID
        self.bundleDigest = bundleDigest
        self.epoch = epoch
        self.deviceName = deviceName
        self.receiptSeq = receiptSeq
        self.code = code
        self.detail = detail
        self.node = node
        self.fileName = fileName
        self.byteCount = byteCount
        self.partByteCounts = partByteCounts
        self.attempts = attempts
        self.lastError = lastError
        self.createdAt = createdAt
        self.isRetrying = isRetrying
        self.resolvedAt = resolvedAt
        self.resolution = resolution
    }
}

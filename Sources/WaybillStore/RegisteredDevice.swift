package import WaybillModel

/// A device as the ingress knows it: enough to authenticate while the database is away.
package struct RegisteredDevice: Codable, Sendable, Equatable {
    /// SHA-256 of the bearer token.
    package var tokenHash: Digest256
    package var deviceID: DeviceID
    package var tenant: Int32
    package var tenantSlug: TenantSlug
    package var name: String
    /// The current one.
    package var epoch: Int
    package var isRevoked: Bool
    /// It has made an authenticated request.
    package var isSeen: Bool

    package init(
        tokenHash: Digest256, deviceID: DeviceID, tenant: Int32, tenantSlug: TenantSlug,
        name: String, epoch: Int, isRevoked: Bool, isSeen: Bool
    ) {
        self.tokenHash = tokenHash
        self.deviceID = deviceID
        self.tenant = tenant
        self.tenantSlug = tenantSlug
        self.name = name
        self.epoch = epoch
        self.isRevoked = isRevoked
        self.isSeen = isSeen
    }

    package var tenantID: TenantID { TenantID(tenant) }
}

/// A device with what it is told once.
package struct Enrollment: Sendable {
    package var device: RegisteredDevice
    /// The bearer token; only its hash is stored.
    package var token: String
    /// 32 bytes; stored sealed.
    package var secret: [UInt8]
}

/// How far a device has got.
package struct DeviceProgress: Sendable, Equatable {
    /// Highest receipt number; 0 if none.
    package var last: Int64
    package var confirmed: Int64
    package var safeThrough: Int64
    /// Highest `device_seq` seen.
    package var deviceSequence: Int64?
    /// Missing `device_seq` ranges.
    package var gaps: [ClosedRange<Int64>]
}

/// Receipts of one device, oldest first, as signed.
package struct ReceiptBatch: Sendable {
    package var documents: [String]
    /// Their numbers.
    package var sequences: [Int64]
    /// The device's highest receipt number.
    package var last: Int64
    package var safeThrough: Int64
}

/// A bundle's receipt that is not superseded.
package struct StoredReceipt: Sendable {
    package var document: String
    package var sequence: Int64
    package var bundleDigest: Digest256
    package var state: BundleState
    package var partByteCounts: [Int]
}

/// Something an operator did.
package struct AuditEvent: Sendable {
    /// Dotted, such as `device.revoke`.
    package var kind: String
    /// The operator, or the token's name.
    package var actor: String
    package var tenant: TenantSlug?
    /// What it was done to.
    package var subject: String?
    /// Facts, without content of transactions.
    package var details: [String: String]

    package init(
        kind: String, actor: String, tenant: TenantSlug? = nil, subject: String? = nil,
        details: [String: String] = [:]
    ) {
        self.kind = kind
        self.actor = actor
        self.tenant = tenant
        self.subject = subject
        self.details = details
    }
}

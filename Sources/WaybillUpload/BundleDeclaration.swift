package import WaybillModel

/// What a device said of a bundle before it sent the parts.
package struct BundleDeclaration: Sendable, Equatable {
    package var tenant: TenantID
    package var tenantSlug: TenantSlug
    package var deviceID: DeviceID
    package var bundleID: BundleID
    /// As the device named it; nil when it named none.
    package var epoch: Int?
    /// In part order; never empty.
    package var parts: [DeclaredPart]
    package var declaredAt: Timestamp
    /// The peer's address.
    package var source: String?

    package init(
        tenant: TenantID, tenantSlug: TenantSlug, deviceID: DeviceID, bundleID: BundleID,
        epoch: Int?, parts: [DeclaredPart], declaredAt: Timestamp, source: String?
    ) {
        self.tenant = tenant
        self.tenantSlug = tenantSlug
        self.deviceID = deviceID
        self.bundleID = bundleID
        self.epoch = epoch
        self.parts = parts
        self.declaredAt = declaredAt
        self.source = source
    }

    package var key: BundleKey { BundleKey(deviceID: deviceID, bundleID: bundleID) }

    /// Whether both say the same of the same bundle, whenever they came.
    func isSame(as other: BundleDeclaration) -> Bool {
        key == other.key && epoch == other.epoch && parts == other.parts
    }

    /// Bytes of all parts whose size was told.
    package var byteCount: Int {
        parts.reduce(0) { sum, part in
            let (total, overflow) = sum.addingReportingOverflow(part.byteCount ?? 0)
            return overflow ? .max : total
        }
    }

    /// What a receipt will call the bundle; nil while a part's digest is not known.
    package var bundleDigest: Digest256? {
        var digests: [Digest256] = []
        for part in parts {
            guard let digest = part.digest else { return nil }
            digests.append(digest)
        }
        return .ofBundle(parts: digests)
    }
}

/// One part as it was announced.
package struct DeclaredPart: Sendable, Equatable {
    /// Nil when it was not told: it is known when the part is complete.
    package var byteCount: Int?
    /// Nil when it was not told.
    package var digest: Digest256?

    package init(byteCount: Int?, digest: Digest256?) {
        self.byteCount = byteCount
        self.digest = digest
    }
}

/// A part whose bytes are complete, checked and synced, in a file of its own.
struct CompletedPart: Sendable, Equatable {
    /// From 1.
    let number: Int
    let fileName: String
    let byteCount: Int
    let digest: Digest256
    /// The entry's size as its archive declares it.
    let unzippedByteCount: Int
    let completedAt: Timestamp
}

internal import SegmentedLog
internal import WaybillModel

/// What a bundle is called where its record may be gone, in 88 bytes: device id and bundle id (16
/// each), digest (32), tenant (4), flags (4: 1 for a dead letter that is tried again), bytes of its
/// parts (8), when it was received (8).
struct BundleName: Sendable {
    static let byteCount = 88
    private static let retryFlag: UInt32 = 1

    let key: BundleKey
    let digest: Digest256
    let tenant: TenantID
    let isRetry: Bool
    let sizeOfParts: Int
    let receivedAt: Timestamp

    init(_ bundle: QueuedBundle) {
        key = bundle.key
        digest = bundle.digest
        tenant = bundle.tenant
        isRetry = bundle.isRetry
        sizeOfParts = bundle.sizes.total
        receivedAt = bundle.receivedAt
    }

    init(_ bundle: LostBundle) {
        key = bundle.key
        digest = bundle.bundleDigest
        tenant = bundle.tenant
        isRetry = false
        sizeOfParts = bundle.byteCount
        receivedAt = bundle.receivedAt
    }

    func encode(to writer: inout FieldWriter) {
        writer.identifier(key.deviceID)
        writer.identifier(key.bundleID)
        writer.digest(digest)
        writer.integer(tenant.number)
        writer.integer(isRetry ? Self.retryFlag : 0)
        writer.integer(UInt64(sizeOfParts))
        writer.integer(receivedAt.microseconds)
    }

    func encode() -> [UInt8] {
        var writer = FieldWriter(capacity: Self.byteCount)
        encode(to: &writer)
        return writer.bytes
    }

    /// Nil if the bytes are none.
    init?(_ bytes: [UInt8]) {
        var reader = FieldReader(bytes[...])
        self.init(&reader)
    }

    /// Nil if the next bytes are none.
    init?(_ reader: inout FieldReader) {
        guard let deviceID = reader.identifier(DeviceID.self),
            let bundleID = reader.identifier(BundleID.self), let digest = reader.digest(),
            let tenant = reader.integer(Int32.self), let flags = reader.integer(UInt32.self),
            let size = reader.integer(UInt64.self).flatMap({ Int(exactly: $0) }),
            let received = reader.integer(Int64.self)
        else { return nil }
        key = BundleKey(deviceID: deviceID, bundleID: bundleID)
        self.digest = digest
        self.tenant = TenantID(tenant)
        isRetry = flags & Self.retryFlag != 0
        sizeOfParts = size
        receivedAt = Timestamp(microseconds: received)
    }
}

internal import Crypto
internal import WaybillModel

/// One row of an audit chain: each holds the hash of the one before, so that none can be changed or
/// taken out unnoticed by anybody who lacks the audit key.
struct AuditRow {
    /// The device, or 16 zero bytes for the operators' chain.
    let chain: DeviceID
    let sequence: Int64
    let tenant: TenantID?
    let recordedAt: Timestamp
    let node: String
    let kind: String
    let actor: String
    let subject: String?
    /// JSON; its very text is hashed.
    let details: String
    let previous: Digest256

    /// Chain of what operators do.
    static let operators = DeviceID(high: 0, low: 0)

    /// HMAC-SHA256 over all fields, each with its length as four bytes before it.
    ///
    /// A missing field has the length 0xffffffff. Numbers are big-endian.
    func hash(key: [UInt8]) -> Digest256 {
        var text: [UInt8] = []
        func append(_ field: [UInt8]?) {
            let length = field.map { UInt32(truncatingIfNeeded: $0.count) } ?? .max
            text.append(contentsOf: Self.bigEndian(UInt64(length), byteCount: 4))
            text.append(contentsOf: field ?? [])
        }
        append(Array("waybill/v1/audit".utf8))
        append(chain.bytes)
        append(Self.bigEndian(UInt64(bitPattern: sequence), byteCount: 8))
        append(tenant.map { Self.bigEndian(UInt64(UInt32(bitPattern: $0.number)), byteCount: 4) })
        append(Self.bigEndian(UInt64(bitPattern: recordedAt.microseconds), byteCount: 8))
        append(Array(node.utf8))
        append(Array(kind.utf8))
        append(Array(actor.utf8))
        append(subject.map { Array($0.utf8) })
        append(Array(details.utf8))
        append(previous.bytes)
        let code = HMAC<SHA256>.authenticationCode(for: text, using: SymmetricKey(data: key))
        // A SHA-256 has 32 bytes, always.
        return Digest256(bytes: Array(code)) ?? .zero
    }

    private static func bigEndian(_ value: UInt64, byteCount: Int) -> [UInt8] {
        (0..<byteCount).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * (byteCount - 1 - $0))) }
    }
}

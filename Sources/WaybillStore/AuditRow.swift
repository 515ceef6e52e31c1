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
    func hash(_ key: KeyedHash) -> Digest256 {
        var text: [UInt8] = []
        text.reserveCapacity(256 + details.utf8.count)
        func append(number: UInt64, byteCount: Int) {
            for index in (0..<byteCount).reversed() {
                text.append(UInt8(truncatingIfNeeded: number >> UInt64(8 * index)))
            }
        }
        func append(text field: String?) {
            append(number: field.map { UInt64($0.utf8.count) } ?? 0xffff_ffff, byteCount: 4)
            if let field { text.append(contentsOf: field.utf8) }
        }
        func append(bytes field: [UInt8]) {
            append(number: UInt64(field.count), byteCount: 4)
            text.append(contentsOf: field)
        }
        func append(field number: UInt64, byteCount: Int) {
            append(number: UInt64(byteCount), byteCount: 4)
            append(number: number, byteCount: byteCount)
        }
        append(text: "waybill/v1/audit")
        append(bytes: chain.bytes)
        append(field: UInt64(bitPattern: sequence), byteCount: 8)
        if let tenant {
            append(field: UInt64(UInt32(bitPattern: tenant.number)), byteCount: 4)
        } else {
            append(text: nil)
        }
        append(field: UInt64(bitPattern: recordedAt.microseconds), byteCount: 8)
        append(text: node)
        append(text: kind)
        append(text: actor)
        append(text: subject)
        append(text: details)
        append(bytes: previous.bytes)
        return key.code(of: text)
    }
}

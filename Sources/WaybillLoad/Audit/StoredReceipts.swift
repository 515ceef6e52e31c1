internal import WaybillModel
internal import WaybillPostgres

/// Compares the receipts in the database with those that devices hold.
///
/// What a device has read must be there for ever, word for word. Receipts that nobody has read are
/// not judged: ``ReceiptAudit`` tells whose are missing.
struct StoredReceipts {
    private let ledger: BundleLedger
    private let devices: [DeviceID: Int]
    /// What was read, by device and receipt number; taken out when it is found.
    private var held: [[Int64: SpoolEntry]]
    private var found: [Set<Int64>]
    private(set) var report = AuditReport()

    init(ledger: BundleLedger) throws {
        self.ledger = ledger
        devices = Dictionary(
            ledger.run.devices.enumerated().map { ($0.element, $0.offset) },
            uniquingKeysWith: { first, _ in first })
        held = try ledger.spool.index(devices: ledger.run.devices.count).map { entries in
            var held: [Int64: SpoolEntry] = [:]
            for entry in entries {
                let text = try ledger.spool.read(entry)
                // What cannot be read was told by the audit of receipts.
                guard let glance = text.withUnsafeBytes({ ReceiptGlance($0) }) else { continue }
                if held[glance.sequence] == nil { held[glance.sequence] = entry }
            }
            return held
        }
        found = Array(repeating: [], count: held.count)
    }

    /// One row of `waybill.receipts`.
    mutating func judge(device id: DeviceID, sequence: Int64, document: [UInt8]) throws {
        guard let device = devices[id], let entry = held[device][sequence] else { return }
        guard found[device].insert(sequence).inserted else {
            add(.duplicated, device, document, "receipt \(sequence) is in the database twice")
            return
        }
        if try ledger.spool.read(entry) != document {
            add(
                .altered, device, try ledger.spool.read(entry),
                "receipt \(sequence) in the database is not the one that the device holds")
        }
    }

    /// Call once, after all rows.
    mutating func finish() throws {
        for device in held.indices {
            for (sequence, entry) in held[device].sorted(by: { $0.key < $1.key })
            where !found[device].contains(sequence) {
                add(
                    .lost, device, try ledger.spool.read(entry),
                    "receipt \(sequence), which the device holds, is not in the database")
            }
        }
    }

    private mutating func add(
        _ kind: Finding.Kind, _ device: Int, _ document: [UInt8], _ detail: String
    ) {
        report.add(
            Finding(
                kind: kind,
                bundle: document.withUnsafeBytes { ReceiptGlance($0) }?.bundleID.description,
                device: ledger.run.devices[device].description, detail: detail))
    }
}

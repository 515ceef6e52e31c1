internal import WaybillModel
internal import WaybillPostgres

/// The ends of one device's chains; locked until the transaction ends.
struct LockedProgress {
    let tenant: TenantID
    var receiptSequence: Int64
    var receiptHash: Digest256
    var deviceSequence: DeviceSequence
    var auditSequence: Int64
    var auditHash: Digest256

    /// Locks the devices' rows in the order of their ids.
    static func lock(
        _ devices: Set<DeviceID>, over connection: PostgresConnection
    ) throws(PostgresError) -> [DeviceID: LockedProgress] {
        let result = try connection.query(
            SettlingStatements.lockProgress, [.uuids(devices.map(\.words))])
        var progress: [DeviceID: LockedProgress] = [:]
        for row in result.rows {
            progress[DeviceID(try row.uuid(0))] = LockedProgress(
                tenant: TenantID(try row.int4(1)), receiptSequence: try row.int8(2),
                receiptHash: try row.digest(3),
                deviceSequence: DeviceSequence(
                    highest: try row.int8IfPresent(4), encodedGaps: try row.text(5)),
                auditSequence: try row.int8(6), auditHash: try row.digest(7))
        }
        return progress
    }

    static func update(
        _ rows: [(device: DeviceID, progress: LockedProgress)], over connection: PostgresConnection
    ) throws(PostgresError) {
        try connection.query(
            SettlingStatements.updateProgress,
            [
                .uuids(rows.map(\.device.words)),
                .int8s(rows.map(\.progress.receiptSequence)),
                .byteArrays(rows.map(\.progress.receiptHash.bytes)),
                .optionalInt8s(rows.map(\.progress.deviceSequence.highest)),
                .texts(rows.map(\.progress.deviceSequence.encodedGaps)),
                .int8s(rows.map(\.progress.auditSequence)),
                .byteArrays(rows.map(\.progress.auditHash.bytes)),
            ])
    }
}

/// A receipt that a bundle had before its batch.
struct EarlierReceipt {
    let sequence: Int64
    let bundleDigest: Digest256
    let state: BundleState
    let counts: OutcomeCounts

    static func find(
        _ bundles: [BundleKey], over connection: PostgresConnection
    ) throws(PostgresError) -> [BundleKey: EarlierReceipt] {
        let result = try connection.query(
            SettlingStatements.findReceipts,
            [.uuids(bundles.map(\.deviceID.words)), .uuids(bundles.map(\.bundleID.words))])
        var found: [BundleKey: EarlierReceipt] = [:]
        for row in result.rows {
            let key = BundleKey(
                deviceID: DeviceID(try row.uuid(0)), bundleID: BundleID(try row.uuid(1)))
            found[key] = EarlierReceipt(
                sequence: try row.int8(2), bundleDigest: try row.digest(3),
                state: try row.state(4),
                counts: OutcomeCounts(
                    accepted: Int(try row.int4(5)), duplicate: Int(try row.int4(6)),
                    rejected: Int(try row.int4(7)), conflict: Int(try row.int4(8))))
        }
        return found
    }
}

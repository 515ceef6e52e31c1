internal import WaybillModel
internal import WaybillPostgres

/// A rejected or conflicting line, sealed, on its way into `exceptions`.
struct SealedLine {
    /// Position of its bundle in the batch.
    let bundle: Int
    let note: ExceptionNote
    let sealed: [UInt8]

    /// What the line is sealed for.
    static func context(_ bundle: BundleKey, index: Int) -> String {
        "exception/\(bundle.deviceID)/\(bundle.bundleID)/\(index)"
    }

    static func insert(
        _ lines: [SealedLine], bundles: [BundleToSettle], rootKeyID: String,
        over connection: PostgresConnection
    ) throws(PostgresError) {
        let owners = lines.map { bundles[$0.bundle] }
        try connection.query(
            SettlingStatements.insertExceptions,
            [
                .uuids(owners.map(\.deviceID.words)),
                .uuids(owners.map(\.bundleID.words)),
                .int4s(lines.map { Int32(clamping: $0.note.index) }),
                .int4s(owners.map(\.tenant.number)),
                .optionalUUIDs(lines.map { $0.note.id?.words }),
                .texts(lines.map(\.note.outcome.rawValue)),
                .optionalTexts(lines.map { $0.note.code?.rawValue }),
                .optionalTexts(lines.map { $0.note.detail?.replacing("\0", with: "") }),
                .byteArrays(lines.map(\.sealed)),
                .text(rootKeyID),
            ])
    }
}

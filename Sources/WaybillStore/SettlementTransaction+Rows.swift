internal import WaybillModel
internal import WaybillPostgres

/// A receipt that this batch gives.
struct NewReceipt {
    /// Of its bundle in the batch.
    let ordinal: Int
    let content: ReceiptContent
    let signed: SignedReceipt
}

/// An audit row and its hash, which is costly.
struct NewAuditRow {
    let row: AuditRow
    let hash: Digest256

    fileprivate func write(to writer: inout CopyWriter) {
        writer.uuid(row.chain.words)
        writer.int8(row.sequence)
        writer.int4(row.tenant?.number ?? 0)
        writer.timestamp(row.recordedAt.microseconds)
        writer.text(row.node)
        writer.text(row.kind)
        writer.text(row.actor)
        if let subject = row.subject { writer.text(subject) } else { writer.null() }
        writer.text(row.details)
        writer.bytes(row.previous.words)
        writer.bytes(hash.words)
    }
}

/// The rows that every bundle gets: its receipt and its audit row.
extension SettlementTransaction {
    /// Below this, what a COPY costs to begin and to end outweighs its speed.
    private static let copyRowsMin = 32

    /// By COPY where it is allowed and worth it.
    func insertReceipts(_ receipts: [NewReceipt]) throws {
        guard !receipts.isEmpty else { return }
        guard context.canCopyDirectly, receipts.count >= Self.copyRowsMin else {
            return try insertReceiptsAsArrays(receipts)
        }
        try context.connection.copyIn(SettlingStatements.copyReceipts) { writer in
            for receipt in receipts {
                try writer.beginRow(columnCount: 17)
                write(receipt, to: &writer)
            }
        }
    }

    private func write(_ receipt: NewReceipt, to writer: inout CopyWriter) {
        let (content, signed) = (receipt.content, receipt.signed)
        let owner = bundles[receipt.ordinal]
        let counts = content.counts ?? OutcomeCounts()
        writer.uuid(owner.deviceID.words)
        writer.int8(signed.sequence)
        writer.int4(owner.tenant.number)
        writer.uuid(owner.bundleID.words)
        writer.bytes(owner.bundleDigest.words)
        writer.parameter(.int8s(owner.partByteCounts.map { Int64($0) }))
        writer.text(content.state.rawValue)
        if let code = content.code { writer.text(code.rawValue) } else { writer.null() }
        writer.int4(Int32(clamping: counts.accepted))
        writer.int4(Int32(clamping: counts.duplicate))
        writer.int4(Int32(clamping: counts.rejected))
        writer.int4(Int32(clamping: counts.conflict))
        writer.timestamp(content.settledAt.microseconds)
        writer.bytes(signed.hash.words)
        writer.text(signed.document)
        writer.text(context.signer.keyID)
        if let superseded = content.supersedes { writer.int8(superseded) } else { writer.null() }
    }

    private func insertReceiptsAsArrays(_ receipts: [NewReceipt]) throws(PostgresError) {
        let owners = receipts.map { bundles[$0.ordinal] }
        func counts(_ count: (OutcomeCounts) -> Int) -> PostgresParameter {
            .int4s(receipts.map { Int32(clamping: $0.content.counts.map(count) ?? 0) })
        }
        try context.connection.query(
            SettlingStatements.insertReceipts,
            [
                .uuids(owners.map(\.deviceID.words)),
                .int8s(receipts.map(\.signed.sequence)),
                .int4s(owners.map(\.tenant.number)),
                .uuids(owners.map(\.bundleID.words)),
                .byteArrays(owners.map(\.bundleDigest.bytes)),
                .texts(
                    owners.map {
                        "{" + $0.partByteCounts.map(String.init).joined(separator: ",") + "}"
                    }
                ),
                .texts(receipts.map(\.content.state.rawValue)),
                .optionalTexts(receipts.map { $0.content.code?.rawValue }),
                counts { $0.accepted }, counts { $0.duplicate }, counts { $0.rejected },
                counts { $0.conflict },
                .timestamps(receipts.map(\.content.settledAt.microseconds)),
                .byteArrays(receipts.map(\.signed.hash.bytes)),
                .texts(receipts.map(\.signed.document)),
                .text(context.signer.keyID),
                .optionalInt8s(receipts.map(\.content.supersedes)),
            ])
    }

    /// By COPY where it is allowed and worth it.
    func insert(audit entries: [NewAuditRow]) throws {
        guard !entries.isEmpty else { return }
        guard context.canCopyDirectly, entries.count >= Self.copyRowsMin else {
            return try insertAsArrays(audit: entries)
        }
        try context.connection.copyIn(SettlingStatements.copyAudit) { writer in
            for entry in entries {
                try writer.beginRow(columnCount: 11)
                entry.write(to: &writer)
            }
        }
    }

    private func insertAsArrays(audit entries: [NewAuditRow]) throws(PostgresError) {
        let rows = entries.map(\.row)
        try context.connection.query(
            SettlingStatements.insertAudit,
            [
                .uuids(rows.map(\.chain.words)),
                .int8s(rows.map(\.sequence)),
                .int4s(rows.map { $0.tenant?.number ?? 0 }),
                .timestamps(rows.map(\.recordedAt.microseconds)),
                .texts(rows.map(\.kind)),
                .texts(rows.map(\.actor)),
                .optionalTexts(rows.map(\.subject)),
                .texts(rows.map(\.details)),
                .byteArrays(rows.map(\.previous.bytes)),
                .byteArrays(entries.map(\.hash.bytes)),
                .text(context.node),
            ])
    }
}

internal import WaybillModel
internal import WaybillPostgres

extension SettlementTransaction {
    /// Writes what the batch leaves behind besides the transactions: kept lines, receipts, dead
    /// letters, audit rows, and the ends of the devices' chains.
    mutating func finish() throws -> [SettledBundle] {
        try flushSealedLines()
        let now = Timestamp.now
        var settled: [SettledBundle] = []
        var receipts: [NewReceipt] = []
        var audit: [NewAuditRow] = []
        audit.reserveCapacity(bundles.count)
        for (ordinal, bundle) in bundles.enumerated() {
            guard var ends = progress[bundle.deviceID] else { continue }
            if let result = repeated(ordinal, settled) {
                settled.append(result)
                if firstDigest(ordinal) != bundle.bundleDigest {
                    audit.append(
                        ends.audit(
                            bundle, kind: "bundle.repeated_with_other_bytes", at: now, context,
                            details: "{}"))
                }
            } else if let result = failedRetry(ordinal) {
                settled.append(result)
                audit.append(
                    ends.audit(
                        bundle, kind: "dead_letter.retry_failed", at: now, context,
                        details: String(
                            decoding: CanonicalJSON.encode(.object(retryDetails(bundle))),
                            as: UTF8.self)))
            } else {
                let content = receiptContent(ordinal, at: now)
                let signed = try context.signer.sign(
                    content, sequence: ends.receiptSequence + 1, previous: ends.receiptHash)
                ends.receiptSequence = signed.sequence
                ends.receiptHash = signed.hash
                if let number = bundle.deviceSequence { ends.deviceSequence.note(number) }
                audit.append(
                    ends.audit(
                        bundle, kind: "bundle.\(content.state.rawValue)", at: now, context,
                        details: auditDetails(bundle, content, signed)))
                receipts.append(NewReceipt(ordinal: ordinal, content: content, signed: signed))
                settled.append(
                    SettledBundle(
                        ordinal: ordinal, isRepeat: false, receiptSequence: signed.sequence,
                        counts: content.counts ?? OutcomeCounts(), state: content.state))
            }
            progress[bundle.deviceID] = ends
        }
        try supersede(receipts)
        try insertReceipts(receipts)
        try noteFailedRetries()
        try insertDeadLetters(receipts)
        try insert(audit: audit)
        let changed = Set(audit.map(\.row.chain))
        try updateProgress(of: changed)
        return settled
    }

    /// The result of a bundle that has its receipt already, or gets it earlier in this batch.
    private func repeated(_ ordinal: Int, _ settled: [SettledBundle]) -> SettledBundle? {
        if let receipt = earlierReceipts[ordinal] {
            return SettledBundle(
                ordinal: ordinal, isRepeat: true, receiptSequence: receipt.sequence,
                counts: receipt.counts, state: receipt.state)
        }
        guard let first = sameAsEarlier[ordinal] else { return nil }
        return SettledBundle(
            ordinal: ordinal, isRepeat: true, receiptSequence: settled[first].receiptSequence,
            counts: settled[first].counts, state: settled[first].state)
    }

    private func firstDigest(_ ordinal: Int) -> Digest256? {
        earlierReceipts[ordinal]?.bundleDigest
            ?? sameAsEarlier[ordinal].map { bundles[$0].bundleDigest }
    }

    private func receiptContent(_ ordinal: Int, at now: Timestamp) -> ReceiptContent {
        let bundle = bundles[ordinal]
        var content = ReceiptContent(
            deviceID: bundle.deviceID, bundleID: bundle.bundleID,
            bundleDigest: bundle.bundleDigest, state: .settled, settledAt: now)
        switch bundle.verdict {
        case .transactions:
            var counts = OutcomeCounts(accepted: acceptedCounts[ordinal])
            for note in notes[ordinal] {
                switch note.outcome {
                case .accepted: counts.accepted += 1
                case .duplicate: counts.duplicate += 1
                case .rejected: counts.rejected += 1
                case .conflict: counts.conflict += 1
                }
            }
            content.counts = counts
            content.exceptions = ReceiptFolding.fold(notes[ordinal])
            content.supersedes = superseded[ordinal]?.sequence
        case .quarantined(let code, _, _):
            content.state = .quarantined
            content.code = code
            content.detail = code.summary
        }
        return content
    }

    /// A JSON object, its members in order of their names.
    private func auditDetails(
        _ bundle: BundleToSettle, _ content: ReceiptContent, _ signed: SignedReceipt
    ) -> String {
        var details = MemberWriter(capacity: 640)
        details.number("attempt", Int64(bundle.attempt))
        details.text("bundle_sha256", bundle.bundleDigest.description)
        details.number("bytes", Int64(bundle.byteCount))
        if let code = content.code { details.text("code", code.rawValue) }
        if let counts = content.counts { details.raw("counts", counts.canonicalText) }
        if case .quarantined(_, let detail, _) = bundle.verdict {
            details.text("detail", String(detail.prefix(200)))
        }
        details.number("epoch", Int64(bundle.epoch))
        details.text("leased_at", bundle.leasedAt.description)
        details.text("opened_at", bundle.openedAt.description)
        details.number("parts", Int64(bundle.partCount))
        details.text("received_at", bundle.receivedAt.description)
        details.number("seq", signed.sequence)
        details.text("settled_at", content.settledAt.description)
        if let source = bundle.source { details.text("source", source) }
        details.text("started_at", bundle.startedAt.description)
        if let seq = content.supersedes { details.number("supersedes", seq) }
        details.number("transactions", Int64(bundle.transactionCount))
        return String(decoding: details.finish(), as: UTF8.self)
    }

    private func insertDeadLetters(
        _ receipts: [NewReceipt]
    ) throws(PostgresError) {
        let letters = receipts.compactMap {
            receipt -> (Int, SignedReceipt, String, String, DeadLetterFile)? in
            guard
                case .quarantined(let code, let detail, let file?) = bundles[receipt.ordinal]
                    .verdict
            else { return nil }
            let text = String(detail.prefix(200)).replacing("\0", with: "")
            return (receipt.ordinal, receipt.signed, code.rawValue, text, file)
        }
        guard !letters.isEmpty else { return }
        let owners = letters.map { bundles[$0.0] }
        try context.connection.query(
            SettlingStatements.insertDeadLetters,
            [
                .uuids(letters.map(\.4.id.words)),
                .int4s(owners.map(\.tenant.number)),
                .uuids(owners.map(\.deviceID.words)),
                .uuids(owners.map(\.bundleID.words)),
                .int8s(letters.map(\.1.sequence)),
                .texts(letters.map(\.2)),
                .texts(letters.map(\.3)),
                .texts(letters.map(\.4.name)),
                .int8s(letters.map { Int64($0.4.byteCount) }),
                .int4s(owners.map { Int32(clamping: max(0, $0.epoch)) }),
                .text(context.node),
            ])
    }

    private func updateProgress(of devices: Set<DeviceID>) throws(PostgresError) {
        let rows = devices.compactMap { device in progress[device].map { (device, $0) } }
        guard !rows.isEmpty else { return }
        try LockedProgress.update(
            rows.map { (device: $0.0, progress: $0.1) }, over: context.connection)
    }
}

extension LockedProgress {
    /// Makes the device's next audit row and moves the end of its chain there.
    fileprivate mutating func audit(
        _ bundle: BundleToSettle, kind: String, at now: Timestamp, _ context: SettlementContext,
        details: String
    ) -> NewAuditRow {
        let row = AuditRow(
            chain: bundle.deviceID, sequence: auditSequence + 1, tenant: bundle.tenant,
            recordedAt: now, node: context.node, kind: kind, actor: "listener",
            subject: bundle.bundleID.description, details: details, previous: auditHash)
        auditSequence = row.sequence
        auditHash = row.hash(context.auditKey)
        return NewAuditRow(row: row, hash: auditHash)
    }
}

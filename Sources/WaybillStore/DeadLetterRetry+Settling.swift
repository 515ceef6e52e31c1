internal import WaybillModel
internal import WaybillPostgres

extension DeadLetterRetry {
    /// Locks the dead letters of the bundles that are tried again; those that are still open.
    static func lock(
        _ bundles: [BundleToSettle], over connection: PostgresConnection
    ) throws(PostgresError) -> Set<DeadLetterID> {
        let ids = bundles.compactMap { $0.retryOf?.deadLetterID }
        guard !ids.isEmpty else { return [] }
        let result = try connection.query(
            SettlingStatements.lockDeadLetters, [.uuids(ids.map(\.words))])
        var open: Set<DeadLetterID> = []
        for row in result.rows where try row.bool(1) { open.insert(DeadLetterID(try row.uuid(0))) }
        return open
    }
}

extension SettlementTransaction {
    /// The result of a dead letter that was tried again and failed again: no receipt, its bytes stay.
    func failedRetry(_ ordinal: Int) -> SettledBundle? {
        guard let receipt = superseded[ordinal], case .quarantined = bundles[ordinal].verdict else {
            return nil
        }
        return SettledBundle(
            ordinal: ordinal, isRepeat: true, receiptSequence: receipt.sequence,
            counts: receipt.counts, state: .quarantined)
    }

    /// For the audit row of a failed retry.
    func retryDetails(_ bundle: BundleToSettle) -> [String: JSONValue] {
        guard let retry = bundle.retryOf,
            case .quarantined(let code, let detail, _) = bundle.verdict
        else { return [:] }
        return [
            "dead_letter": .string(retry.deadLetterID.description),
            "seq": .number(Double(retry.receiptSequence)), "code": .string(code.rawValue),
            "detail": .string(String(detail.prefix(200))),
        ]
    }

    /// Marks receipts that new ones take the place of, and resolves their dead letters.
    func supersede(
        _ receipts: [NewReceipt]
    ) throws(PostgresError) {
        let successes = receipts.filter { $0.content.supersedes != nil }
        guard !successes.isEmpty else { return }
        try context.connection.query(
            SettlingStatements.supersedeReceipts,
            [
                .uuids(successes.map(\.content.deviceID.words)),
                .int8s(successes.compactMap(\.content.supersedes)),
                .int8s(successes.map(\.signed.sequence)),
            ])
        let letters = successes.compactMap { bundles[$0.ordinal].retryOf?.deadLetterID }
        try context.connection.query(
            SettlingStatements.resolveDeadLetters, [.uuids(letters.map(\.words))])
    }

    /// Counts the retries that failed, and keeps why.
    func noteFailedRetries() throws(PostgresError) {
        var ids: [DeadLetterID] = []
        var errors: [String] = []
        for ordinal in superseded.keys.sorted() {
            guard let retry = bundles[ordinal].retryOf,
                case .quarantined(let code, let detail, _) = bundles[ordinal].verdict
            else { continue }
            ids.append(retry.deadLetterID)
            errors.append(
                "\(code.rawValue): " + String(detail.prefix(200)).replacing("\0", with: ""))
        }
        guard !ids.isEmpty else { return }
        try context.connection.query(
            SettlingStatements.noteFailedRetries, [.uuids(ids.map(\.words)), .texts(errors)])
    }
}

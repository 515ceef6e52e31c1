internal import WaybillModel
internal import WaybillPostgres

/// What every settlement of one settler works with.
struct SettlementContext {
    let connection: PostgresConnection
    /// False under row-level security, which COPY does not work with.
    let canCopyDirectly: Bool
    let rootKey: RootKey
    let auditKey: KeyedHash
    let signer: ReceiptSigner
    let node: String
}

/// An open settlement: takes the lines of the batch's bundles, and decides what becomes of each.
package struct SettlementTransaction {
    /// Positions in the batch of bundles that need no lines: they have a receipt, or stand in the
    /// batch before.
    package let alreadySettled: Set<Int>

    let context: SettlementContext
    let bundles: [BundleToSettle]
    /// Ends of the devices' chains, as locked.
    var progress: [DeviceID: LockedProgress]
    /// Receipts from before this batch, by position in it.
    let earlierReceipts: [Int: EarlierReceipt]
    /// Position of the same bundle earlier in the batch.
    let sameAsEarlier: [Int: Int]
    /// Receipts of bundles that are tried again, by position: what a success supersedes.
    let superseded: [Int: EarlierReceipt]
    var history: InsertionHistory

    /// Of each bundle: how many lines were stored, and what became of the others.
    private(set) var acceptedCounts: [Int]
    private(set) var notes: [[ExceptionNote]]
    private var sealedLines: [SealedLine] = []
    private var sealedByteCount = 0

    private static let sealedBytesMax = 4 << 20

    init(
        _ bundles: [BundleToSettle], context: SettlementContext, history: InsertionHistory
    ) throws {
        self.bundles = bundles
        self.context = context
        self.history = history
        progress = try LockedProgress.lock(
            Set(bundles.map(\.deviceID)), over: context.connection)
        for bundle in bundles where progress[bundle.deviceID]?.tenant != bundle.tenant {
            throw StoreError.unknownDevice
        }
        let found = try EarlierReceipt.find(bundles.map(\.key), over: context.connection)
        let open = try DeadLetterRetry.lock(bundles, over: context.connection)
        var earlier: [Int: EarlierReceipt] = [:]
        var retried: [Int: EarlierReceipt] = [:]
        var same: [Int: Int] = [:]
        var first: [BundleKey: Int] = [:]
        for (ordinal, bundle) in bundles.enumerated() {
            if let receipt = found[bundle.key] {
                if let retry = bundle.retryOf, open.contains(retry.deadLetterID),
                    retry.receiptSequence == receipt.sequence, first[bundle.key] == nil
                {
                    retried[ordinal] = receipt
                    first[bundle.key] = ordinal
                } else {
                    earlier[ordinal] = receipt
                }
            } else if let before = first[bundle.key] {
                same[ordinal] = before
            } else {
                first[bundle.key] = ordinal
            }
        }
        earlierReceipts = earlier
        sameAsEarlier = same
        superseded = retried
        alreadySettled = Set(earlier.keys).union(same.keys)
        acceptedCounts = Array(repeating: 0, count: bundles.count)
        notes = Array(repeating: [], count: bundles.count)
    }

    /// Stores valid transactions, and finds out which were there before.
    ///
    /// Of equal ids in the batch the one in the earlier bundle, or with the lower index, comes first,
    /// as long as calls come in bundle order. Rows of ``alreadySettled`` bundles are ignored.
    ///
    /// - Throws: errors of the database; the settlement is to be given up then.
    package mutating func insert(_ rows: [TransactionRow]) throws {
        let wanted =
            alreadySettled.isEmpty ? rows : rows.filter { !alreadySettled.contains($0.bundle) }
        let order = self.order(of: wanted)
        var groups = groupsOfEqualIDs(order)
        while !groups.isEmpty {
            let leaders = groups.map { order[$0.lowerBound].position }
            var insertion = TransactionInsertion(
                wanted, context: context, bundles: bundles, history: history)
            let fates = try insertion.store(leaders)
            history = insertion.history
            var left: [Range<Int>] = []
            for (place, group) in groups.enumerated() {
                let followers = group.dropFirst()
                switch fates[place] {
                case .stored:
                    acceptedCounts[wanted[leaders[place]].bundle] += 1
                    guard !followers.isEmpty else { continue }
                    try compare(
                        followers.map { wanted[order[$0].position] },
                        with: wanted[leaders[place]].contentHash)
                case .foundStored(let hash):
                    try compare(group.map { wanted[order[$0].position] }, with: hash)
                case .refused(let state):
                    try noteRefused(wanted[leaders[place]], sqlState: state)
                    // It never claimed its id: the next one of that id may.
                    if !followers.isEmpty { left.append(followers) }
                }
            }
            groups = left
        }
    }

    /// Takes note of lines that are not valid transactions; their content is kept, sealed.
    package mutating func reject(_ lines: [RejectedLine]) throws {
        for line in lines where !alreadySettled.contains(line.bundle) {
            let note = ExceptionNote(
                index: line.index, id: line.id, outcome: .rejected, code: line.code,
                detail: line.detail.isEmpty ? nil : String(line.detail.prefix(200)))
            try keep(note, of: line.bundle, raw: line.raw)
        }
    }

    /// Writes lines that are still in memory.
    mutating func flushSealedLines() throws {
        guard !sealedLines.isEmpty else { return }
        try SealedLine.insert(
            sealedLines, bundles: bundles, rootKeyID: context.rootKey.keyID,
            over: context.connection)
        sealedLines = []
        sealedByteCount = 0
    }

    /// What rows are sorted by, without the rows.
    private struct SortKey {
        let id: TransactionID
        let tenant: Int32
        /// Of the row in its array.
        let position: Int
    }

    /// By tenant and id; rows of one id in batch order.
    private func order(of rows: [TransactionRow]) -> [SortKey] {
        let tenants = bundles.map(\.tenant.number)
        var keys: [SortKey] = []
        keys.reserveCapacity(rows.count)
        for position in rows.indices {
            keys.append(
                SortKey(
                    id: rows[position].id, tenant: tenants[rows[position].bundle],
                    position: position))
        }
        keys.sort { left, right in
            if left.tenant != right.tenant { return left.tenant < right.tenant }
            if left.id.high != right.id.high { return left.id.high < right.id.high }
            if left.id.low != right.id.low { return left.id.low < right.id.low }
            let (first, second) = (rows[left.position], rows[right.position])
            return first.bundle == second.bundle
                ? first.index < second.index : first.bundle < second.bundle
        }
        return keys
    }

    /// Ranges of keys with one tenant and id.
    private func groupsOfEqualIDs(_ order: [SortKey]) -> [Range<Int>] {
        var groups: [Range<Int>] = []
        groups.reserveCapacity(order.count)
        var start = 0
        for position in order.indices {
            let next = position + 1
            if next < order.count, order[next].id == order[position].id,
                order[next].tenant == order[position].tenant
            {
                continue
            }
            groups.append(start..<next)
            start = next
        }
        return groups
    }

    private mutating func compare(
        _ rows: [TransactionRow], with stored: Digest256
    ) throws {
        for row in rows {
            let isSame = row.contentHash == stored
            let note = ExceptionNote(
                index: row.index, id: row.id, outcome: isSame ? .duplicate : .conflict, code: nil,
                detail: nil)
            if isSame {
                notes[row.bundle].append(note)
            } else {
                try keep(note, of: row.bundle, raw: row.texts.line)
            }
        }
    }

    private mutating func noteRefused(_ row: TransactionRow, sqlState: String) throws {
        let note = ExceptionNote(
            index: row.index, id: row.id, outcome: .rejected, code: .unstorable,
            detail: "PostgreSQL cannot store it (\(sqlState))")
        try keep(note, of: row.bundle, raw: row.texts.line)
    }

    private mutating func keep(
        _ note: ExceptionNote, of bundle: Int, raw: ArraySlice<UInt8>
    ) throws {
        notes[bundle].append(note)
        let sealed = try context.rootKey.seal(
            raw, context: SealedLine.context(bundles[bundle].key, index: note.index))
        sealedLines.append(SealedLine(bundle: bundle, note: note, sealed: sealed))
        sealedByteCount += sealed.count
        if sealedByteCount >= Self.sealedBytesMax { try flushSealedLines() }
    }
}

internal import WaybillModel
internal import WaybillPostgres

/// What every settlement of one settler works with.
struct SettlementContext {
    let connection: PostgresConnection
    /// False under row-level security, which COPY does not work with.
    let canCopyDirectly: Bool
    let rootKey: RootKey
    let auditKey: [UInt8]
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
            throw StoreError.invalid("device of a bundle: unknown, or of another tenant")
        }
        let found = try EarlierReceipt.find(bundles.map(\.key), over: context.connection)
        var earlier: [Int: EarlierReceipt] = [:]
        var same: [Int: Int] = [:]
        var first: [BundleKey: Int] = [:]
        for (ordinal, bundle) in bundles.enumerated() {
            if let receipt = found[bundle.key] {
                earlier[ordinal] = receipt
            } else if let before = first[bundle.key] {
                same[ordinal] = before
            } else {
                first[bundle.key] = ordinal
            }
        }
        earlierReceipts = earlier
        sameAsEarlier = same
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
        let wanted = rows.filter { !alreadySettled.contains($0.bundle) }
        var groups = groupsOfEqualIDs(wanted)
        while !groups.isEmpty {
            let leaders = groups.map { wanted[$0[$0.startIndex]] }
            var insertion = TransactionInsertion(
                context: context, bundles: bundles, history: history)
            let fates = try insertion.store(leaders)
            history = insertion.history
            var left: [ArraySlice<Int>] = []
            for (position, group) in groups.enumerated() {
                let leader = leaders[position]
                switch fates[position] {
                case .stored:
                    acceptedCounts[leader.bundle] += 1
                    try compare(group.dropFirst().map { wanted[$0] }, with: leader.contentHash)
                case .foundStored(let hash):
                    try compare(group.map { wanted[$0] }, with: hash)
                case .refused(let state):
                    try noteRefused(leader, sqlState: state)
                    // It never claimed its id: the next one of that id may.
                    if group.count > 1 { left.append(group.dropFirst()) }
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

    /// Positions of rows with one tenant and id, in batch order; groups in the order of their keys.
    private func groupsOfEqualIDs(_ rows: [TransactionRow]) -> [ArraySlice<Int>] {
        let tenants = bundles.map(\.tenant)
        let order = rows.indices.sorted { left, right in
            let (a, b) = (rows[left], rows[right])
            let (tenantA, tenantB) = (tenants[a.bundle], tenants[b.bundle])
            if tenantA != tenantB { return tenantA < tenantB }
            if a.id != b.id { return a.id < b.id }
            return a.bundle == b.bundle ? a.index < b.index : a.bundle < b.bundle
        }
        var groups: [ArraySlice<Int>] = []
        groups.reserveCapacity(order.count)
        var start = 0
        for position in order.indices {
            let next = position + 1
            if next < order.count {
                let (a, b) = (rows[order[position]], rows[order[next]])
                if a.id == b.id, tenants[a.bundle] == tenants[b.bundle] { continue }
            }
            groups.append(order[start..<next])
            start = next
        }
        return groups
    }

    private mutating func compare(
        _ rows: some Collection<TransactionRow>, with stored: Digest256
    ) throws {
        for row in rows {
            let isSame = row.contentHash == stored
            let note = ExceptionNote(
                index: row.index, id: row.id, outcome: isSame ? .duplicate : .conflict, code: nil,
                detail: nil)
            if isSame {
                notes[row.bundle].append(note)
            } else {
                try keep(note, of: row.bundle, raw: row.raw)
            }
        }
    }

    private mutating func noteRefused(_ row: TransactionRow, sqlState: String) throws {
        let note = ExceptionNote(
            index: row.index, id: row.id, outcome: .rejected, code: .unstorable,
            detail: "PostgreSQL cannot store it (\(sqlState))")
        try keep(note, of: row.bundle, raw: row.raw)
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

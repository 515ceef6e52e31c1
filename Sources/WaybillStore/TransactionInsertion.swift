internal import WaybillModel
internal import WaybillPostgres

/// What became of one row that was to be stored.
enum InsertionFate {
    case stored
    /// The id was there before, with this content hash.
    case foundStored(Digest256)
    /// The server refuses the row for its content.
    case refused(sqlState: String)
}

/// What a settler remembers of its insertions, to choose the faster way next time.
struct InsertionHistory {
    /// Insertions since one last met an id that was there before.
    var insertionsSinceDuplicate = duplicateFreeMin

    /// A COPY that meets a duplicate is thrown away; after so many without any it is worth trying.
    static let duplicateFreeMin = 4

    var expectsDuplicates: Bool { insertionsSinceDuplicate < Self.duplicateFreeMin }
}

/// Stores rows with distinct keys, sorted by tenant and id, by the fastest way that works.
///
/// - COPY into the table itself, unless the rows are very few.
/// - If an id was there before (23505), or that is to be expected: arrays as parameters of one
///   `INSERT … ON CONFLICT DO NOTHING`; for many rows COPY into a temporary table and an
///   `INSERT … SELECT … ON CONFLICT DO NOTHING` from there.
///
/// Each way runs under a savepoint. If the server refuses a row for its content, the rows are halved
/// until that row stands alone.
struct TransactionInsertion {
    let context: SettlementContext
    let bundles: [BundleToSettle]
    private(set) var history: InsertionHistory
    /// Known by their position.
    private let rows: [TransactionRow]

    init(
        _ rows: [TransactionRow], context: SettlementContext, bundles: [BundleToSettle],
        history: InsertionHistory
    ) {
        self.rows = rows
        self.context = context
        self.bundles = bundles
        self.history = history
    }

    /// Below this, what a COPY costs to begin and to end outweighs its speed.
    static let copyRowsMin = 64
    /// From this on, staging costs less than arrays.
    static let stagedRowsMin = 1000
    /// Arrays of this size are not worth holding in memory.
    static let arrayBytesMax = 8 << 20

    private struct Key: Hashable {
        let tenant: Int32
        let id: UUIDWords
    }

    private struct Row {
        /// Among those to be stored.
        let place: Int
        /// In `rows`.
        let position: Int
        let key: Key
    }

    /// - Parameter positions: of rows sorted by tenant and id, no key twice.
    /// - Returns: a fate for each, in the same order.
    mutating func store(_ positions: [Int]) throws -> [InsertionFate] {
        var keyed: [Row] = []
        keyed.reserveCapacity(positions.count)
        for (place, position) in positions.enumerated() {
            keyed.append(
                Row(
                    place: place, position: position,
                    key: Key(
                        tenant: bundles[rows[position].bundle].tenant.number,
                        id: rows[position].id.words)))
        }
        var fates = [InsertionFate?](repeating: nil, count: keyed.count)
        try store(keyed[...], &fates)
        let notInserted = keyed.filter { fates[$0.place] == nil }
        if notInserted.isEmpty {
            history.insertionsSinceDuplicate += 1
        } else {
            history.insertionsSinceDuplicate = 0
            let stored = try findStored(notInserted)
            for row in notInserted {
                guard let hash = stored[row.key] else {
                    // Ids are never deleted, and the insertion waited for whoever held this one.
                    throw PostgresError.unexpectedResult("an id that conflicts is not there")
                }
                fates[row.place] = .foundStored(hash)
            }
        }
        return fates.compactMap(\.self)
    }

    private mutating func store(_ rows: ArraySlice<Row>, _ fates: inout [InsertionFate?]) throws {
        guard !rows.isEmpty else { return }
        do {
            guard let inserted = try insert(rows) else {
                for row in rows { fates[row.place] = .stored }
                return
            }
            for row in rows where inserted.contains(row.key) { fates[row.place] = .stored }
        } catch let error as PostgresError {
            guard let state = error.sqlState, Self.isAboutContent(state) else { throw error }
            if rows.count == 1, let row = rows.first {
                fates[row.place] = .refused(sqlState: state)
                return
            }
            let middle = rows.startIndex + rows.count / 2
            try store(rows[..<middle], &fates)
            try store(rows[middle...], &fates)
        }
    }

    /// The keys that were inserted; nil if all were.
    private mutating func insert(_ rows: ArraySlice<Row>) throws -> Set<Key>? {
        let connection = context.connection
        let isSmall = isSmall(rows)
        if rows.count >= Self.copyRowsMin || !isSmall, context.canCopyDirectly,
            !history.expectsDuplicates
        {
            do {
                try connection.savepoint {
                    try copy(rows, SettlingStatements.copyTransactions)
                }
                return nil
            } catch let error as PostgresError where error.sqlState == "23505" {
                history.insertionsSinceDuplicate = 0
            }
        }
        if isSmall {
            return try connection.savepoint {
                try keys(
                    of: connection.query(
                        SettlingStatements.insertTransactions, parameters(for: rows)),
                    expected: rows.count)
            }
        }
        return try connection.savepoint {
            try copy(rows, SettlingStatements.copyStaged)
            let inserted = try keys(
                of: connection.query(SettlingStatements.insertStaged), expected: rows.count)
            try connection.execute(SettlingStatements.emptyStaging)
            return inserted
        }
    }

    private func isSmall(_ rows: ArraySlice<Row>) -> Bool {
        rows.count < Self.stagedRowsMin
            && rows.reduce(0) { $0 + self.rows[$1.position].texts.contentByteCount }
                < Self.arrayBytesMax
    }

    private func keys(
        of result: PostgresResult, expected: Int
    ) throws(PostgresError) -> Set<Key>? {
        if result.count == expected { return nil }
        var keys: Set<Key> = []
        keys.reserveCapacity(result.count)
        for row in result.rows {
            keys.insert(Key(tenant: try row.int4(0), id: try row.uuid(1)))
        }
        return keys
    }

    private func findStored(_ rows: [Row]) throws -> [Key: Digest256] {
        let result = try context.connection.query(
            SettlingStatements.findStored,
            [.int4s(rows.map(\.key.tenant)), .uuids(rows.map(\.key.id))])
        var stored: [Key: Digest256] = [:]
        for row in result.rows {
            guard try row.int2(2) == context.rootKey.contentKeyID else {
                throw StoreError.invalid("content key: a row was hashed under another one")
            }
            stored[Key(tenant: try row.int4(0), id: try row.uuid(1))] = try row.digest(3)
        }
        return stored
    }

    /// Whether a row is refused for what the device wrote, not for how this program sent it.
    private static func isAboutContent(_ state: String) -> Bool {
        // 22P03 and 22P04 are a malformed binary value and COPY file: ours, not the device's. 23514 is
        // a check, 54000 a value too large for its type, 54001 one nested too deep.
        (state.hasPrefix("22") && state != "22P03" && state != "22P04")
            || ["23514", "54000", "54001"].contains(state)
    }

    private func parameters(for part: ArraySlice<Row>) -> [PostgresParameter] {
        let (rows, bundles) = (rows, bundles)
        func each<Value>(_ value: (TransactionRow) -> Value) -> [Value] {
            part.map { value(rows[$0.position]) }
        }
        return [
            .int4s(part.map(\.key.tenant)),
            .uuids(part.map(\.key.id)),
            .uuids(each { bundles[$0.bundle].deviceID.words }),
            .uuids(each { bundles[$0.bundle].bundleID.words }),
            .int4s(each { Int32(clamping: $0.index) }),
            .timestamps(each { $0.occurredAt.microseconds }),
            .int2s(each { $0.offsetMinutes }),
            .int2s([Int16](repeating: context.rootKey.contentKeyID, count: part.count)),
            .byteArrays(each { $0.contentHash.bytes }),
            .texts(each { $0.texts.typeText }),
            .optionalTexts(each { $0.texts.actorText }),
            .optionalJSONBs(each { $0.texts.json }),
            .optionalTexts(each { $0.texts.contentTypeText }),
            .optionalByteArrays(each { $0.texts.body }),
        ]
    }

    private func copy(_ part: ArraySlice<Row>, _ statement: PostgresStatement) throws {
        let keyID = context.rootKey.contentKeyID
        let words = bundles.map { (device: $0.deviceID.words, bundle: $0.bundleID.words) }
        try context.connection.copyIn(statement) { writer in
            for entry in part {
                try writer.beginRow(columnCount: 14)
                Self.write(rows[entry.position], entry.key, words, keyID, to: &writer)
            }
        }
    }

    private static func write(
        _ row: TransactionRow, _ key: Key, _ bundles: [(device: UUIDWords, bundle: UUIDWords)],
        _ keyID: Int16, to writer: inout CopyWriter
    ) {
        let bundle = bundles[row.bundle]
        writer.int4(key.tenant)
        writer.uuid(key.id)
        writer.uuid(bundle.device)
        writer.uuid(bundle.bundle)
        writer.int4(Int32(clamping: row.index))
        writer.timestamp(row.occurredAt.microseconds)
        writer.int2(row.offsetMinutes)
        writer.int2(keyID)
        writer.bytes(row.contentHash.words)
        row.texts.write(to: &writer)
    }
}

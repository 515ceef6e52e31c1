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
/// - Few rows: arrays as parameters of one `INSERT … ON CONFLICT DO NOTHING`.
/// - Many: COPY into the table itself; if an id was there before (23505), or that is to be expected,
///   COPY into a temporary table and an `INSERT … SELECT … ON CONFLICT DO NOTHING` from there.
///
/// Each way runs under a savepoint. If the server refuses a row for its content, the rows are halved
/// until that row stands alone.
struct TransactionInsertion {
    let context: SettlementContext
    let bundles: [BundleToSettle]
    private(set) var history: InsertionHistory
    /// Those that ``store(_:)`` was given; moved about by position, since they are large.
    private var rows: [TransactionRow] = []

    init(context: SettlementContext, bundles: [BundleToSettle], history: InsertionHistory) {
        self.context = context
        self.bundles = bundles
        self.history = history
    }

    /// Below this, what a COPY costs to begin and to end outweighs its speed.
    static let copyRowsMin = 1000
    /// Arrays of this size are not worth holding in memory.
    static let arrayBytesMax = 8 << 20

    private struct Key: Hashable {
        let tenant: Int32
        let id: UUIDWords
    }

    private struct Row {
        let position: Int
        let key: Key
    }

    /// - Parameter rows: sorted by tenant and id, no key twice.
    /// - Returns: a fate for each row, in the same order.
    mutating func store(_ rows: [TransactionRow]) throws -> [InsertionFate] {
        self.rows = rows
        let keyed = rows.indices.map { position in
            Row(
                position: position,
                key: Key(
                    tenant: bundles[rows[position].bundle].tenant.number,
                    id: rows[position].id.words))
        }
        var fates = [InsertionFate?](repeating: nil, count: rows.count)
        try store(keyed[...], &fates)
        let notInserted = keyed.filter { fates[$0.position] == nil }
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
                fates[row.position] = .foundStored(hash)
            }
        }
        return fates.compactMap(\.self)
    }

    private mutating func store(_ rows: ArraySlice<Row>, _ fates: inout [InsertionFate?]) throws {
        guard !rows.isEmpty else { return }
        do {
            guard let inserted = try insert(rows) else {
                for row in rows { fates[row.position] = .stored }
                return
            }
            for row in rows where inserted.contains(row.key) { fates[row.position] = .stored }
        } catch let error as PostgresError {
            guard let state = error.sqlState, Self.isAboutContent(state) else { throw error }
            if rows.count == 1, let row = rows.first {
                fates[row.position] = .refused(sqlState: state)
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
        let isSmall =
            rows.count < Self.copyRowsMin
            && rows.reduce(0) { $0 + self.rows[$1.position].contentByteCount } < Self.arrayBytesMax
        if isSmall {
            return try connection.savepoint {
                try keys(
                    of: connection.query(
                        SettlingStatements.insertTransactions, parameters(for: rows)),
                    expected: rows.count)
            }
        }
        if context.canCopyDirectly, !history.expectsDuplicates {
            do {
                try connection.savepoint {
                    try copy(rows, SettlingStatements.copyTransactions)
                }
                return nil
            } catch let error as PostgresError where error.sqlState == "23505" {
                history.insertionsSinceDuplicate = 0
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
        let keyID = context.rootKey.contentKeyID
        let (rows, bundles) = (rows, bundles)
        let positions = part.lazy.map(\.position)
        return [
            .int4s(part.lazy.map(\.key.tenant)),
            .uuids(part.lazy.map(\.key.id)),
            .uuids(positions.map { bundles[rows[$0].bundle].deviceID.words }),
            .uuids(positions.map { bundles[rows[$0].bundle].bundleID.words }),
            .int4s(positions.map { Int32(clamping: rows[$0].index) }),
            .timestamps(positions.map { rows[$0].occurredAt.microseconds }),
            .int2s(positions.map { Int16(clamping: rows[$0].offsetMinutes) }),
            .int2s(repeatElement(keyID, count: part.count)),
            .byteArrays(positions.map { rows[$0].contentHash.bytes }),
            .texts(positions.map { rows[$0].type }),
            .optionalTexts(positions.map { rows[$0].actor }),
            .optionalJSONBs(positions.map { rows[$0].content.json }),
            .optionalTexts(positions.map { rows[$0].content.contentType }),
            .optionalByteArrays(positions.map { rows[$0].content.body }),
        ]
    }

    private func copy(_ part: ArraySlice<Row>, _ statement: PostgresStatement) throws {
        let keyID = context.rootKey.contentKeyID
        let words = bundles.map { ($0.deviceID.words, $0.bundleID.words) }
        try context.connection.copyIn(statement) { writer in
            for entry in part {
                let row = rows[entry.position]
                try writer.beginRow(columnCount: 14)
                writer.int4(entry.key.tenant)
                writer.uuid(entry.key.id)
                writer.uuid(words[row.bundle].0)
                writer.uuid(words[row.bundle].1)
                writer.int4(Int32(clamping: row.index))
                writer.timestamp(row.occurredAt.microseconds)
                writer.int2(Int16(clamping: row.offsetMinutes))
                writer.int2(keyID)
                writer.bytes(row.contentHash.bytes)
                writer.text(row.type)
                if let actor = row.actor { writer.text(actor) } else { writer.null() }
                switch row.content {
                case .json(let text):
                    writer.jsonb(text)
                    writer.null()
                    writer.null()
                case .body(let contentType, let bytes):
                    writer.null()
                    writer.text(contentType)
                    writer.bytes(bytes)
                }
            }
        }
    }
}

extension TransactionRow.Content {
    fileprivate var json: ArraySlice<UInt8>? {
        guard case .json(let text) = self else { return nil }
        return text
    }

    fileprivate var contentType: String? {
        guard case .body(let contentType, _) = self else { return nil }
        return contentType
    }

    fileprivate var body: [UInt8]? {
        guard case .body(_, let bytes) = self else { return nil }
        return bytes
    }
}

internal import WaybillModel
internal import WaybillPostgres

/// A row of `waybill.transactions` as the database has it.
struct StoredRow {
    var tenantID: Int32
    var id: TransactionID
    var deviceID: DeviceID
    var bundleID: BundleID
    var index: Int
    var type: String
    /// Microseconds since 1970.
    var occurredAt: Int64
    var offsetMinutes: Int
    var actor: String?
    var payload: [UInt8]?
    var contentType: String?
    var body: [UInt8]?
    /// By retention.
    var isEmptied: Bool

    /// The columns in the order of the audit's statements.
    init(_ row: PostgresRow) throws(PostgresError) {
        tenantID = try row.int4(0)
        id = TransactionID(words: try row.uuid(1))
        deviceID = DeviceID(words: try row.uuid(2))
        bundleID = BundleID(words: try row.uuid(3))
        index = Int(try row.int4(4))
        type = try row.text(5)
        occurredAt = try row.timestamp(6)
        offsetMinutes = Int(try row.int2(7))
        actor = row.textIfPresent(8)
        payload = row.bytesIfPresent(9)
        contentType = row.textIfPresent(10)
        body = row.bytesIfPresent(11)
        isEmptied = try row.bool(12)
    }
}

extension Identifier {
    init(words: UUIDWords) {
        self.init(high: words.high, low: words.low)
    }

    var words: UUIDWords { UUIDWords(high: high, low: low) }
}

/// Where a row had to be: what no content of it says.
struct RowPlace {
    var tenantID: Int32
    var deviceID: DeviceID
    var bundleID: BundleID
}

enum RowComparison {
    /// The columns that differ, each with what it holds and what it had to; empty: none.
    ///
    /// - Parameter comparesID: false for a row that stands under another id.
    static func differences(
        _ row: StoredRow, from wanted: ExpectedRow, at place: RowPlace, comparesID: Bool = true
    ) -> [String] {
        var found: [String] = []
        func compare<Value: Equatable>(
            _ column: String, _ actual: Value, _ expected: Value,
            _ text: (Value) -> String = { "\($0)" }
        ) {
            if actual == expected { return }
            found.append("\(column) is \(text(actual)) instead of \(text(expected))")
        }
        if comparesID { compare("id", row.id, wanted.id) }
        compare("tenant_id", row.tenantID, place.tenantID)
        compare("device_id", row.deviceID, place.deviceID)
        compare("bundle_id", row.bundleID, place.bundleID)
        compare("bundle_index", row.index, wanted.index)
        compare("type", row.type, wanted.type) { quoted($0.utf8) }
        compare("occurred_at", row.occurredAt, wanted.occurredAt) {
            Timestamp(microseconds: $0).description
        }
        compare("offset_minutes", row.offsetMinutes, wanted.offsetMinutes)
        compare("actor", row.actor, wanted.actor) { $0.map { quoted($0.utf8) } ?? "null" }
        guard !row.isEmptied else { return found + ["payload and body were emptied by retention"] }
        switch wanted.content {
        case .payload(let text):
            compareBytes("payload", row.payload, text)
            compareBytes("content_type", row.contentType.map { Array($0.utf8) }, nil)
            compareBytes("body", row.body, nil)
        case .body(let type, let bytes):
            compareBytes("payload", row.payload, nil)
            compareBytes("content_type", row.contentType.map { Array($0.utf8) }, Array(type.utf8))
            compareBytes("body", row.body, bytes)
        }
        return found

        func compareBytes(_ column: String, _ actual: [UInt8]?, _ expected: [UInt8]?) {
            if actual == expected { return }
            let place = Self.firstDifference(actual ?? [], expected ?? [])
            found.append(
                "\(column) is \(excerpt(actual, at: place)) instead of "
                    + "\(excerpt(expected, at: place)), from byte \(place) on")
        }
    }

    private static func firstDifference(_ left: [UInt8], _ right: [UInt8]) -> Int {
        zip(left, right).enumerated().first { $0.element.0 != $0.element.1 }?.offset
            ?? min(left.count, right.count)
    }

    /// A few bytes around a place; made-up data, so that nothing private is shown.
    private static func excerpt(_ bytes: [UInt8]?, at place: Int) -> String {
        guard let bytes else { return "null" }
        let start = max(0, min(place, bytes.count) - 20)
        return quoted(bytes[start..<min(bytes.count, place + 20)])
    }

    private static func quoted(_ bytes: some Collection<UInt8>) -> String {
        var output: [UInt8] = []
        CanonicalJSON.appendString(String(decoding: bytes, as: UTF8.self), to: &output)
        return String(decoding: output, as: UTF8.self)
    }
}

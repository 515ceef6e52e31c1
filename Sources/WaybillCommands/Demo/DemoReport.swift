/// What the demo shows at its end.
struct DemoReport: Encodable, Sendable {
    var devices: Int
    var bundles: Int
    var sentAgain: Int
    var transactions: Int
    var accepted: Int
    var duplicates: Int
    var receiptsVerified: Int
    /// Counted in PostgreSQL.
    var rows: Int
    var seconds: Double

    /// Transactions without a receipt that says accepted or duplicate, or without a row.
    var missing: Int {
        max(transactions - accepted - duplicates, transactions - rows, 0)
    }

    /// Nothing is missing, and each bundle has exactly one receipt although some were sent twice.
    var isComplete: Bool { missing == 0 && receiptsVerified == bundles }

    var table: String {
        var table = TextTable([], numericColumns: [1])
        table.add(["devices", String(devices)])
        table.add(["bundles", String(bundles)])
        table.add(["bundles sent again", String(sentAgain)])
        table.add(["transactions sent", String(transactions)])
        table.add(["accepted", String(accepted)])
        table.add(["duplicates", String(duplicates)])
        table.add(["rows counted in PostgreSQL", String(rows)])
        table.add(["receipts verified", String(receiptsVerified)])
        table.add(["missing", String(missing)])
        table.add(["seconds", String((seconds * 10).rounded() / 10)])
        return table.text
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(devices, forKey: .devices)
        try container.encode(bundles, forKey: .bundles)
        try container.encode(sentAgain, forKey: .sentAgain)
        try container.encode(transactions, forKey: .transactions)
        try container.encode(accepted, forKey: .accepted)
        try container.encode(duplicates, forKey: .duplicates)
        try container.encode(rows, forKey: .rows)
        try container.encode(receiptsVerified, forKey: .receiptsVerified)
        try container.encode(missing, forKey: .missing)
        try container.encode(seconds, forKey: .seconds)
    }

    enum CodingKeys: String, CodingKey {
        case devices, bundles, transactions, accepted, duplicates, rows, missing, seconds
        case sentAgain = "sent_again"
        case receiptsVerified = "receipts_verified"
    }
}

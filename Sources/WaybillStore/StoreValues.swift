internal import WaybillModel
internal import WaybillPostgres

extension Identifier {
    /// As the database takes it.
    var words: UUIDWords { UUIDWords(high: high, low: low) }

    init(_ words: UUIDWords) {
        self.init(high: words.high, low: words.low)
    }
}

extension PostgresRow {
    func digest(_ column: Int) throws(PostgresError) -> Digest256 {
        guard let digest = Digest256(bytes: try bytes(column)) else {
            throw .unexpectedResult("column \(column) has no 32 bytes")
        }
        return digest
    }

    func time(_ column: Int) throws(PostgresError) -> Timestamp {
        Timestamp(microseconds: try timestamp(column))
    }

    func timeIfPresent(_ column: Int) throws(PostgresError) -> Timestamp? {
        try timestampIfPresent(column).map { Timestamp(microseconds: $0) }
    }

    func slug(_ column: Int) throws(PostgresError) -> TenantSlug {
        guard let slug = TenantSlug(try text(column)) else {
            throw .unexpectedResult("column \(column) is no slug")
        }
        return slug
    }

    func state(_ column: Int) throws(PostgresError) -> BundleState {
        guard let state = BundleState(rawValue: try text(column)) else {
            throw .unexpectedResult("column \(column) is no state")
        }
        return state
    }
}

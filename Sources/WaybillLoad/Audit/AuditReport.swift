/// One thing that is not as it was promised.
package struct Finding: Codable, Sendable, Equatable {
    package enum Kind: String, Codable, Sendable, CaseIterable {
        /// Acknowledged, and then no receipt, or a row missing.
        case lost
        /// A row, or a receipt of one bundle, that is there twice.
        case duplicated
        /// A row, a count, an outcome or a digest that is not what was sent.
        case altered
        /// A row that was not sent, or was to be refused.
        case unexpected
        /// Receipts of a device that are not in the order of its acknowledgements.
        case outOfOrder = "out_of_order"
        /// Settled after the plan's time.
        case late
        /// A receipt whose signature, hash or chain is wrong.
        case forged
    }

    package var kind: Kind
    /// Of the transaction; nil where a whole bundle is meant.
    package var transaction: String?
    package var bundle: String?
    package var device: String?
    /// One sentence: what was expected and what there was.
    package var detail: String

    package init(
        kind: Kind, transaction: String? = nil, bundle: String? = nil, device: String? = nil,
        detail: String
    ) {
        self.kind = kind
        self.transaction = transaction
        self.bundle = bundle
        self.device = device
        self.detail = detail
    }
}

/// What the audit looked at and found.
package struct AuditReport: Codable, Sendable, Equatable {
    package var bundles = 0
    package var receipts = 0
    /// Signatures, hashes and chain links that were verified.
    package var receiptsVerified = 0
    /// Nil where no database was given.
    package var rows: Int?
    package var rowsExpected: Int?
    /// How many of each kind, all kinds named.
    package var counts: [String: Int] = Dictionary(
        uniqueKeysWithValues: Finding.Kind.allCases.map { ($0.rawValue, 0) })
    /// The first of each kind, at most ``findingsMax``.
    package var findings: [Finding] = []
    package static let findingsMax = 100

    package init() {}

    package var isClean: Bool { counts.values.allSatisfy { $0 == 0 } }

    package func count(_ kind: Finding.Kind) -> Int { counts[kind.rawValue] ?? 0 }

    package mutating func add(_ finding: Finding) {
        counts[finding.kind.rawValue, default: 0] += 1
        if count(finding.kind) <= Self.findingsMax { findings.append(finding) }
    }

    package mutating func add(_ other: AuditReport) {
        bundles += other.bundles
        receipts += other.receipts
        receiptsVerified += other.receiptsVerified
        if let more = other.rows { rows = (rows ?? 0) + more }
        if let more = other.rowsExpected { rowsExpected = (rowsExpected ?? 0) + more }
        for kind in Finding.Kind.allCases {
            let room = max(0, Self.findingsMax - count(kind))
            findings += other.findings.filter { $0.kind == kind }.prefix(room)
            counts[kind.rawValue, default: 0] += other.count(kind)
        }
    }

    enum CodingKeys: String, CodingKey {
        case bundles, receipts, rows, counts, findings
        case receiptsVerified = "receipts_verified"
        case rowsExpected = "rows_expected"
    }
}

/// `GET /admin/v1/audit`: rows of the audit, oldest first.
package struct AuditPage: Codable, Sendable {
    package var events: [AuditEntry]
    /// `before=` this for the rows before these; nil if there are none.
    package var older: String?
    /// `after=` this for what is committed from now on. A row at the end of this page may come once
    /// more: chain and number tell.
    package var newer: String

    package init(events: [AuditEntry], older: String?, newer: String) {
        self.events = events
        self.older = older
        self.newer = newer
    }
}

/// One row of the audit.
package struct AuditEntry: Codable, Sendable, Equatable {
    /// The device, or zeros for the operators' chain.
    package var chain: DeviceID
    package var sequence: Int64
    package var tenant: TenantSlug?
    package var recordedAt: Timestamp
    package var node: String
    package var kind: String
    package var actor: String
    package var subject: String?
    package var details: JSONValue
    package var hash: Digest256

    package init(
        chain: DeviceID, sequence: Int64, tenant: TenantSlug?, recordedAt: Timestamp, node: String,
        kind: String, actor: String, subject: String?, details: JSONValue, hash: Digest256
    ) {
        self.chain = chain
        self.sequence = sequence
        self.tenant = tenant
        self.recordedAt = recordedAt
        self.node = node
        self.kind = kind
        self.actor = actor
        self.subject = subject
        self.details = details
        self.hash = hash
    }

    enum CodingKeys: String, CodingKey {
        case chain, tenant, node, kind, actor, subject, details, hash
        case sequence = "seq"
        case recordedAt = "recorded_at"
    }
}

/// `GET /admin/v1/audit/verify`: what a walk along all chains found.
package struct AuditVerification: Codable, Sendable, Equatable {
    /// No fault, and the walk came to its end.
    package var intact: Bool { faultCount == 0 && error == nil }
    package var auditRows = 0
    package var receipts = 0
    package var chains = 0
    package var faultCount = 0
    /// The first of them.
    package var faults: [AuditFault] = []
    /// Why the walk ended before its end.
    package var error: String?

    /// More faults than this are counted, not kept.
    package static let faultsMax = 100

    package init() {}

    package mutating func note(_ fault: AuditFault) {
        faultCount += 1
        if faults.count < Self.faultsMax { faults.append(fault) }
    }

    enum CodingKeys: String, CodingKey {
        case intact, receipts, chains, faults, error
        case auditRows = "audit_rows"
        case faultCount = "fault_count"
    }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        auditRows = try container.decode(Int.self, forKey: .auditRows)
        receipts = try container.decode(Int.self, forKey: .receipts)
        chains = try container.decode(Int.self, forKey: .chains)
        faultCount = try container.decode(Int.self, forKey: .faultCount)
        faults = try container.decode([AuditFault].self, forKey: .faults)
        error = try container.decodeIfPresent(String.self, forKey: .error)
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(intact, forKey: .intact)
        try container.encode(auditRows, forKey: .auditRows)
        try container.encode(receipts, forKey: .receipts)
        try container.encode(chains, forKey: .chains)
        try container.encode(faultCount, forKey: .faultCount)
        try container.encode(faults, forKey: .faults)
        try container.encodeIfPresent(error, forKey: .error)
    }
}

/// A place where a chain is not what it was when it was written.
package struct AuditFault: Codable, Sendable, Equatable {
    package enum Kind: String, Codable, Sendable {
        /// The row's content is not what its hash covers.
        case edited
        /// The row is not there.
        case missing
        /// The row does not name the hash of the row before it.
        case unchained
        /// The chain does not end where its end was kept.
        case wrongEnd = "wrong_end"
        /// A receipt's hash or signature is wrong.
        case invalid
    }

    package enum Trail: String, Codable, Sendable {
        case audit, receipts
    }

    package var trail: Trail
    package var kind: Kind
    /// The device, or zeros for the operators' chain.
    package var chain: DeviceID
    package var sequence: Int64
    package var detail: String

    package init(
        _ kind: Kind, in trail: Trail, chain: DeviceID, sequence: Int64, _ detail: String
    ) {
        self.trail = trail
        self.kind = kind
        self.chain = chain
        self.sequence = sequence
        self.detail = detail
    }

    enum CodingKeys: String, CodingKey {
        case trail, kind, chain, detail
        case sequence = "seq"
    }
}

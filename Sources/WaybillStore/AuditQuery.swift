package import WaybillModel

/// Which rows of the audit somebody wants to see.
package struct AuditQuery: Sendable, Equatable {
    /// Where a page begins.
    package enum Place: Sendable, Equatable {
        /// The newest rows.
        case newest
        /// What was recorded before a row of an earlier page.
        case before(AuditCursor)
        /// What was committed after a page.
        case after(AuditCursor)
    }

    package var place: Place
    package var tenant: TenantSlug?
    /// Exactly, or up to a dot: `bundle` means `bundle.settled`, too.
    package var kind: String?
    package var subject: String?
    /// 1 to 1000.
    package var limit: Int

    package init(
        place: Place = .newest, tenant: TenantSlug? = nil, kind: String? = nil,
        subject: String? = nil, limit: Int = 100
    ) {
        self.place = place
        self.tenant = tenant
        self.kind = kind
        self.subject = subject
        self.limit = limit
    }
}

/// A place in the audit, to be sent back as it was received.
package struct AuditCursor: Sendable, Equatable, CustomStringConvertible {
    /// A time in microseconds for pages backwards, a position for pages forwards.
    let key: UInt64
    let chain: DeviceID
    let sequence: Int64

    init(key: UInt64, chain: DeviceID = AuditRow.operators, sequence: Int64 = 0) {
        self.key = key
        self.chain = chain
        self.sequence = sequence
    }

    /// Reads what ``description`` wrote; nil for anything else.
    package init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let key = UInt64(parts[0]), key <= UInt64(Int64.max),
            let chain = DeviceID(parts[1]), let sequence = Int64(parts[2]), sequence >= 0
        else { return nil }
        self.init(key: key, chain: chain, sequence: sequence)
    }

    package var description: String { "\(key).\(chain).\(sequence)" }
}

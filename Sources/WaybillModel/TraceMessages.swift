/// `GET /admin/v1/trace/{id}`: all that is known of a transaction, a bundle or a device.
///
/// One id may name several things: each is a finding. Never holds a payload.
package struct TraceReport: Codable, Sendable, Equatable {
    package var id: String
    package var findings: [TraceFinding]
    /// What could not be asked, in words; empty if everything answered.
    package var notAsked: [String]
    /// What the answer cannot tell, in words.
    package var notes: [String]

    package init(
        id: String, findings: [TraceFinding] = [], notAsked: [String] = [], notes: [String] = []
    ) {
        self.id = id
        self.findings = findings
        self.notAsked = notAsked
        self.notes = notes
    }

    enum CodingKeys: String, CodingKey {
        case id, findings, notes
        case notAsked = "not_asked"
    }
}

/// One thing that has the id that was asked for.
package struct TraceFinding: Codable, Sendable, Equatable {
    package enum Kind: String, Codable, Sendable {
        case device, bundle, transaction
    }

    package var kind: Kind
    /// Nil while only the queue knows of it.
    package var tenant: TenantSlug?
    package var deviceID: DeviceID
    /// As the device calls itself: untrusted text.
    package var deviceName: String?
    package var bundleID: BundleID?
    package var transactionID: TransactionID?
    /// Where it stands: a bundle's state, a transaction's outcome, `enrolled` or `revoked`.
    package var state: String
    /// What else is known and has no time of its own.
    package var facts: [String: String]
    /// In order of time.
    package var events: [TraceEvent]

    package init(
        kind: Kind, tenant: TenantSlug?, deviceID: DeviceID, deviceName: String? = nil,
        bundleID: BundleID? = nil, transactionID: TransactionID? = nil, state: String,
        facts: [String: String] = [:], events: [TraceEvent] = []
    ) {
        self.kind = kind
        self.tenant = tenant
        self.deviceID = deviceID
        self.deviceName = deviceName
        self.bundleID = bundleID
        self.transactionID = transactionID
        self.state = state
        self.facts = facts
        self.events = events
    }

    /// Puts the events into the order of their times; those of one moment keep their order.
    package mutating func sortEvents() {
        events = events.enumerated().sorted {
            ($0.element.at, $0.offset) < ($1.element.at, $1.offset)
        }.map(\.element)
    }

    enum CodingKeys: String, CodingKey {
        case kind, tenant, state, facts, events
        case deviceID = "device_id"
        case deviceName = "device_name"
        case bundleID = "bundle_id"
        case transactionID = "transaction_id"
    }
}

/// Something that happened to it.
package struct TraceEvent: Codable, Sendable, Equatable {
    package var at: Timestamp
    /// Dotted, such as `bundle.received`.
    package var what: String
    package var details: [String: String]

    package init(_ what: String, at: Timestamp, _ details: [String: String] = [:]) {
        self.at = at
        self.what = what
        self.details = details
    }
}

/// The kind of an id of which nobody has said yet what it identifies.
package enum TracedKind {}

package typealias TracedID = Identifier<TracedKind>

extension TracedID {
    /// Whether it is this bundle's id, or its device's.
    package func names(_ key: BundleKey) -> Bool {
        key.bundleID == BundleID(high: high, low: low)
            || key.deviceID == DeviceID(high: high, low: low)
    }
}

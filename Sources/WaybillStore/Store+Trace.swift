internal import Foundation
package import WaybillModel
internal import WaybillPostgres

extension Store {
    /// All that the database knows of what has this id: devices, bundles of whatever device,
    /// transactions of whatever tenant, dead letters. Reads no content.
    ///
    /// Takes a look at an index for each tenant and each device: some milliseconds with a thousand of
    /// them.
    package func trace(_ id: TracedID) async throws(StoreError) -> [TraceFinding] {
        try await perform(as: .server) { connection in
            try connection.query(TraceStatements.preferIndexes)
            var tracer = Tracer(connection: connection)
            return try tracer.findings(of: id.words)
        }
    }

    /// Names and tenants of devices; those that there are not are missing.
    package func deviceFindings(
        _ devices: [DeviceID]
    ) async throws(StoreError) -> [DeviceID: TraceFinding] {
        try await perform(as: .server) { connection in
            var tracer = Tracer(connection: connection)
            var findings: [DeviceID: TraceFinding] = [:]
            for device in devices { findings[device] = try tracer.device(device)?.finding(.device) }
            return findings
        }
    }
}

/// Puts a trace together over one session, under the server's scope.
private struct Tracer {
    let connection: PostgresConnection
    private var devices: [DeviceID: TracedDevice] = [:]

    /// Receipts that a device's trace lists.
    private static let receiptsMax: Int64 = 50
    /// A bundle that was superseded more often is not followed further back.
    private static let supersededMax = 10

    init(connection: PostgresConnection) {
        self.connection = connection
    }

    mutating func findings(of id: UUIDWords) throws -> [TraceFinding] {
        var findings: [TraceFinding] = []
        if let device = try device(DeviceID(id)) { findings.append(try trace(device)) }
        for row in try connection.query(TraceStatements.findBundles, [.uuid(id)]).rows {
            findings += try bundle(
                BundleID(id), of: DeviceID(try row.uuid(0)), lastReceipt: try row.int8(1))
        }
        for row in try connection.query(TraceStatements.findDeadLetter, [.uuid(id)]).rows {
            findings += try bundle(
                BundleID(try row.uuid(1)), of: DeviceID(try row.uuid(0)), lastReceipt: nil)
        }
        for row in try connection.query(TraceStatements.findTransaction, [.uuid(id)]).rows {
            findings += try transaction(TransactionID(id), row)
        }
        return findings
    }

    // MARK: Devices

    mutating func device(_ id: DeviceID) throws -> TracedDevice? {
        if let known = devices[id] { return known }
        let found = try connection.query(TraceStatements.findDevices, [.uuids([id.words])])
        guard found.count == 1 else { return nil }
        let device = try TracedDevice(found[0], connection)
        devices[id] = device
        return device
    }

    private func trace(_ device: TracedDevice) throws -> TraceFinding {
        var finding = device.finding(.device)
        let receipts = try connection.query(
            TraceStatements.listReceipts, [.uuid(device.id.words), .int8(Self.receiptsMax)])
        for row in receipts.rows {
            let receipt = try TracedReceipt(row)
            finding.events.append(receipt.event(withBundle: true))
        }
        if device.lastReceipt > Self.receiptsMax {
            finding.facts["receipts_listed"] = "the last \(Self.receiptsMax)"
        }
        finding.events += try deadLetters(device.id, bundle: nil)
        finding.events += try rareEvents([device.id.description])
        finding.sortEvents()
        return finding
    }

    // MARK: Bundles

    /// - Parameter lastReceipt: the one that is not superseded; nil to look it up.
    private mutating func bundle(
        _ bundle: BundleID, of deviceID: DeviceID, lastReceipt: Int64?
    ) throws -> [TraceFinding] {
        guard let device = try device(deviceID) else { return [] }
        var finding = device.finding(.bundle)
        finding.bundleID = bundle
        var next = lastReceipt
        if next == nil {
            next = try connection.query(TraceStatements.findBundles, [.uuid(bundle.words)]).rows
                .first { DeviceID(try $0.uuid(0)) == deviceID }?.int8(1)
        }
        var subjects = [bundle.description]
        for round in 0..<Self.supersededMax {
            guard let sequence = next else { break }
            let found = try connection.query(
                TraceStatements.findReceipt, [.uuid(deviceID.words), .int8(sequence)])
            guard found.count == 1 else { break }
            let receipt = try TracedReceipt(found[0])
            if round == 0 {
                finding.state = receipt.state
                finding.facts.merge(receipt.facts) { $1 }
                finding.events += device.confirmation(of: receipt.sequence)
            }
            finding.events += try settlement(receipt, of: deviceID)
            next = receipt.supersedes
        }
        let letters = try connection.query(
            TraceStatements.listDeadLetters, [.uuid(deviceID.words), .uuid(bundle.words)])
        subjects += try letters.rows.map { DeadLetterID(try $0.uuid(0)).description }
        finding.events += try deadLetters(deviceID, bundle: bundle)
        finding.events += try rareEvents(subjects)
        finding.sortEvents()
        return [finding]
    }

    /// The steps of a bundle's settling, as its audit row has them; the receipt alone without one.
    private func settlement(_ receipt: TracedReceipt, of device: DeviceID) throws -> [TraceEvent] {
        let rows = try connection.query(
            TraceStatements.findSettlement,
            [
                .timestamp(receipt.settledAt.microseconds), .uuid(device.words),
                .text(receipt.bundleID.description),
            ])
        for row in rows.rows {
            let details = try Self.details(row, 4)
            guard details["seq"] == String(receipt.sequence) else { continue }
            return Self.steps(details, node: try row.text(2))
                + [receipt.event(withBundle: false, details)]
        }
        return [receipt.event(withBundle: false)]
    }

    private static func steps(_ details: [String: String], node: String) -> [TraceEvent] {
        func time(_ name: String) -> Timestamp? {
            details[name].flatMap { Timestamp(rfc3339: $0) }
        }
        func some(_ names: String...) -> [String: String] {
            details.filter { names.contains($0.key) }
        }
        var events: [TraceEvent] = []
        if let at = time("started_at") {
            events.append(TraceEvent("upload.begun", at: at, some("source")))
        }
        if let at = time("received_at") {
            var facts = some("bytes", "parts")
            facts["node"] = node
            events.append(TraceEvent("bundle.received", at: at, facts))
            events.append(TraceEvent("bundle.queued", at: at))
        }
        if let at = time("leased_at") {
            events.append(TraceEvent("bundle.leased", at: at, some("attempt")))
        }
        if let at = time("opened_at") {
            events.append(TraceEvent("bundle.opened", at: at, some("epoch", "transactions")))
        }
        return events
    }

    private func deadLetters(_ device: DeviceID, bundle: BundleID?) throws -> [TraceEvent] {
        let rows = try connection.query(
            TraceStatements.listDeadLetters, [.uuid(device.words), .uuid(bundle?.words)])
        return try rows.rows.flatMap { row in
            let id = DeadLetterID(try row.uuid(0)).description
            var facts = [
                "dead_letter": id, "code": try row.text(1), "detail": try row.text(2),
                "node": try row.text(3),
            ]
            let attempts = try row.int4(7)
            if attempts > 0 { facts["failed_retries"] = String(attempts) }
            facts["last_error"] = row.textIfPresent(8)
            var events = [TraceEvent("dead_letter.kept", at: try row.time(4), facts)]
            if let at = try row.timeIfPresent(5) {
                let resolution = row.textIfPresent(6) ?? ""
                events.append(
                    TraceEvent(
                        "dead_letter.resolved", at: at,
                        ["dead_letter": id, "resolution": resolution]))
            }
            return events
        }
    }

    private func rareEvents(_ subjects: [String]) throws -> [TraceEvent] {
        try connection.query(TraceStatements.listRareEvents, [.texts(subjects)]).rows.map { row in
            var details = try Self.details(row, 4)
            details["node"] = try row.text(2)
            details["actor"] = try row.text(3)
            return TraceEvent(try row.text(0), at: try row.time(1), details)
        }
    }

    // MARK: Transactions

    private mutating func transaction(
        _ id: TransactionID, _ row: PostgresRow
    ) throws -> [TraceFinding] {
        let outcome = try row.text(4)
        let bundleID = BundleID(try row.uuid(2))
        let parts = try bundle(bundleID, of: DeviceID(try row.uuid(1)), lastReceipt: nil)
        return try parts.map { bundle in
            var finding = bundle
            finding.kind = .transaction
            finding.transactionID = id
            finding.state = outcome
            finding.facts["index"] = String(try row.int4(3))
            finding.facts["code"] = row.textIfPresent(5)
            finding.facts["type"] = row.textIfPresent(6)
            finding.facts["occurred_at"] = try row.timeIfPresent(7)?.description
            finding.facts["position"] = row.textIfPresent(10)
            finding.facts["bundle_state"] = bundle.state
            finding.events.append(
                TraceEvent(
                    "transaction.\(outcome)", at: try row.time(8), ["index": "\(try row.int4(3))"]))
            if let at = try row.timeIfPresent(9) {
                finding.events.append(TraceEvent("transaction.emptied", at: at))
            }
            finding.sortEvents()
            return finding
        }
    }

    /// The members of a JSON object as text; nested ones as JSON.
    static func details(_ row: PostgresRow, _ column: Int) throws -> [String: String] {
        let value = try JSONDecoder().decode(
            JSONValue.self, from: Data(try row.text(column).utf8))
        guard case .object(let members) = value else { return [:] }
        return members.mapValues { value in
            value.text ?? String(decoding: CanonicalJSON.encode(value), as: UTF8.self)
        }
    }
}

/// A device with what happened to it.
private struct TracedDevice {
    let id: DeviceID
    let tenant: TenantSlug
    let name: String
    let lastReceipt: Int64
    let isRevoked: Bool
    let confirmed: (through: Int64, at: Timestamp)?
    let events: [TraceEvent]

    init(_ row: PostgresRow, _ connection: PostgresConnection) throws {
        id = DeviceID(try row.uuid(0))
        tenant = try row.slug(2)
        name = try row.text(3)
        lastReceipt = try row.int8(8)
        let revokedAt = try row.timeIfPresent(7)
        isRevoked = revokedAt != nil
        if let through = try row.int8IfPresent(9), let at = try row.timeIfPresent(10) {
            confirmed = (through, at)
        } else {
            confirmed = nil
        }
        var events: [TraceEvent] = []
        for row in try connection.query(TraceStatements.listInvitations, [.uuid(id.words)]).rows {
            let what = try row.bool(3) ? "device.rotation_invited" : "device.invited"
            let expires = try row.time(1).description
            events.append(TraceEvent(what, at: try row.time(0), ["expires_at": expires]))
        }
        events.append(TraceEvent("device.enrolled", at: try row.time(5)))
        for row in try connection.query(TraceStatements.listEpochs, [.uuid(id.words)]).rows {
            let epoch = ["epoch": "\(try row.int4(0))"]
            events.append(TraceEvent("epoch.opened", at: try row.time(1), epoch))
            if let at = try row.timeIfPresent(2) {
                events.append(TraceEvent("epoch.closed", at: at, epoch))
            }
        }
        if let at = try row.timeIfPresent(6) {
            events.append(TraceEvent("device.first_seen", at: at))
        }
        if let revokedAt { events.append(TraceEvent("device.revoked", at: revokedAt)) }
        self.events = events
    }

    func finding(_ kind: TraceFinding.Kind) -> TraceFinding {
        var finding = TraceFinding(
            kind: kind, tenant: tenant, deviceID: id, deviceName: name,
            state: isRevoked ? "revoked" : "enrolled", events: events)
        guard kind == .device else { return finding }
        finding.facts["last_receipt"] = String(lastReceipt)
        finding.facts["confirmed"] = String(confirmed?.through ?? 0)
        if let confirmed {
            finding.events.append(
                TraceEvent(
                    "receipts.confirmed", at: confirmed.at, ["through": "\(confirmed.through)"]))
        }
        return finding
    }

    /// That the device holds a receipt; only the time of the last confirmation is known.
    func confirmation(of sequence: Int64) -> [TraceEvent] {
        guard let confirmed, confirmed.through >= sequence else { return [] }
        return [
            TraceEvent(
                "receipts.confirmed", at: confirmed.at,
                ["through": "\(confirmed.through)", "note": "at this time or before"])
        ]
    }
}

/// A receipt without its exceptions.
private struct TracedReceipt {
    let sequence: Int64
    let bundleID: BundleID
    let state: String
    let settledAt: Timestamp
    let supersedes: Int64?
    let facts: [String: String]

    init(_ row: PostgresRow) throws {
        sequence = try row.int8(0)
        bundleID = BundleID(try row.uuid(1))
        state = try row.text(2)
        settledAt = try row.time(8)
        supersedes = try row.int8IfPresent(9)
        var facts = ["seq": String(sequence)]
        facts["code"] = row.textIfPresent(3)
        facts["supersedes"] = supersedes.map { String($0) }
        if state == BundleState.settled.rawValue {
            for (column, name) in zip(4..., ["accepted", "duplicate", "rejected", "conflict"]) {
                facts[name] = String(try row.int4(column))
            }
        }
        self.facts = facts
    }

    func event(withBundle: Bool, _ details: [String: String] = [:]) -> TraceEvent {
        var all = facts
        if withBundle { all["bundle"] = bundleID.description }
        all["detail"] = details["detail"]
        return TraceEvent("bundle.\(state)", at: settledAt, all)
    }
}

internal import Crypto
internal import Foundation
package import WaybillModel
internal import WaybillPostgres

/// Walks along all chains of audit rows and receipts, page by page, in bounded memory.
///
/// What is appended meanwhile is left to the next walk. A chain's rows are keyed with the root key, so
/// that nobody without it can make one anew; taking a chain's last rows off together with its kept
/// end stays unseen here, but not by the devices, who hold their receipts.
package struct AuditVerifier: Sendable {
    /// Where the chains of one device end.
    private struct Ends: Sendable {
        var audit: (sequence: Int64, hash: Digest256)
        var receipts: (sequence: Int64, hash: Digest256)
    }

    private enum Stage {
        case operators(after: Int64)
        case nextDevices
        case audit
        case receipts
        case done
    }

    private static let devicesMax = 64
    private static let rowsMax = 1000
    private static let documentBytesMax = 8 << 20
    private static let lastDevice = DeviceID(high: .max, low: .max)

    private let store: Store
    private var stage = Stage.operators(after: 0)
    private var walk = ChainWalk(.audit, chain: AuditRow.operators)
    private var ends: [DeviceID: Ends] = [:]
    private var range = (after: AuditRow.operators, through: AuditRow.operators)
    private var hasMoreDevices = true
    /// Chains that go beyond what was known when their device was read.
    private var beyond: [DeviceID: Int64] = [:]
    private var keys: [String: Curve25519.Signing.PublicKey] = [:]

    /// What was found so far.
    package private(set) var result = AuditVerification()

    package init(store: Store) {
        self.store = store
    }

    /// Reads and checks one page; false once all is done.
    package mutating func step() async throws(StoreError) -> Bool {
        switch stage {
        case .operators(let after): try await walkOperators(after: after)
        case .nextDevices: try await readDevices()
        case .audit: try await walkAudit()
        case .receipts: try await walkReceipts()
        case .done: return false
        }
        return true
    }

    // MARK: Stages

    private mutating func walkOperators(after: Int64) async throws(StoreError) {
        if after == 0 { try await readKeys() }
        let (rows, end) = try await store.perform(as: .server) { connection in
            let end = try connection.query(AuditStatements.findOperatorsEnd)
            let kept = end.count == 1 ? (try end[0].int8(0), try end[0].digest(1)) : nil
            let rows = try Self.auditRows(
                (AuditRow.operators, after), through: AuditRow.operators, over: connection)
            return (rows, kept)
        }
        for row in rows {
            take(row)
            // The end is kept beside the rows, but not by older versions: rows may follow it.
            if let end, row.row.sequence == end.0, row.hash != end.1 {
                note(walk.end(at: end.0, hash: end.1))
            }
        }
        if rows.count == Self.rowsMax, let last = rows.last {
            stage = .operators(after: last.row.sequence)
            return
        }
        if let end, walk.sequence < end.0 { note(walk.end(at: end.0, hash: end.1)) }
        result.chains += 1
        stage = .nextDevices
    }

    private mutating func readDevices() async throws(StoreError) {
        guard hasMoreDevices else {
            stage = .done
            return
        }
        let after = range.through
        let found = try await store.perform(as: .server) { connection in
            try connection.query(
                AuditStatements.listEnds, [.uuid(after.words), .int8(Int64(Self.devicesMax))]
            ).rows.map { row in
                (
                    DeviceID(try row.uuid(0)),
                    Ends(
                        audit: (try row.int8(1), try row.digest(2)),
                        receipts: (try row.int8(3), try row.digest(4)))
                )
            }
        }
        hasMoreDevices = found.count == Self.devicesMax
        ends = Dictionary(found) { first, _ in first }
        let last = hasMoreDevices ? found.last?.0 : nil
        range = (after, last ?? Self.lastDevice)
        begin(.audit)
        stage = .audit
    }

    private mutating func walkAudit() async throws(StoreError) {
        let (cursor, through) = ((walk.chain, place), range.through)
        let rows = try await store.perform(as: .server) { connection in
            try Self.auditRows(cursor, through: through, over: connection)
        }
        for row in rows {
            move(to: row.row.chain)
            if isKnown(row.row.sequence, \.audit) { take(row) }
        }
        guard rows.count < Self.rowsMax else {
            place = rows.last?.row.sequence ?? place
            return
        }
        try await endRange(\.audit)
        begin(.receipts)
        stage = .receipts
    }

    private mutating func walkReceipts() async throws(StoreError) {
        let (cursor, through) = ((walk.chain, place), range.through)
        let rows = try await store.perform(as: .server) { connection in
            try connection.query(AuditStatements.preferOrder)
            return try connection.query(
                AuditStatements.walkReceipts,
                [
                    .uuid(cursor.0.words), .int8(cursor.1), .uuid(through.words),
                    .int8(Int64(Self.rowsMax)), .int8(Int64(Self.documentBytesMax)),
                ]
            ).rows.map { row in
                ReceiptRow(
                    device: DeviceID(try row.uuid(0)), sequence: try row.int8(1),
                    bundle: BundleID(try row.uuid(2)), state: try row.text(3),
                    hash: try row.digest(4), document: try row.text(5), found: try row.int8(6))
            }
        }
        for row in rows {
            move(to: row.device)
            place = row.sequence
            guard isKnown(row.sequence, \.receipts) else { continue }
            let (previous, fault) = row.check(keys)
            note(
                walk.take(
                    sequence: row.sequence, previous: previous ?? walk.hash, hash: row.hash,
                    fault: fault))
            result.receipts += 1
        }
        // Not the whole page fitted, or there is another one.
        guard Int64(rows.count) == rows.first?.found ?? 0, rows.count < Self.rowsMax else { return }
        try await endRange(\.receipts)
        stage = .nextDevices
    }

    // MARK: Walking

    /// The number of the last row read of the chain that is walked.
    private var place: Int64 = .max

    private mutating func begin(_ trail: AuditFault.Trail) {
        walk = ChainWalk(trail, chain: range.after)
        place = .max
        beyond = [:]
    }

    private mutating func take(_ row: (row: AuditRow, hash: Digest256)) {
        place = row.row.sequence
        let isIntact = row.row.hash(store.rootKey.auditKey) == row.hash
        note(
            walk.take(
                sequence: row.row.sequence, previous: row.row.previous, hash: row.hash,
                fault: isIntact ? nil : (.edited, "\(row.row.kind): it is not what was written")))
        result.auditRows += 1
    }

    /// Ends the chain that was walked, if another one begins.
    private mutating func move(to chain: DeviceID) {
        guard chain != walk.chain else { return }
        endChain()
        walk = ChainWalk(walk.trail, chain: chain)
    }

    private mutating func endChain() {
        guard let known = ends[walk.chain] else { return }
        let end = walk.trail == .audit ? known.audit : known.receipts
        note(walk.end(at: end.sequence, hash: end.hash))
        visited.insert(walk.chain)
        result.chains += 1
    }

    /// Whether the row was there when its device was read; else it may have been appended since.
    private mutating func isKnown(
        _ sequence: Int64, _ trail: KeyPath<Ends, (sequence: Int64, hash: Digest256)>
    ) -> Bool {
        if let end = ends[walk.chain]?[keyPath: trail], sequence <= end.sequence { return true }
        beyond[walk.chain] = sequence
        place = sequence
        return false
    }

    private var visited: Set<DeviceID> = []

    /// Checks the chains of which there was no row, and those that went on beyond their end.
    private mutating func endRange(
        _ trail: KeyPath<Ends, (sequence: Int64, hash: Digest256)>
    ) async throws(StoreError) {
        endChain()
        for (device, end) in ends where !visited.contains(device) {
            let empty = ChainWalk(walk.trail, chain: device)
            note(empty.end(at: end[keyPath: trail].sequence, hash: end[keyPath: trail].hash))
            result.chains += 1
        }
        visited = []
        guard !beyond.isEmpty else { return }
        let chains = Array(beyond.keys)
        let now = try await store.perform(as: .server) { connection in
            try connection.query(AuditStatements.findEnds, [.uuids(chains.map(\.words))]).rows.map {
                (DeviceID(try $0.uuid(0)), try $0.int8(1), try $0.int8(2))
            }
        }
        for (chain, last) in beyond {
            let end = now.first { $0.0 == chain }.map { walk.trail == .audit ? $0.1 : $0.2 }
            if let end, end >= last { continue }
            result.note(
                AuditFault(
                    .wrongEnd, in: walk.trail, chain: chain, sequence: last,
                    end.map { "the chain's kept end is \($0)" } ?? "there is no such device"))
        }
    }

    private mutating func note(_ faults: [AuditFault]) {
        for fault in faults { result.note(fault) }
    }

    // MARK: Reading

    private mutating func readKeys() async throws(StoreError) {
        for key in try await store.receiptKeys() {
            guard let bytes = Base64URL.decode(key.publicKey) else { continue }
            do {
                keys[key.keyID] = try Curve25519.Signing.PublicKey(rawRepresentation: bytes)
            } catch {
                throw .invalid("public key \(key.keyID)")
            }
        }
    }

    private static func auditRows(
        _ cursor: (chain: DeviceID, sequence: Int64), through last: DeviceID,
        over connection: PostgresConnection
    ) throws -> [(row: AuditRow, hash: Digest256)] {
        try connection.query(AuditStatements.preferOrder)
        return try connection.query(
            AuditStatements.walkAudit,
            [
                .uuid(cursor.chain.words), .int8(cursor.sequence), .uuid(last.words),
                .int8(Int64(rowsMax)),
            ]
        ).rows.map { row in
            let tenant = row.isNull(2) ? nil : TenantID(try row.int4(2))
            let content = AuditRow(
                chain: DeviceID(try row.uuid(0)), sequence: try row.int8(1), tenant: tenant,
                recordedAt: try row.time(3), node: try row.text(4), kind: try row.text(5),
                actor: try row.text(6), subject: row.textIfPresent(7), details: try row.text(8),
                previous: try row.digest(9))
            return (content, try row.digest(10))
        }
    }
}

/// A receipt as it lies in the database.
private struct ReceiptRow: Sendable {
    let device: DeviceID
    let sequence: Int64
    let bundle: BundleID
    let state: String
    let hash: Digest256
    let document: String
    /// Rows of the page before it was cut by its bytes.
    let found: Int64

    /// The hash of the receipt before, as the signed text has it, and what is wrong with the row.
    func check(
        _ keys: [String: Curve25519.Signing.PublicKey]
    ) -> (previous: Digest256?, fault: (kind: AuditFault.Kind, detail: String)?) {
        let value: JSONValue
        do {
            value = try JSONDecoder().decode(JSONValue.self, from: Data(document.utf8))
        } catch {
            return (nil, (.edited, "the receipt is no JSON"))
        }
        let previous = value["previous"]?.text.flatMap { Digest256(hexadecimal: $0) }
        do {
            let receipt = try VerifiedReceipt(value, keys: keys)
            let isSame =
                receipt.sequence == sequence && receipt.hash == hash && receipt.bundleID == bundle
                && receipt.state == state && value["device_id"]?.text == device.description
            return (previous, isSame ? nil : (.edited, "columns differ from the signed receipt"))
        } catch {
            switch error {
            case .malformed, .hashMismatch, .chainBroken: return (previous, (.edited, "\(error)"))
            case .unknownKey, .signatureInvalid: return (previous, (.invalid, "\(error)"))
            }
        }
    }
}

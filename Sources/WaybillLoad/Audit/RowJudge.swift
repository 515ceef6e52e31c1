internal import WaybillModel

/// Judges rows one by one, and in the end those that never came.
struct RowJudge {
    /// A row that equals a sent one but for its id.
    private struct Copy {
        var row: TransactionID
        var original: TransactionID
        var number: Int
        var index: Int
        var bundleID: BundleID
        var deviceID: DeviceID
    }

    /// Rows of other runs on the same devices, whose bundles must have receipts.
    struct Foreign {
        var id: TransactionID
        var deviceID: DeviceID
        var bundleID: BundleID
    }

    /// Copies that wait until their originals are known to be there or not; further ones are doubled
    /// without waiting.
    private static let copiesMax = 100_000

    private let state: LedgerState
    private let devices: [DeviceID]
    private let source: any ExpectationSource
    private let tenantID: Int32
    private var expected: ExpectedRows
    private var copies: [Copy] = []
    private(set) var report = AuditReport()
    /// To be looked up by the caller, who then empties the list.
    var foreign: [Foreign] = []

    init(
        state: LedgerState, devices: [DeviceID], source: any ExpectationSource, tenantID: Int32
    ) {
        self.state = state
        self.devices = devices
        self.source = source
        self.tenantID = tenantID
        expected = ExpectedRows(bundles: state.records.count, source: source)
        report.rows = 0
        report.rowsExpected = 0
    }

    /// A row of one of the run's devices, or one that has an id of the run.
    mutating func judge(_ row: StoredRow) throws {
        if let (number, index) = source.number(of: row.id) {
            count()
            try judge(row, number: number, index: index)
        } else if let number = source.number(of: row.bundleID) {
            count()
            try judgeStranger(row, number: number)
        } else {
            foreign.append(
                Foreign(id: row.id, deviceID: row.deviceID, bundleID: row.bundleID))
        }
    }

    /// The row's bundle has no receipt: every bundle that is settled has one.
    mutating func reportForeign(_ row: Foreign) {
        count()
        report.add(
            Finding(
                kind: .unexpected, transaction: row.id.description,
                bundle: row.bundleID.description, device: row.deviceID.description,
                detail: "a row of a bundle that has no receipt and is not of this run"))
    }

    /// Under an id of this run.
    private mutating func judge(_ row: StoredRow, number: Int, index: Int) throws {
        guard let wanted = try wantedRow(number, index: index) else {
            add(.unexpected, row, "a row of \(try standing(number, index: index))")
            return
        }
        let differences = RowComparison.differences(row, from: wanted, at: place(number))
        if expected.isSeen(number, index: index) {
            let suffix = differences.isEmpty ? "" : ", and one differs: " + Self.list(differences)
            add(.duplicated, row, "the row is there twice" + suffix)
            return
        }
        try expected.see(number, index: index)
        if !differences.isEmpty { add(.altered, row, Self.list(differences)) }
    }

    /// Under an id that is not of this run, in a bundle that is.
    private mutating func judgeStranger(_ row: StoredRow, number: Int) throws {
        guard let wanted = try wantedRow(number, index: row.index),
            RowComparison.differences(row, from: wanted, at: place(number), comparesID: false)
                .isEmpty
        else {
            add(
                .unexpected, row,
                "a row under an id that was never sent, at index \(row.index) of a bundle of this "
                    + "run")
            return
        }
        let copy = Copy(
            row: row.id, original: wanted.id, number: number, index: row.index,
            bundleID: row.bundleID, deviceID: row.deviceID)
        if copies.count < Self.copiesMax { copies.append(copy) } else { reportDoubled(copy) }
    }

    /// Call once when all rows of the run's devices were judged, before ``lostRows(_:)``.
    mutating func judgeCopies() throws {
        for copy in copies {
            if expected.isSeen(copy.number, index: copy.index) {
                reportDoubled(copy)
            } else {
                try expected.see(copy.number, index: copy.index)
                report.add(
                    Finding(
                        kind: .altered, transaction: copy.original.description,
                        bundle: copy.bundleID.description, device: copy.deviceID.description,
                        detail: "id is \(copy.row) instead of \(copy.original)"))
            }
        }
        copies = []
    }

    /// Calls `body` with the ids of rows that are missing, bundle by bundle, and counts what had to be
    /// there.
    ///
    /// All rows of a bundle with a receipt that says settled must be there; of others all or none: the
    /// missing receipt itself is for ``ReceiptAudit`` to tell.
    mutating func missingRows(_ body: (Int, ExpectedRow) -> Void) throws {
        for number in 0..<state.records.count {
            let record = state.records[number]
            guard record.wasSent, record.step != .refused else { continue }
            let (total, rows) = try expected.missing(
                number, mustBeThere: record.hasReceipt && !record.isQuarantined)
            report.rowsExpected = (report.rowsExpected ?? 0) + total
            for row in rows { body(number, row) }
        }
    }

    mutating func reportLost(_ number: Int, _ row: TransactionID, index: Int) {
        report.add(
            Finding(
                kind: .lost, transaction: row.description,
                bundle: source.bundleID(number).description,
                device: devices[number % devices.count].description,
                detail: "no row, though transaction \(index) of the bundle was accepted"))
    }

    private mutating func wantedRow(
        _ number: Int, index: Int
    ) throws -> ExpectedRow? {
        guard number >= 0, number < state.records.count, state.records[number].wasSent,
            state.records[number].step != .refused
        else { return nil }
        return try expected.row(number, index: index)
    }

    private func place(_ number: Int) -> RowPlace {
        RowPlace(
            tenantID: tenantID, deviceID: devices[number % devices.count],
            bundleID: source.bundleID(number))
    }

    /// What a row that was not to be there is of.
    private func standing(_ number: Int, index: Int) throws -> String {
        guard number >= 0, number < state.records.count, state.records[number].wasSent else {
            return "bundle \(number) of the run, which was not sent"
        }
        if state.records[number].step == .refused { return "a bundle that was refused" }
        let digest = state.records[number].digest
        guard let expectation = try source.expectation(number, digest: digest) else {
            return "a bundle that had to be refused"
        }
        if let code = expectation.quarantine {
            return "a bundle that had to end as \(code.rawValue)"
        }
        if let exception = expectation.exceptions.first(where: { $0.index == index }) {
            return "a transaction that had to be \(exception.outcome.rawValue)"
        }
        return "transaction \(index), which bundle \(number) does not have"
    }

    private mutating func count() {
        report.rows = (report.rows ?? 0) + 1
    }

    private mutating func reportDoubled(_ copy: Copy) {
        report.add(
            Finding(
                kind: .duplicated, transaction: copy.row.description,
                bundle: copy.bundleID.description, device: copy.deviceID.description,
                detail: "a copy of transaction \(copy.original) under another id"))
    }

    private mutating func add(_ kind: Finding.Kind, _ row: StoredRow, _ detail: String) {
        report.add(
            Finding(
                kind: kind, transaction: row.id.description, bundle: row.bundleID.description,
                device: row.deviceID.description, detail: detail))
    }

    private static func list(_ differences: [String]) -> String {
        differences.joined(separator: ", ")
    }
}

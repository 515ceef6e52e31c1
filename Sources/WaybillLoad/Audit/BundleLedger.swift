internal import Synchronization
package import WaybillModel

/// The book of one run: what was planned, sent, acknowledged and refused, and every receipt that was
/// read, against which the audit judges.
///
/// Safe to call from any thread; no call waits for a disk. Times are the run's nanoseconds
/// (``RunClock``). Bundle `n` belongs to device `n % devices`.
package final class BundleLedger: TrafficLedger {
    package let run: LedgerRun
    /// Holds `receipts.spool` from the start, and the rest after ``save()``.
    package let directory: String
    let spool: ReceiptSpool
    private let state: Mutex<LedgerState>
    private let numberOf: @Sendable (BundleID) -> Int?

    /// Begins an empty ledger.
    ///
    /// - Parameters:
    ///   - directory: made if it is not there, with mode 0700.
    ///   - numberOf: a bundle's number in this run; nil for ids of others.
    package convenience init(
        run: LedgerRun, directory: String, numberOf: @escaping @Sendable (BundleID) -> Int?
    ) throws {
        try LedgerFiles.makeDirectory(directory)
        self.init(
            run: run, directory: directory,
            spool: try ReceiptSpool(path: LedgerFiles.spool(directory), isNew: true),
            state: LedgerState(devices: run.devices.count), numberOf: numberOf)
    }

    init(
        run: LedgerRun, directory: String, spool: ReceiptSpool, state: LedgerState,
        numberOf: @escaping @Sendable (BundleID) -> Int?
    ) {
        self.run = run
        self.directory = directory
        self.spool = spool
        self.state = Mutex(state)
        self.numberOf = numberOf
    }

    /// Receipts up to `sequence` were there before the run: of a device that is used again.
    package func begin(device: Int, after sequence: Int64) {
        state.withLock { state in
            state.devices[device].start = sequence
            state.devices[device].last = max(state.devices[device].last, sequence)
        }
    }

    /// - Parameter time: when the plan wants it sent.
    package func planned(_ number: Int, intended time: Int64) {
        state.withLock { $0.plan(number, intended: time) }
    }

    /// The bundle's bytes were made; its receipt must tell this digest. Before the first request.
    package func sealed(_ number: Int, digest: Digest256) {
        state.withLock { $0.seal(number, digest: digest) }
    }

    /// A request with the bundle, or its declaration, is begun; each try counts.
    package func sent(_ number: Int, at time: Int64) {
        state.withLock { $0.send(number, at: time) }
    }

    /// 2xx for the whole bundle; later ones for the same bundle change nothing.
    package func acknowledged(_ number: Int, at time: Int64) {
        state.withLock { $0.acknowledge(number, at: time) }
    }

    /// Refused for good; after an acknowledgement it changes nothing.
    ///
    /// - Parameter code: of the problem.
    package func refused(_ number: Int, code: String, at time: Int64) {
        state.withLock { $0.refuse(number, code: code, at: time) }
    }

    /// One receipt, as it was read for `device`.
    ///
    /// - Returns: nil for one that is not of a bundle that this run has sent for this device, or that
    ///   cannot be read; the audit judges it all the same.
    @discardableResult
    package func receipt(
        device: Int, bytes: UnsafeRawBufferPointer, at time: Int64
    ) -> ReadReceipt? {
        spool.append(device: device, at: time, bytes)
        guard let glance = ReceiptGlance(bytes) else { return nil }
        let number = numberOf(glance.bundleID)
        return state.withLock { $0.receive(glance, number: number, device: device, at: time) }
    }

    /// See the other ``receipt(device:bytes:at:)``.
    @discardableResult
    package func receipt(device: Int, bytes: ArraySlice<UInt8>, at time: Int64) -> ReadReceipt? {
        bytes.withUnsafeBytes { receipt(device: device, bytes: $0, at: time) }
    }

    /// See the other ``receipt(device:bytes:at:)``.
    @discardableResult
    package func receipt(device: Int, bytes: [UInt8], at time: Int64) -> ReadReceipt? {
        receipt(device: device, bytes: bytes[...], at: time)
    }

    /// Acknowledged bundles of a device whose receipts are still to come.
    package func openBundles(device: Int) -> Int {
        state.withLock { $0.devices[device].open }
    }

    /// The highest receipt number that was read for a device, or that ``begin(device:after:)`` told.
    package func lastSequence(device: Int) -> Int64 {
        state.withLock { $0.devices[device].last }
    }

    package var totals: LedgerTotals {
        state.withLock { $0.totals }
    }

    /// One more than the highest number that was planned or sent.
    package var count: Int {
        state.withLock { $0.records.count }
    }

    package func record(_ number: Int) -> BundleRecord {
        state.withLock { $0.records.count > number && number >= 0 ? $0.records[number] : .init() }
    }

    /// The problem's code of a refused bundle.
    package func refusalCode(_ number: Int) -> String? {
        state.withLock { state in
            guard state.records.count > number, state.records[number].step == .refused else {
                return nil
            }
            return state.refusals[Int(state.records[number].refusal)]
        }
    }

    /// The receipt number before the device's first one in this run.
    func start(device: Int) -> Int64 {
        state.withLock { $0.devices[device].start }
    }

    /// A copy for the audit and for files.
    var snapshot: LedgerState {
        state.withLock { $0 }
    }
}

/// What the lock of a ledger guards.
struct LedgerState: Sendable {
    struct Device: Sendable, Equatable, Codable {
        /// Receipts up to this number are not of this run.
        var start: Int64 = 0
        var last: Int64 = 0
        var open = 0
    }

    var records = RecordTable()
    var devices: [Device]
    /// Codes of refusals, each once.
    var refusals: [String] = []
    var totals = LedgerTotals()

    init(devices: Int) {
        self.devices = Array(repeating: Device(), count: devices)
    }

    mutating func plan(_ number: Int, intended time: Int64) {
        records.grow(to: number)
        guard records[number].step == .none else { return }
        records[number].step = .planned
        records[number].intended = time
        totals.planned += 1
    }

    mutating func seal(_ number: Int, digest: Digest256) {
        records.grow(to: number)
        records[number].digest = digest
    }

    mutating func send(_ number: Int, at time: Int64) {
        records.grow(to: number)
        if records[number].step == .none { plan(number, intended: time) }
        if records[number].step == .planned {
            records[number].step = .sent
            records[number].firstSentRaw = time
            totals.sent += 1
        }
        records[number].sends &+= 1
        totals.sends += 1
    }

    mutating func acknowledge(_ number: Int, at time: Int64) {
        guard number < records.count, records[number].step == .sent else { return }
        records[number].step = .acknowledged
        records[number].answeredRaw = time
        totals.acknowledged += 1
        guard !records[number].hasReceipt else { return }
        totals.open += 1
        devices[number % devices.count].open += 1
    }

    mutating func refuse(_ number: Int, code: String, at time: Int64) {
        guard number < records.count, records[number].step == .sent else { return }
        records[number].step = .refused
        records[number].answeredRaw = time
        totals.refused += 1
        let position = refusals.firstIndex(of: code) ?? refusals.count
        if position == refusals.count { refusals.append(code) }
        records[number].refusal = UInt16(clamping: position)
    }

    mutating func receive(
        _ glance: ReceiptGlance, number: Int?, device: Int, at time: Int64
    ) -> ReadReceipt? {
        let isRepeat = glance.sequence <= devices[device].last
        devices[device].last = max(devices[device].last, glance.sequence)
        guard let number, number >= 0, number < records.count, number % devices.count == device,
            records[number].wasSent
        else { return nil }
        let record = records[number]
        let isFirst = !record.hasReceipt
        if isFirst {
            records[number].receiptSequence = glance.sequence
            records[number].settledRaw = time
            if record.step == .acknowledged {
                totals.open -= 1
                devices[device].open -= 1
            }
            count(glance, for: number)
        } else if glance.supersedes != nil, !isRepeat {
            if record.isQuarantined { totals.quarantined -= 1 } else { totals.settled -= 1 }
            count(glance, for: number)
        }
        return ReadReceipt(
            number: number, sequence: glance.sequence, isFirst: isFirst,
            isSettled: glance.isSettled, counts: glance.counts, intended: record.intended,
            firstSent: record.firstSentRaw)
    }

    private mutating func count(_ glance: ReceiptGlance, for number: Int) {
        records[number].isQuarantined = !glance.isSettled
        if glance.isSettled { totals.settled += 1 } else { totals.quarantined += 1 }
        totals.outcomes.accepted += glance.counts.accepted
        totals.outcomes.duplicate += glance.counts.duplicate
        totals.outcomes.rejected += glance.counts.rejected
        totals.outcomes.conflict += glance.counts.conflict
    }
}

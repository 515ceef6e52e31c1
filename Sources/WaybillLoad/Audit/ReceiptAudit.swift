internal import Crypto
internal import WaybillModel

/// Judges every receipt that a run has read, and every bundle that has none.
///
/// Work for after the measured time: it reads the spool, verifies each signature, hash and link of
/// the chains, compares counts, exceptions and digests, and holds what it keeps of one device at a
/// time on each of its threads.
package struct ReceiptAudit: Sendable {
    private let ledger: BundleLedger
    private let source: any ExpectationSource
    private let threads: Int

    /// - Parameter threads: nil for one a core.
    package init(
        ledger: BundleLedger, source: any ExpectationSource, threads: Int? = nil
    ) {
        self.ledger = ledger
        self.source = source
        self.threads = threads ?? AuditThreads.coreCount
    }

    /// - Throws: ``LedgerFault``, and what reading the spool or the source throws.
    package func run() async throws -> AuditReport {
        try await AuditThreads.run { [self] in try judge() }
    }

    private func judge() throws -> AuditReport {
        let keys = try ReceiptKeys(ledger.run.keys)
        let index = try ledger.spool.index(devices: ledger.run.devices.count)
        let state = ledger.snapshot
        let parts = try AuditThreads.divide(index.count, threads: threads) { devices in
            var report = AuditReport()
            for device in devices {
                var judge = DeviceJudge(
                    device: device, ledger: ledger, state: state, source: source, keys: keys)
                report.add(try judge.report(index[device]))
            }
            return report
        }
        var report = AuditReport()
        for part in parts { report.add(part) }
        return report
    }
}

/// The receipts and bundles of one device.
private struct DeviceJudge {
    let device: Int
    let ledger: BundleLedger
    let state: LedgerState
    let source: any ExpectationSource
    let keys: ReceiptKeys
    private let deviceID: DeviceID
    private var result = AuditReport()
    /// By rising receipt number, each number once.
    private var facts: [ReceiptFact] = []

    init(
        device: Int, ledger: BundleLedger, state: LedgerState, source: any ExpectationSource,
        keys: ReceiptKeys
    ) {
        self.device = device
        self.ledger = ledger
        self.state = state
        self.source = source
        self.keys = keys
        deviceID = ledger.run.devices[device]
    }

    mutating func report(_ entries: [SpoolEntry]) throws -> AuditReport {
        try readAll(entries)
        checkForgeries()
        let firsts = try checkBundles()
        checkOrder(firsts)
        checkTimes(firsts)
        let lost = try findLost(having: firsts)
        reportGaps(lost)
        return result
    }

    // MARK: Reading

    private mutating func readAll(_ entries: [SpoolEntry]) throws {
        var positions: [Int64: Int] = [:]
        for entry in entries {
            let bytes = try ledger.spool.read(entry)
            guard let fact = try read(bytes, entry) else {
                add(.forged, "a receipt that cannot be read: \(Self.excerpt(bytes))")
                continue
            }
            guard let known = positions[fact.sequence] else {
                positions[fact.sequence] = facts.count
                facts.append(fact)
                continue
            }
            // A page is read again when the answer to a request was lost; then it is the same text.
            if try ledger.spool.read(facts[known].entry) != bytes {
                add(
                    .forged, bundle: fact.bundleID,
                    "receipt \(fact.sequence) was read twice with different content")
            }
        }
        facts.sort { $0.sequence < $1.sequence }
        result.receipts = facts.count
        result.receiptsVerified = facts.count { $0.chain != nil }
    }

    private func read(_ bytes: [UInt8], _ entry: SpoolEntry) throws -> ReceiptFact? {
        let document: JSONValue
        do {
            document = try JSONValue(strictly: bytes)
        } catch {
            return nil
        }
        guard let sequence = document["seq"]?.integer, sequence > 0 else { return nil }
        let bundleID = document["bundle_id"]?.text.flatMap { BundleID($0) }
        var fact = ReceiptFact(
            entry: entry, sequence: sequence, number: bundleID.flatMap { source.number(of: $0) },
            bundleID: bundleID, supersedes: document["supersedes"]?.integer,
            settledAt: document["settled_at"]?.text.flatMap { Timestamp(rfc3339: $0) })
        do {
            let receipt = try VerifiedReceipt(document, keys: keys.keys)
            fact.chain = (receipt.previous, receipt.hash)
        } catch {
            fact.forgery = error.description
            return fact
        }
        if let number = fact.number, isOurs(number), state.records[number].step != .refused {
            let digest = state.records[number].digest
            guard digest != .zero else {
                throw LedgerFault.damaged("bundle \(number) was sent without a digest")
            }
            fact.difference = try source.expectation(number, digest: digest).flatMap {
                ReceiptComparison.difference(document, device: deviceID, expected: $0)
            }
        }
        return fact
    }

    /// Whether this device has sent the bundle in this run.
    private func isOurs(_ number: Int) -> Bool {
        number >= 0 && number < state.records.count && number % state.devices.count == device
            && state.records[number].wasSent
    }

    // MARK: Judging

    /// Signatures, hashes and links; numbers that are missing are judged with the bundles.
    private mutating func checkForgeries() {
        for (position, fact) in facts.enumerated() {
            if let forgery = fact.forgery {
                add(.forged, bundle: fact.bundleID, "receipt \(fact.sequence): \(forgery)")
                continue
            }
            guard let chain = fact.chain else { continue }
            let expected: Digest256? =
                if position > 0, facts[position - 1].sequence == fact.sequence - 1 {
                    facts[position - 1].chain?.hash
                } else if fact.sequence == 1 {
                    .zero
                } else {
                    // The one before was not read, in this run or at all.
                    nil
                }
            if let expected, chain.previous != expected {
                add(
                    .forged, bundle: fact.bundleID,
                    "receipt \(fact.sequence) does not continue the receipt before it")
            }
        }
    }

    /// - Returns: positions of each bundle's first receipt, by receipt number.
    private mutating func checkBundles() throws -> [Int] {
        var firsts: [Int] = []
        /// Position of the receipt that counts, by bundle number.
        var counting: [Int: Int] = [:]
        for (position, fact) in facts.enumerated() {
            // Bundles of earlier runs may settle now, where devices are used again.
            guard let number = fact.number else { continue }
            guard isOurs(number) else {
                add(
                    .unexpected, bundle: fact.bundleID,
                    "receipt \(fact.sequence) is of a bundle that this device did not send")
                continue
            }
            guard let earlier = counting[number] else {
                firsts.append(position)
                counting[number] = position
                continue
            }
            guard fact.forgery == nil else { continue }
            let before = facts[earlier].sequence
            if fact.supersedes == before {
                counting[number] = position
            } else {
                add(
                    .duplicated, bundle: fact.bundleID,
                    "receipts \(before) and \(fact.sequence) are of one bundle")
            }
        }
        for position in counting.values.sorted() { try checkContent(facts[position]) }
        return firsts
    }

    /// What the receipt that counts says of its bundle.
    private mutating func checkContent(_ fact: ReceiptFact) throws {
        guard fact.forgery == nil, let number = fact.number else { return }
        let record = state.records[number]
        if record.step == .refused {
            add(
                .unexpected, bundle: fact.bundleID,
                "receipt \(fact.sequence) is of a bundle that was refused")
        } else if try source.expectation(number, digest: record.digest) == nil {
            add(
                .unexpected, bundle: fact.bundleID,
                "receipt \(fact.sequence) is of a bundle that had to be refused")
        } else if let difference = fact.difference {
            add(.altered, bundle: fact.bundleID, "receipt \(fact.sequence): \(difference)")
        }
    }

    /// Receipts of a device come in the order in which its bundles were acknowledged: it sends one at
    /// a time. Named are as few as have to move for the rest to stand in order.
    private mutating func checkOrder(_ firsts: [Int]) {
        let heard = firsts.compactMap { position -> (position: Int, time: Int64)? in
            guard let number = facts[position].number,
                let time = state.records[number].acknowledged
            else { return nil }
            return (position, time)
        }
        let ordered = RisingRun.longest(heard.map(\.time))
        for (place, item) in heard.enumerated() where !ordered.contains(place) {
            let fact = facts[item.position]
            add(
                .outOfOrder, bundle: fact.bundleID,
                "receipt \(fact.sequence) stands at another place than the bundle had among the "
                    + "device's acknowledgements")
        }
    }

    private mutating func checkTimes(_ firsts: [Int]) {
        guard let seconds = ledger.run.plan.lateSeconds else { return }
        for position in firsts {
            let fact = facts[position]
            guard let number = fact.number,
                let acknowledged = state.records[number].acknowledged
            else { continue }
            // Reading may take longer than settling; the server's clock may be ahead.
            let told = fact.settledAt.map {
                ($0.microseconds - ledger.run.startedAt.microseconds) * 1000
            }
            let took = Double(min(fact.entry.time, told ?? .max) - acknowledged) / 1e9
            if took > seconds {
                add(
                    .late, bundle: fact.bundleID,
                    "settled \(took) s after its acknowledgement, allowed were \(seconds) s")
            }
        }
    }

    /// Bundles without a receipt, and those that were wrongly refused.
    private mutating func findLost(having firsts: [Int]) throws -> [Int] {
        let settled = Set(firsts.compactMap { facts[$0].number })
        var lost: [Int] = []
        for number in stride(from: device, to: state.records.count, by: state.devices.count) {
            let record = state.records[number]
            guard record.wasSent else { continue }
            result.bundles += 1
            switch record.step {
            case .acknowledged where !settled.contains(number):
                if try source.expectation(number, digest: record.digest) == nil {
                    add(
                        .unexpected, bundle: source.bundleID(number),
                        "acknowledged, though it had to be refused")
                } else {
                    lost.append(number)
                }
            case .refused where !settled.contains(number):
                guard try source.expectation(number, digest: record.digest) != nil else { break }
                add(
                    .altered, bundle: source.bundleID(number),
                    "refused with \(ledger.refusalCode(number) ?? "no code"), "
                        + "though nothing is wrong with how it was sent")
            default: break
            }
        }
        return lost
    }

    /// A number that is missing and a bundle without a receipt at that place are one fault.
    private mutating func reportGaps(_ lost: [Int]) {
        var details = Dictionary(
            uniqueKeysWithValues: lost.map { ($0, "acknowledged, and no receipt came") })
        var last = state.devices[device].start
        var lastNumber = -1
        for fact in facts where fact.sequence > last {
            let missing = fact.sequence - last - 1
            let next = fact.number ?? .max
            if missing > 0 {
                let within = lost.filter { $0 > lastNumber && $0 < next }
                let told = "receipt numbers \(last + 1) to \(fact.sequence - 1) are missing"
                for number in within {
                    details[number] = "acknowledged, and no receipt came: \(told)"
                }
                if Int64(within.count) < missing { add(.forged, told) }
            }
            last = fact.sequence
            lastNumber = max(lastNumber, fact.number ?? -1)
        }
        for number in lost {
            add(.lost, bundle: source.bundleID(number), details[number] ?? "")
        }
    }

    private mutating func add(
        _ kind: Finding.Kind, bundle: BundleID? = nil, _ detail: String
    ) {
        result.add(
            Finding(
                kind: kind, bundle: bundle?.description, device: deviceID.description,
                detail: detail))
    }

    private static func excerpt(_ bytes: [UInt8]) -> String {
        String(decoding: bytes.prefix(200), as: UTF8.self)
    }
}

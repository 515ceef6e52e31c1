import Crypto
import PostgresTesting
import Testing
import WaybillModel
import WaybillPostgres

@testable import WaybillLoad

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A run of a few devices, as it would have gone on a server without faults; tests plant them.
final class AuditFixture: Sendable {
    let plan: LoadPlan
    let book: RecipeBook
    let devices: [DeviceID]
    let directory: String
    let ledger: BundleLedger
    let signer = ReceiptSigner(keyID: "k1", key: .init())
    let startedAt = Timestamp(microseconds: 1_780_000_000_000_000)

    /// Removes its files afterwards.
    static func with(
        bundles: Int = 40, _ change: (inout LoadPlan) -> Void = { _ in },
        _ body: (AuditFixture) async throws -> Void
    ) async throws {
        var plan = LoadPlan()
        plan.devices = 3
        plan.bundles = bundles
        plan.mix = [.init(transactions: 12, payloadBytes: 150)]
        plan.faults.badLines = 0.08
        plan.faults.repeated = 0.08
        plan.faults.conflicting = 0.08
        plan.faults.badBundles = 0.25
        plan.binaryShare = 0.3
        plan.seed = 7
        change(&plan)
        let fixture = try AuditFixture(plan)
        defer { TestServer.remove(fixture.directory) }
        try await body(fixture)
    }

    private init(_ plan: LoadPlan) throws {
        self.plan = plan
        let book = RecipeBook(plan: plan, runID: 0x1234_5678)
        self.book = book
        devices = (0..<plan.devices).map { _ in .random() }
        directory = "/tmp/waybill-audit-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
        let key = ReceiptKey(
            keyID: signer.keyID, publicKey: Base64URL.encode(signer.publicKey),
            notBefore: startedAt, notAfter: nil)
        let tenant = try #require(TenantSlug("load"))
        ledger = try BundleLedger(
            run: LedgerRun(
                runID: book.runID, startedAt: startedAt, plan: plan, tenant: tenant,
                devices: devices, keys: ReceiptKeySet(keys: [key])),
            directory: directory, numberOf: { book.number(of: $0) })
    }

    var bundleCount: Int { plan.bundles ?? 0 }

    func digest(_ number: Int) -> Digest256 { .of(book.bundleID(number).bytes) }

    /// When the bundle is acknowledged; each is sent 5 ms before.
    func acknowledgedAt(_ number: Int) -> Int64 { Int64(number) * 10_000_000 + 5_000_000 }

    /// Sends bundles as devices do; all of them unless told otherwise.
    ///
    /// - Parameter unanswered: numbers that are neither acknowledged nor refused.
    func send(_ numbers: some Sequence<Int>, unanswered: Set<Int> = []) {
        for number in numbers {
            let time = acknowledgedAt(number)
            ledger.planned(number, intended: time - 6_000_000)
            ledger.sealed(number, digest: digest(number))
            ledger.sent(number, at: time - 5_000_000)
            if unanswered.contains(number) { continue }
            if book.recipe(number).fault?.isRefused == true {
                ledger.refused(number, code: "archive_truncated", at: time)
            } else {
                ledger.acknowledged(number, at: time)
            }
        }
    }

    func sendAll() { send(0..<bundleCount) }

    /// What the server would say of a bundle; nil for one that is refused.
    func content(_ number: Int) -> ReceiptContent? {
        guard let expected = book.expectation(number, digest: digest(number)) else { return nil }
        return ReceiptContent(
            deviceID: devices[number % devices.count], bundleID: book.bundleID(number),
            bundleDigest: expected.digest,
            state: expected.quarantine == nil ? .settled : .quarantined,
            settledAt: Timestamp(
                microseconds: startedAt.microseconds + acknowledgedAt(number) / 1000 + 20_000),
            counts: expected.quarantine == nil ? expected.counts : nil,
            exceptions: expected.exceptions.map {
                .one(
                    index: $0.index, id: $0.id, outcome: $0.outcome, code: $0.code?.rawValue,
                    detail: nil)
            },
            code: expected.quarantine, detail: expected.quarantine?.summary)
    }

    /// The receipts of a device, in order, before they are numbered and signed.
    func contents(device: Int) -> [ReceiptContent] {
        stride(from: device, to: bundleCount, by: devices.count).compactMap { content($0) }
    }

    /// Numbers, chains and signs.
    func sign(_ contents: [ReceiptContent]) throws -> [String] {
        var previous = Digest256.zero
        return try contents.enumerated().map { position, content in
            let receipt = try signer.sign(
                content, sequence: Int64(position + 1), previous: previous)
            previous = receipt.hash
            return receipt.document
        }
    }

    /// Hands documents to the ledger, as a reader does.
    func read(_ documents: [String], device: Int) {
        for document in documents {
            let number = ReceiptGlance(text: document).flatMap { book.number(of: $0.bundleID) }
            ledger.receipt(
                device: device, bytes: Array(document.utf8),
                at: acknowledgedAt(number ?? 0) + 25_000_000)
        }
    }

    /// All receipts; `change` plants a fault into those of one device before they are signed, and
    /// `damage` afterwards.
    func readAll(
        device: Int = 0, change: (inout [ReceiptContent]) -> Void = { _ in },
        damage: (inout [String]) -> Void = { _ in }
    ) throws {
        for reader in devices.indices {
            var contents = contents(device: reader)
            if reader == device { change(&contents) }
            var documents = try sign(contents)
            if reader == device { damage(&documents) }
            read(documents, device: reader)
        }
    }

    func auditReceipts() async throws -> AuditReport {
        try await ReceiptAudit(ledger: ledger, source: book, threads: 2).run()
    }

    /// Position in its device's receipts, and number in the run, of a bundle that `isWanted`.
    func settled(
        device: Int = 0, where isWanted: (WaybillLoad.Expectation) -> Bool
    ) throws -> (position: Int, number: Int) {
        var position = 0
        for number in stride(from: device, to: bundleCount, by: devices.count) {
            guard let expected = book.expectation(number, digest: digest(number)) else { continue }
            // Not the first nor the last: a fault among neighbours shows more.
            if position > 0, number + 2 * devices.count < bundleCount, isWanted(expected) {
                return (position, number)
            }
            position += 1
        }
        throw NoExample()
    }
}

/// The plan's seed made nothing of what a test looks for.
struct NoExample: Error {}

extension ReceiptGlance {
    init?(text: String) {
        guard let glance = Array(text.utf8).withUnsafeBytes({ ReceiptGlance($0) }) else {
            return nil
        }
        self = glance
    }
}

extension AuditReport {
    /// What was found, without details: equal reports found the same things.
    func names(_ kind: Finding.Kind) -> [String] {
        findings.filter { $0.kind == kind }.map { $0.transaction ?? $0.bundle ?? $0.device ?? "" }
    }

    /// Exactly one finding, of that kind.
    func only(
        _ kind: Finding.Kind, sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> Finding {
        #expect(
            findings.count == 1 && counts.values.reduce(0, +) == 1,
            "\(findings.map { "\($0.kind) \($0.detail)" })", sourceLocation: sourceLocation)
        let finding = try #require(findings.first, sourceLocation: sourceLocation)
        #expect(finding.kind == kind, "\(finding.detail)", sourceLocation: sourceLocation)
        return finding
    }
}

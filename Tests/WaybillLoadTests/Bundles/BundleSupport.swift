import Testing
import WaybillModel
import WaybillOpening
import WaybillSealing

@testable import WaybillLoad

/// Devices and plans that the tests of bundles share.
enum BundleSupport {
    static func devices(_ count: Int) throws -> [LoadDevice] {
        let tenant = try #require(TenantSlug("load"))
        var generator = SeededGenerator(seed: 99)
        return (0..<count).map { _ in
            LoadDevice(
                deviceID: .random(using: &generator), tenant: tenant, epoch: 3, token: "token",
                secret: (0..<32).map { _ in UInt8(truncatingIfNeeded: generator.next()) },
                baseURL: "http://127.0.0.1:1/v1")
        }
    }

    /// A plan in which everything goes wrong now and then.
    static func plan(
        seed: UInt64, devices: Int = 5, mix: [LoadPlan.BundleShape]? = nil
    ) -> LoadPlan {
        var plan = LoadPlan()
        plan.seed = seed
        plan.devices = devices
        plan.mix =
            mix ?? [
                .init(share: 4, transactions: 1, payloadBytes: 120),
                .init(share: 4, transactions: 20, payloadBytes: 250),
                .init(share: 1, transactions: 40, parts: 3, payloadBytes: 500),
                .init(share: 1, transactions: 2, parts: 4, payloadBytes: 399),
            ]
        plan.faults.resent = 0.1
        plan.faults.repeated = 0.1
        plan.faults.conflicting = 0.08
        plan.faults.badLines = 0.15
        plan.faults.badBundles = 0.15
        plan.faults.cut = 0.1
        plan.binaryShare = 0.2
        plan.identifiers = seed % 2 == 0 ? .ordered : .scattered
        plan.compression = seed % 3 == 0 ? .stored : .deflated
        return plan
    }

    static func maker(_ plan: LoadPlan, runID: UInt32 = 0xc0ff_ee01) throws -> BundleMaker {
        BundleMaker(
            book: RecipeBook(plan: plan, runID: runID), devices: try devices(plan.devices))
    }
}

/// What the server's own code makes of bundles, in the order in which they come.
struct JudgingServer {
    /// Content hashes of stored transactions.
    private var stored: [TransactionID: [UInt8]] = [:]
    private let devices: [LoadDevice]
    private let hasher = ContentHasher(key: [UInt8](repeating: 3, count: 32))
    private let archiveLimits = ArchiveLimits(partUnzippedBytesMax: 256 << 20, ratioMax: 200)

    init(devices: [LoadDevice]) {
        self.devices = devices
    }

    /// What became of a bundle.
    enum Verdict {
        /// With 422.
        case refused
        case quarantined(QuarantineCode)
        case settled(OutcomeCounts, [WaybillLoad.Expectation.Exception], [ExpectedRow])
    }

    mutating func receive(_ bundle: SealedBundle, device: Int) throws -> Verdict {
        let device = devices[device]
        var layouts: [ArchiveLayout] = []
        for part in bundle.parts {
            do {
                layouts.append(
                    try ArchiveStructure.check(MemorySource(part[...]), limits: archiveLimits))
            } catch is ArchiveRefusal {
                return .refused
            }
        }
        var lines: [EntryLine.Result] = []
        for (position, part) in bundle.parts.enumerated() {
            do {
                lines += try read(part, layouts[position], position, bundle, device)
            } catch let error as OpeningError {
                return .quarantined(
                    try #require(QuarantineCode(rawValue: error.shortDescription)))
            }
        }
        return settle(lines)
    }

    private func read(
        _ part: [UInt8], _ layout: ArchiveLayout, _ position: Int, _ bundle: SealedBundle,
        _ device: LoadDevice
    ) throws -> [EntryLine.Result] {
        let password = PartPassword.derive(
            secret: device.secret,
            identity: PartIdentity(
                tenant: device.tenant.text, deviceID: device.deviceID.description,
                bundleID: bundle.id.bytes, epoch: device.epoch, part: position + 1))
        let opener = try PartOpener(
            source: MemorySource(part[...]), layout: layout, password: password,
            limits: OpeningLimits())
        let reader = LineReader(
            opener: opener,
            binding: ExpectedBinding(
                bundleID: bundle.id.bytes, deviceID: device.deviceID.bytes, part: position + 1,
                parts: bundle.parts.count, transactionsMax: 100_000),
            limits: OpeningLimits(), hasher: hasher)
        var results: [EntryLine.Result] = []
        while true {
            let next = try reader.next(maxLines: 1000, maxBytes: 1 << 20)
            guard !next.isEmpty else { return results }
            results += next.map(\.result)
        }
    }

    private mutating func settle(_ lines: [EntryLine.Result]) -> Verdict {
        var counts = OutcomeCounts()
        var exceptions: [WaybillLoad.Expectation.Exception] = []
        var rows: [ExpectedRow] = []
        for (index, line) in lines.enumerated() {
            switch line {
            case .rejected(let code, _, let id):
                counts.rejected += 1
                exceptions.append(
                    .init(
                        index: index, id: id.flatMap { TransactionID(bytes: $0) },
                        outcome: .rejected, code: RejectionCode(rawValue: code)))
            case .transaction(let transaction):
                let id = TransactionID(high: transaction.idHigh, low: transaction.idLow)
                guard let hash = stored[id] else {
                    stored[id] = transaction.contentHash
                    counts.accepted += 1
                    rows.append(ExpectedRow(transaction, id: id, index: index))
                    continue
                }
                let isSame = hash == transaction.contentHash
                if isSame { counts.duplicate += 1 } else { counts.conflict += 1 }
                exceptions.append(
                    .init(
                        index: index, id: id, outcome: isSame ? .duplicate : .conflict, code: nil))
            }
        }
        return .settled(counts, exceptions, rows)
    }
}

extension ExpectedRow {
    init(_ transaction: LineTransaction, id: TransactionID, index: Int) {
        let content: Content =
            switch transaction.content {
            case .json(let text): .payload(Array(text))
            case .body(let contentType, let bytes): .body(contentType: contentType, bytes)
            }
        self.init(
            id: id, index: index, type: transaction.type,
            occurredAt: transaction.occurredAtMicroseconds,
            offsetMinutes: Int(transaction.offsetMinutes), actor: transaction.actor,
            content: content)
    }
}

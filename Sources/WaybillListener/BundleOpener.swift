internal import WaybillModel
internal import WaybillOpening
internal import WaybillQueue
internal import WaybillSealing
internal import WaybillStore

/// What opening a delivery came to.
enum Opening {
    /// Every line was read.
    case opened(OpenedBundle)
    /// It is too large to be held in memory; settle it while reading.
    case streamed(OpenedBundle, PartUnderKey)
    /// It is not what it says, or cannot be opened.
    case refused(QuarantineCode, detail: String)
}

/// A bundle's content, read and checked line by line.
struct OpenedBundle {
    var header: ParsedHeader
    var epoch: Int
    var transactions: [TransactionRow] = []
    var rejected: [RejectedLine] = []
    var inflatedByteCount = 0
}

/// A part whose structure and password are known.
struct PartUnderKey {
    let source: PartSource
    let layout: ArchiveLayout
    let password: [UInt8]
    let keys: PartKeys
    let epoch: Int
}

/// Opens the parts of deliveries: password, authentication, inflating, lines.
///
/// Used on one listener's thread.
struct BundleOpener {
    let context: ListenerContext
    let settler: Settler

    /// Lines that are read at a time from a part.
    private static let linesMax = 4096
    private static let chunkBytesMax = 1 << 20

    /// Derives the keys of all deliveries in one batch.
    ///
    /// - Returns: for each delivery its parts' keys under each epoch worth trying, or why not.
    /// - Throws: ``StoreError`` when the database is away.
    func keys(for deliveries: [Delivery]) throws -> [Result<[PartUnderKey], BundleFault>] {
        var epochs: [[Int]] = []
        for delivery in deliveries {
            epochs.append(
                try delivery.message.epoch.map { [$0] }
                    ?? settler.openEpochs(delivery.message.deviceID))
        }
        let wanted = zip(deliveries, epochs).flatMap { delivery, epochs in
            epochs.map { DeviceEpoch(deviceID: delivery.message.deviceID, epoch: $0) }
        }
        let secrets = try settler.secrets(wanted)
        var plans: [Result<[KeyPlan], BundleFault>] = []
        for (delivery, epochs) in zip(deliveries, epochs) {
            plans.append(plan(delivery.message, epochs: epochs, secrets: secrets))
        }
        let inputs = plans.flatMap { (try? $0.get()) ?? [] }.map {
            (password: $0.password, salt: $0.salt)
        }
        var derived = try PartKeys.derive(inputs)[...]
        return plans.map { plan in
            plan.map { plans in
                plans.map { plan in
                    PartUnderKey(
                        source: plan.source, layout: plan.layout, password: plan.password,
                        keys: derived.removeFirst(), epoch: plan.epoch)
                }
            }
        }
    }

    private struct KeyPlan {
        let source: PartSource
        let layout: ArchiveLayout
        let password: [UInt8]
        let salt: [UInt8]
        let epoch: Int
    }

    private func plan(
        _ message: BundleMessage, epochs: [Int], secrets: [DeviceEpoch: [UInt8]]
    ) -> Result<[KeyPlan], BundleFault> {
        do {
            // Bundles of many parts are not received yet; what is here has one.
            guard let part = message.parts.first, message.parts.count == 1 else {
                return .failure(.refused(.cannotOpen, detail: "the number of parts is not 1"))
            }
            let source = try context.source(of: part)
            let layout = try ArchiveStructure.check(source, limits: context.archiveLimits)
            let salt = try source.read(at: layout.saltOffset, count: 16)
            let plans = epochs.compactMap { epoch -> KeyPlan? in
                let key = DeviceEpoch(deviceID: message.deviceID, epoch: epoch)
                guard let secret = secrets[key] else { return nil }
                let identity = PartIdentity(
                    tenant: message.tenantSlug.text, deviceID: message.deviceID.description,
                    bundleID: message.bundleID.bytes, epoch: epoch, part: 1)
                return KeyPlan(
                    source: source, layout: layout,
                    password: PartPassword.derive(secret: secret, identity: identity), salt: salt,
                    epoch: epoch)
            }
            guard !plans.isEmpty else {
                return .failure(.refused(.cannotOpen, detail: "the key epoch is not open"))
            }
            return .success(plans)
        } catch let refusal as ArchiveRefusal {
            return .failure(.refused(.cannotOpen, detail: refusal.rule))
        } catch {
            return .failure(.unreadable("\(error)"))
        }
    }

    /// Opens one delivery under the first epoch that fits.
    ///
    /// - Throws: ``BundleFault/unreadable(_:)`` when the bytes could not be read: the bundle's own
    ///   error, worth another attempt.
    func open(_ message: BundleMessage, under keys: [PartUnderKey]) throws(BundleFault) -> Opening {
        var last = Opening.refused(.cannotOpen, detail: "the key epoch is not open")
        for key in keys {
            last = try open(message, under: key)
            guard case .refused(.cannotOpen, _) = last else { return last }
        }
        return last
    }

    private func open(
        _ message: BundleMessage, under key: PartUnderKey
    ) throws(BundleFault) -> Opening {
        do {
            let reader = try lines(of: message, under: key)
            var lines = try nextLines(of: reader)
            var bundle = OpenedBundle(header: reader.header, epoch: key.epoch)
            while !lines.isEmpty {
                bundle.append(lines)
                if bundle.inflatedByteCount > context.options.batchInflatedBytesMax {
                    bundle.transactions = []
                    bundle.rejected = []
                    return .streamed(bundle, key)
                }
                lines = try nextLines(of: reader)
            }
            return .opened(bundle)
        } catch {
            return try refusal(error)
        }
    }

    /// The lines of an authenticated part, from its header on.
    func lines(
        of message: BundleMessage, under key: PartUnderKey
    ) throws(OpeningError) -> LineReader {
        let limits = context.openingLimits
        let opener = try PartOpener(
            source: key.source, layout: key.layout, password: key.password, keys: key.keys,
            limits: limits)
        return LineReader(
            opener: opener,
            binding: ExpectedBinding(
                bundleID: message.bundleID.bytes, deviceID: message.deviceID.bytes, part: 1,
                parts: message.parts.count,
                transactionsMax: context.options.limits.bundleTransactionsMax),
            limits: limits,
            hasher: ContentHasher(key: context.rootKey.contentKey(tenant: message.tenant)))
    }

    func nextLines(of reader: LineReader) throws(OpeningError) -> [EntryLine] {
        try reader.next(maxLines: Self.linesMax, maxBytes: Self.chunkBytesMax)
    }

    /// What an error while opening says of the bundle.
    func refusal(_ error: OpeningError) throws(BundleFault) -> Opening {
        switch error {
        case .cannotOpen(let detail): return .refused(.cannotOpen, detail: detail)
        case .limitUnzipped:
            return .refused(.limitUnzipped, detail: "it inflates beyond what it may")
        case .headerInvalid(let detail): return .refused(.headerInvalid, detail: detail)
        case .bindingMismatch(let detail): return .refused(.bindingMismatch, detail: detail)
        case .source(let error): throw .unreadable("\(error)")
        case .library(let detail): throw .unreadable(detail)
        }
    }
}

/// Why a delivery could not be opened.
enum BundleFault: Error {
    /// For good: it is quarantined.
    case refused(QuarantineCode, detail: String)
    /// Its bytes could not be read now.
    case unreadable(String)
}

extension OpenedBundle {
    /// Takes over lines that were read; ``TransactionRow/bundle`` is set when the batch is put
    /// together.
    mutating func append(_ lines: [EntryLine]) {
        for line in lines {
            inflatedByteCount += line.raw.count
            switch line.result {
            case .transaction(let transaction):
                transactions.append(TransactionRow(transaction, index: line.index, raw: line.raw))
            case .rejected(let code, let detail, let id):
                rejected.append(
                    RejectedLine(
                        bundle: 0, index: line.index,
                        id: id.flatMap { TransactionID(bytes: $0) },
                        code: RejectionCode(rawValue: code) ?? .invalidJSON, detail: detail,
                        raw: line.raw))
            }
        }
    }
}

extension TransactionRow {
    init(_ line: LineTransaction, index: Int, raw: ArraySlice<UInt8>) {
        let content: TransactionRow.Content =
            switch line.content {
            case .json(let text): .json(text)
            case .body(let contentType, let bytes): .body(contentType: contentType, bytes: bytes)
            }
        self.init(
            bundle: 0, index: index, id: TransactionID(high: line.idHigh, low: line.idLow),
            type: line.type, occurredAt: Timestamp(microseconds: line.occurredAtMicroseconds),
            offsetMinutes: line.offsetMinutes, actor: line.actor, content: content,
            contentHash: Digest256(bytes: line.contentHash) ?? .zero, raw: raw)
    }
}

extension ListenerContext {
    var archiveLimits: ArchiveLimits {
        ArchiveLimits(
            partUnzippedBytesMax: options.limits.partUnzippedBytesMax,
            ratioMax: options.limits.partRatioMax)
    }

    var openingLimits: OpeningLimits {
        OpeningLimits(
            recordBytesMax: options.limits.recordBytesMax,
            partUnzippedBytesMax: options.limits.partUnzippedBytesMax)
    }
}

internal import WaybillModel
internal import WaybillOpening
internal import WaybillQueue
internal import WaybillSealing
internal import WaybillStore

/// Opens the parts of deliveries: password, authentication, inflating, lines.
///
/// Used on one listener's thread, for the deliveries of one lease.
struct BundleOpener {
    let context: ListenerContext
    let settler: any BundleSettler
    let keeper: LeaseKeeper

    /// Lines that are read at a time from a part.
    static let linesMax = 4096
    /// Their bytes; one line may go beyond.
    static let chunkBytesMax = 1 << 20

    /// A device's secret of one epoch.
    struct EpochSecret {
        let epoch: Int
        let secret: [UInt8]
    }

    /// A delivery that is ready to be opened.
    enum Prepared {
        /// Of one part, with its keys under each epoch worth trying.
        case one(LeasedSource, [PartUnderKey])
        /// Of many parts; their keys are derived one after the other.
        case many([EpochSecret])
    }

    /// Derives the keys of all deliveries in one batch.
    ///
    /// A delivery is marked as being opened while its archive is looked at. The derivation is not
    /// marked: it works on passwords and salts of one size, and a mark on each of the batch would
    /// charge them all when the process is killed.
    ///
    /// - Returns: for each delivery what opening it takes, or why it cannot be opened.
    /// - Throws: ``StoreError`` when the database is away.
    func prepare(_ deliveries: [Delivery]) throws -> [Result<Prepared, BundleFault>] {
        let secrets = try secrets(for: deliveries.map(\.message))
        var drafts: [Result<Draft, BundleFault>] = []
        for (delivery, secrets) in zip(deliveries, secrets) {
            do throws(BundleFault) {
                let mark = context.queue.beginOpening(delivery)
                defer { context.queue.endOpening(mark) }
                drafts.append(.success(try draft(delivery.message, try secrets.get())))
            } catch {
                drafts.append(.failure(error))
            }
        }
        let inputs = drafts.flatMap { draft -> [(password: [UInt8], salt: [UInt8])] in
            guard case .success(.one(_, _, let salt, let plans)) = draft else { return [] }
            return plans.map { (password: $0.password, salt: salt) }
        }
        var derived = PartKeys.derive(inputs)[...]
        return drafts.map { draft in
            draft.map { draft in
                switch draft {
                case .many(let secrets): return .many(secrets)
                case .one(let source, let layout, _, let plans):
                    let keys = plans.map {
                        PartUnderKey(
                            part: 1, layout: layout, keys: derived.removeFirst(), epoch: $0.epoch)
                    }
                    return .one(source, keys)
                }
            }
        }
    }

    private enum Draft {
        case one(
            LeasedSource, ArchiveLayout, [UInt8], [(epoch: Int, password: [UInt8])])
        case many([EpochSecret])
    }

    /// For each message the secrets worth trying, the newest epoch first.
    private func secrets(
        for messages: [BundleMessage]
    ) throws -> [Result<[EpochSecret], BundleFault>] {
        let undeclared = messages.filter { $0.epoch == nil }
        let open =
            undeclared.isEmpty ? [:] : try settler.openEpochs(Set(undeclared.map(\.deviceID)))
        let wanted = messages.map { message in
            (message.epoch.map { [$0] } ?? open[message.deviceID] ?? [])
                .map { DeviceEpoch(deviceID: message.deviceID, epoch: $0) }
        }
        let found = try settler.secrets(wanted.flatMap(\.self))
        return wanted.map { epochs in
            var secrets: [EpochSecret] = []
            for key in epochs {
                switch found[key] {
                case .secret(let secret)?:
                    secrets.append(EpochSecret(epoch: key.epoch, secret: secret))
                case .damaged?:
                    return .failure(.unreadable("the device's secret cannot be opened"))
                case nil: continue
                }
            }
            guard !secrets.isEmpty else {
                return .failure(.refused(.cannotOpen, detail: "the key epoch is not open"))
            }
            return .success(secrets)
        }
    }

    private func draft(
        _ message: BundleMessage, _ secrets: [EpochSecret]
    ) throws(BundleFault) -> Draft {
        guard let part = message.parts.first else {
            throw .refused(.cannotOpen, detail: "it has no part")
        }
        guard message.parts.count == 1 else { return .many(secrets) }
        let source = try source(of: part)
        let layout = try layout(of: source)
        return .one(
            source, layout, try salt(source, layout),
            secrets.map { ($0.epoch, password(message, part: 1, $0)) })
    }

    /// Opens one delivery under the first epoch that fits.
    ///
    /// - Throws: every ``BundleFault`` but a refusal.
    func open(_ message: BundleMessage, _ prepared: Prepared) throws(BundleFault) -> Opening {
        do throws(BundleFault) {
            switch prepared {
            case .many(let secrets): return .streamed(try survey(message, secrets))
            case .one(let source, let keys): return try open(message, source, keys)
            }
        } catch {
            guard case .refused(let refusal) = error else { throw error }
            return .refused(refusal)
        }
    }

    private func open(
        _ message: BundleMessage, _ source: LeasedSource, _ keys: [PartUnderKey]
    ) throws(BundleFault) -> Opening {
        var last = BundleFault.refused(.cannotOpen, detail: "the key epoch is not open")
        for key in keys {
            do throws(BundleFault) {
                return try open(message, source, key)
            } catch {
                guard error.isCannotOpen else { throw error }
                last = error
            }
        }
        throw last
    }

    private func open(
        _ message: BundleMessage, _ source: LeasedSource, _ key: PartUnderKey
    ) throws(BundleFault) -> Opening {
        do throws(OpeningError) {
            let reader = try reader(of: message, source, key)
            // The size declared is one that the opener never goes beyond.
            guard key.layout.declaredByteCount <= context.options.batchInflatedBytesMax else {
                try reader.open()
                return .streamed(
                    StreamPlan(summary: summary(reader.header, epoch: key.epoch), parts: [key]))
            }
            try reader.open()
            var bundle = OpenedBundle(summary: summary(reader.header, epoch: key.epoch))
            // The header may claim more lines than there are.
            bundle.transactions.reserveCapacity(
                min(reader.header.transactions, Self.linesMax, key.layout.declaredByteCount / 64))
            while try readLines(of: reader, into: &bundle, firstIndex: 0) > 0 {}
            return .opened(bundle)
        } catch {
            throw BundleFault(error)
        }
    }

    private func summary(_ header: ParsedHeader, epoch: Int) -> BundleSummary {
        BundleSummary(
            epoch: epoch, deviceSequence: header.deviceSequence,
            transactionCount: header.transactions)
    }

    // MARK: One part

    func source(of part: PartContent) throws(BundleFault) -> LeasedSource {
        do throws(ListenerError) {
            return LeasedSource(source: try context.source(of: part), keeper: keeper)
        } catch {
            throw BundleFault(source: error)
        }
    }

    func layout(of source: LeasedSource) throws(BundleFault) -> ArchiveLayout {
        do {
            return try ArchiveStructure.check(source, limits: context.archiveLimits)
        } catch let refusal as ArchiveRefusal {
            throw .refused(.cannotOpen, detail: "\(refusal.shortDescription): \(refusal)")
        } catch {
            throw BundleFault(source: error)
        }
    }

    func salt(_ source: LeasedSource, _ layout: ArchiveLayout) throws(BundleFault) -> [UInt8] {
        do {
            return try source.read(at: layout.saltOffset, count: ArchiveLayout.saltCount)
        } catch {
            throw BundleFault(source: error)
        }
    }

    func password(_ message: BundleMessage, part: Int, _ secret: EpochSecret) -> [UInt8] {
        PartPassword.deriveAtSpeed(
            secret: secret.secret,
            identity: PartIdentity(
                tenant: message.tenantSlug.text, deviceID: message.deviceID.description,
                bundleID: message.bundleID.bytes, epoch: secret.epoch, part: part))
    }

    /// The lines of a part: authenticates all of it first.
    ///
    /// - Parameter transactionsMax: what is left of the bundle's limit.
    func reader(
        of message: BundleMessage, _ source: LeasedSource, _ key: PartUnderKey,
        transactionsMax: Int? = nil
    ) throws(OpeningError) -> LineReader {
        let limits = context.openingLimits
        let opener = try PartOpener(
            source: source, layout: key.layout, password: [], keys: key.keys, limits: limits)
        return LineReader(
            opener: opener,
            binding: ExpectedBinding(
                bundleID: message.bundleID.bytes, deviceID: message.deviceID.bytes,
                part: key.part, parts: message.parts.count,
                transactionsMax: transactionsMax ?? context.options.limits.bundleTransactionsMax,
                bundleTransactionsMax: context.options.limits.bundleTransactionsMax),
            limits: limits,
            hasher: context.contentHashers.hasher(of: message.tenant))
    }

    /// Reads the next lines into `bundle`; 0 at the part's end.
    func readLines(
        of reader: LineReader, into bundle: inout OpenedBundle, firstIndex: Int
    ) throws(OpeningError) -> Int {
        try reader.read(maxLines: Self.linesMax, maxBytes: Self.chunkBytesMax) {
            bundle.append($0, firstIndex: firstIndex)
        }
    }
}

extension BundleFault {
    /// What an error while opening says of the bundle.
    init(_ error: OpeningError) {
        switch error {
        case .cannotOpen(let detail): self = .refused(.cannotOpen, detail: detail)
        case .limitUnzipped:
            self = .refused(.limitUnzipped, detail: "it inflates beyond what it may")
        case .headerInvalid(let detail): self = .refused(.headerInvalid, detail: detail)
        case .tooManyTransactions:
            self = .refused(.headerInvalid, detail: "\(error)")
        case .bindingMismatch(let detail):
            self = .refused(.bindingMismatch, detail: detail)
        case .source(let error): self.init(source: error)
        case .library(let detail): self = .unreadable(detail)
        }
    }

    /// What an error of a part's bytes says of the bundle.
    init(source error: any Error) {
        switch error {
        case let error as QueueError: self = .unrelated(error)
        case let error as ListenerError where error.isOfTheSystem: self = .unrelated(error)
        case ListenerError.partDamaged: self = .damaged("\(error)")
        default: self = .unreadable("\(error)")
        }
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
            partUnzippedBytesMax: options.limits.partUnzippedBytesMax,
            ratioMax: options.limits.partRatioMax)
    }
}

internal import Logging
internal import Metrics
internal import WaybillModel
internal import WaybillOpening
internal import WaybillQueue
internal import WaybillStore
internal import WaybillThreads

/// The deliveries of one lease on their way into the database.
struct SettlingBatch {
    private let lease: Lease
    private let context: ListenerContext
    private let settler: Settler
    private let opener: BundleOpener
    private let leasedAt = Timestamp.now
    private let logger = Logger(label: "waybill.listener")

    /// One for each delivery; what was not worked on is given back uncharged.
    private(set) var settlements: [Settlement]
    private var pending: [PendingBundle] = []
    private var pendingByteCount = 0
    /// Devices with a bundle that must come first next time.
    private var heldDevices: Set<DeviceID> = []

    private static let deadlockTriesMax = 5

    init(lease: Lease, context: ListenerContext, settler: Settler) {
        self.lease = lease
        self.context = context
        self.settler = settler
        opener = BundleOpener(context: context, settler: settler)
        settlements = lease.deliveries.map { _ in .retry(after: .zero, charged: false) }
    }

    /// Opens and settles; what stands in ``settlements`` afterwards is true in any case.
    ///
    /// - Returns: the error that ended the work early: the database went away.
    mutating func work() -> (any Error)? {
        do {
            let keys = try opener.keys(for: lease.deliveries)
            for (index, delivery) in lease.deliveries.enumerated()
            where !heldDevices.contains(delivery.message.deviceID) {
                try take(index, keys: keys[index])
            }
            try flush()
            return nil
        } catch {
            return error
        }
    }

    private mutating func take(_ index: Int, keys: Result<[PartUnderKey], BundleFault>) throws {
        let message = lease.deliveries[index].message
        do throws(BundleFault) {
            switch try opener.open(message, under: try keys.get()) {
            case .opened(let bundle):
                pending.append(PendingBundle(index: index, content: .opened(bundle)))
                pendingByteCount += bundle.inflatedByteCount
            case .refused(let code, let detail):
                pending.append(PendingBundle(index: index, content: .refused(code, detail)))
            case .streamed(let bundle, let key):
                pending.append(PendingBundle(index: index, content: .streamed(bundle, key)))
            }
        } catch {
            switch error {
            case .refused(let code, let detail):
                pending.append(PendingBundle(index: index, content: .refused(code, detail)))
            case .unreadable(let detail):
                guard isLastAttempt(index) else { return charge(index, detail: detail) }
                pending.append(
                    PendingBundle(index: index, content: .refused(.processingFailed, detail)))
            }
        }
        let isStreamed = pending.last?.isStreamed ?? false
        if isStreamed || pendingByteCount > context.options.batchInflatedBytesMax { try flush() }
    }

    /// Settles what was opened so far: a streamed bundle, always the last one, by itself.
    private mutating func flush() throws {
        let bundles = pending
        pending = []
        pendingByteCount = 0
        try settle(bundles.filter { !$0.isStreamed })
        try settle(bundles.filter { $0.isStreamed })
    }

    private mutating func settle(_ bundles: [PendingBundle]) throws {
        let bundles = bundles.filter { !heldDevices.contains(message($0).deviceID) }
        guard let first = bundles.first else { return }
        do {
            try settleTogether(bundles)
        } catch let error as StoreError where error.isUnavailable {
            throw error
        } catch let error as ListenerError {
            throw error
        } catch let error as OpeningError {
            // A streamed bundle turned out bad half way; nothing of it was committed.
            try settleRefusal(of: first, error)
        } catch {
            logger.error(
                "settling failed",
                metadata: ["bundles": "\(bundles.count)", "error": "\(error)"])
            guard bundles.count == 1 else {
                for bundle in bundles { try settle([bundle]) }
                return
            }
            guard isLastAttempt(first.index), !first.isRefused else {
                return charge(first.index, detail: "\(error)")
            }
            let content = PendingBundle.Content.refused(.processingFailed, "\(error)")
            try settle([PendingBundle(index: first.index, content: content)])
        }
    }

    private mutating func settleRefusal(of bundle: PendingBundle, _ error: OpeningError) throws {
        do throws(BundleFault) {
            guard case .refused(let code, let detail) = try opener.refusal(error) else { return }
            pending.append(PendingBundle(index: bundle.index, content: .refused(code, detail)))
        } catch {
            return charge(bundle.index, detail: "\(error)")
        }
        try flush()
    }

    /// One transaction for all; a deadlock with another listener is tried again at once.
    private mutating func settleTogether(_ bundles: [PendingBundle]) throws {
        let entries = try bundles.map { try entry($0) }
        var tries = 0
        while true {
            do {
                let settled = try settler.settle(entries) { transaction in
                    try fill(&transaction, bundles)
                }
                for result in settled { note(result, of: bundles[result.ordinal]) }
                return
            } catch let error as StoreError
                where error.isRetryable && !error.isUnavailable && tries < Self.deadlockTriesMax
            {
                tries += 1
            }
        }
    }

    private func fill(
        _ transaction: inout SettlementTransaction, _ bundles: [PendingBundle]
    ) throws {
        var rows: [TransactionRow] = []
        var rejected: [RejectedLine] = []
        for (ordinal, bundle) in bundles.enumerated()
        where !transaction.alreadySettled.contains(ordinal) {
            switch bundle.content {
            case .refused: continue
            case .opened(let bundle):
                rows.append(contentsOf: bundle.transactions.map { $0.with(bundle: ordinal) })
                rejected.append(contentsOf: bundle.rejected.map { $0.with(bundle: ordinal) })
            case .streamed(_, let key):
                try stream(message(bundle), under: key, ordinal: ordinal, into: &transaction)
            }
        }
        try transaction.insert(rows)
        try transaction.reject(rejected)
    }

    private func stream(
        _ message: BundleMessage, under key: PartUnderKey, ordinal: Int,
        into transaction: inout SettlementTransaction
    ) throws {
        let reader = try opener.lines(of: message, under: key)
        while true {
            let lines = try opener.nextLines(of: reader)
            guard !lines.isEmpty else { return }
            var chunk = OpenedBundle(header: reader.header, epoch: key.epoch)
            chunk.append(lines)
            try transaction.insert(chunk.transactions.map { $0.with(bundle: ordinal) })
            try transaction.reject(chunk.rejected.map { $0.with(bundle: ordinal) })
            _ = try context.queue.extend(lease, by: context.options.leaseDuration)
        }
    }

    private func entry(_ bundle: PendingBundle) throws -> BundleToSettle {
        let delivery = lease.deliveries[bundle.index]
        let message = delivery.message
        let verdict: BundleToSettle.Verdict =
            switch bundle.content {
            case .refused(let code, let detail):
                .quarantined(code: code, detail: detail, deadLetter: try deadLetter(message))
            case .opened, .streamed: .transactions
            }
        return BundleToSettle(
            tenant: message.tenant, deviceID: message.deviceID, bundleID: message.bundleID,
            bundleDigest: message.bundleDigest, epoch: bundle.epoch ?? message.epoch ?? 0,
            deviceSequence: bundle.header?.deviceSequence,
            partByteCounts: message.parts.map(\.byteCount),
            transactionCount: bundle.header?.transactions ?? 0,
            startedAt: message.startedAt, receivedAt: message.receivedAt, leasedAt: leasedAt,
            openedAt: .now, source: message.source, attempt: delivery.attempt, verdict: verdict)
    }

    /// The bundle's bytes, kept for operators; nil when they cannot be read any more.
    private func deadLetter(_ message: BundleMessage) throws -> DeadLetterFile? {
        do {
            return try context.deadLetters.keep(message) { try context.source(of: $0) }
        } catch ListenerError.partUnreadable {
            return nil
        }
    }

    private mutating func note(_ result: SettledBundle, of bundle: PendingBundle) {
        settlements[bundle.index] = result.state == .quarantined ? .quarantined : .settled
        guard !result.isRepeat else { return context.metrics.repeatedBundles.increment() }
        if result.state == .quarantined {
            context.metrics.quarantinedBundles.increment()
        } else {
            context.metrics.settledBundles.increment()
            context.metrics.count(result.counts)
        }
    }

    private func message(_ bundle: PendingBundle) -> BundleMessage {
        lease.deliveries[bundle.index].message
    }

    private func isLastAttempt(_ index: Int) -> Bool {
        lease.deliveries[index].attempt >= context.options.attemptsMax
    }

    /// Counts an attempt against the bundle; its device's later bundles wait with it.
    private mutating func charge(_ index: Int, detail: String) {
        let delivery = lease.deliveries[index]
        var backoff = Backoff(base: .seconds(1), ceiling: .seconds(120))
        var wait = backoff.next()
        for _ in 1..<max(delivery.attempt, 1) { wait = backoff.next() }
        settlements[index] = .retry(after: wait, charged: true)
        heldDevices.insert(delivery.message.deviceID)
        logger.warning(
            "a bundle failed",
            metadata: [
                "bundle.id": "\(delivery.message.bundleID)",
                "device.id": "\(delivery.message.deviceID)", "attempt": "\(delivery.attempt)",
                "error": "\(detail)",
            ])
    }
}

/// A delivery that was opened, or refused, and waits for its transaction.
private struct PendingBundle {
    enum Content {
        case opened(OpenedBundle)
        case refused(QuarantineCode, String)
        /// What was read of it is dropped but for the header.
        case streamed(OpenedBundle, PartUnderKey)
    }

    /// Of the delivery in its lease.
    let index: Int
    let content: Content

    var isStreamed: Bool {
        if case .streamed = content { return true }
        return false
    }

    var isRefused: Bool {
        if case .refused = content { return true }
        return false
    }

    var header: ParsedHeader? {
        switch content {
        case .opened(let bundle), .streamed(let bundle, _): bundle.header
        case .refused: nil
        }
    }

    var epoch: Int? {
        switch content {
        case .opened(let bundle), .streamed(let bundle, _): bundle.epoch
        case .refused: nil
        }
    }
}

extension TransactionRow {
    fileprivate func with(bundle ordinal: Int) -> TransactionRow {
        var row = self
        row.bundle = ordinal
        return row
    }
}

extension RejectedLine {
    fileprivate func with(bundle ordinal: Int) -> RejectedLine {
        var line = self
        line.bundle = ordinal
        return line
    }
}

extension StoreError {
    /// The database is away: nothing of the bundle's own.
    fileprivate var isUnavailable: Bool {
        if case .unavailable = self { return true }
        return false
    }
}

internal import Logging
internal import Metrics
internal import WaybillModel
internal import WaybillQueue
internal import WaybillStore
internal import WaybillThreads

/// The deliveries of one lease on their way into the database.
///
/// A bundle that fails by itself is charged an attempt, and its device's later bundles wait for it;
/// what fails for reasons outside of it is given back uncharged. Neither holds back the others.
struct SettlingBatch {
    private let lease: Lease
    private let context: ListenerContext
    private let settler: any BundleSettler
    private let opener: BundleOpener
    private let leasedAt = Timestamp.now
    private let logger = Logger(label: "waybill.listener")

    /// One for each delivery; what was not worked on is given back uncharged.
    private(set) var settlements: [Settlement]
    private var pending: [PendingBundle] = []
    private var pendingByteCount = 0
    /// Devices with a bundle that must come first next time, and its position in the lease.
    private var heldDevices: [DeviceID: Int] = [:]

    private static let deadlockTriesMax = 5

    init(lease: Lease, context: ListenerContext, settler: any BundleSettler) {
        self.lease = lease
        self.context = context
        self.settler = settler
        opener = BundleOpener(
            context: context, settler: settler,
            keeper: LeaseKeeper(
                lease, queue: context.queue, duration: context.options.leaseDuration))
        settlements = lease.deliveries.map { _ in .retry(after: .zero, charged: false) }
    }

    /// Opens and settles; what stands in ``settlements`` afterwards is true in any case.
    ///
    /// - Returns: the error that ended the work early: the database went away.
    mutating func work() -> (any Error)? {
        do {
            let prepared = try opener.prepare(lease.deliveries)
            for index in lease.deliveries.indices where !isHeld(index) {
                try take(index, prepared[index])
            }
            try flush()
            return nil
        } catch {
            return error
        }
    }

    // MARK: Opening

    private mutating func take(
        _ index: Int, _ prepared: Result<BundleOpener.Prepared, BundleFault>
    ) throws {
        let delivery = lease.deliveries[index]
        // It ended the process while it was opened, as often as it may: it is not opened again.
        guard delivery.attempt <= context.options.attemptsMax || delivery.message.retryOf != nil
        else {
            return append(
                index, .refused(.processingFailed, "the server ended while it was opened"))
        }
        do throws(BundleFault) {
            switch try open(delivery, try prepared.get()) {
            case .opened(let bundle):
                append(index, .opened(bundle))
                pendingByteCount += bundle.byteCount
            case .streamed(let plan): append(index, .streamed(plan))
            case .refused(let code, let detail): append(index, .refused(code, detail))
            }
        } catch {
            try note(error, of: index)
        }
        let isStreamed = pending.last?.isStreamed ?? false
        if isStreamed || pendingByteCount > context.options.batchInflatedBytesMax { try flush() }
    }

    private func open(
        _ delivery: Delivery, _ prepared: BundleOpener.Prepared
    ) throws(BundleFault) -> Opening {
        let mark = context.queue.beginOpening(delivery)
        defer { context.queue.endOpening(mark) }
        return try opener.open(delivery.message, prepared)
    }

    private mutating func append(_ index: Int, _ content: PendingBundle.Content) {
        pending.append(PendingBundle(index: index, content: content))
    }

    /// Draws the consequences of a bundle that could not be opened.
    ///
    /// - Throws: what has nothing to do with the bundle.
    private mutating func note(_ fault: BundleFault, of index: Int) throws {
        switch fault {
        case .refused(let code, let detail): append(index, .refused(code, detail))
        case .unreadable(let detail):
            guard isLastAttempt(index) else { return charge(index, detail: detail) }
            append(index, .refused(.processingFailed, detail))
        case .unrelated(let error): throw error
        }
    }

    // MARK: Settling

    /// Settles what was opened so far: a streamed bundle, always the last one, by itself.
    private mutating func flush() throws {
        let bundles = pending
        pending = []
        pendingByteCount = 0
        try settle(bundles.filter { !$0.isStreamed })
        try settle(bundles.filter { $0.isStreamed })
        // A streamed bundle that turned out bad is quarantined now.
        if !pending.isEmpty { try flush() }
    }

    private mutating func settle(_ bundles: [PendingBundle]) throws {
        let bundles = withEntries(bundles)
        guard let first = bundles.first?.bundle else { return }
        do {
            try settleTogether(bundles)
        } catch let fault as BundleFault {
            // Only a streamed bundle throws this; nothing of it was committed.
            try note(fault, of: first.index)
        } catch let error as StoreError where error.isRetryable {
            // The database is away, or others kept it busy: nobody's fault.
            throw error
        } catch {
            try isolate(bundles.map(\.bundle), error)
        }
    }

    /// Finds the bundle that made a transaction fail: halves until it stands alone.
    private mutating func isolate(_ bundles: [PendingBundle], _ error: any Error) throws {
        logger.error(
            "settling failed", metadata: ["bundles": "\(bundles.count)", "error": "\(error)"])
        guard bundles.count == 1, let bundle = bundles.first else {
            let middle = bundles.count / 2
            try settle(Array(bundles[..<middle]))
            return try settle(Array(bundles[middle...]))
        }
        guard (error as? StoreError)?.isOfTheBundle ?? false else {
            return giveBack(bundle.index, detail: "\(error)")
        }
        guard isLastAttempt(bundle.index), !bundle.isRefused else {
            return charge(bundle.index, detail: "\(error)")
        }
        let content = PendingBundle.Content.refused(.processingFailed, "\(error)")
        try settle([PendingBundle(index: bundle.index, content: content)])
    }

    /// One transaction for all; a deadlock with another listener is tried again at once.
    private mutating func settleTogether(
        _ bundles: [(bundle: PendingBundle, entry: BundleToSettle)]
    ) throws {
        var tries = 0
        while true {
            do {
                let settled = try settler.settle(bundles.map(\.entry)) { transaction in
                    try fill(&transaction, bundles.map(\.bundle))
                }
                for result in settled { note(result, of: bundles[result.ordinal].bundle) }
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
                rows.append(of: bundle, ordinal: ordinal)
                rejected.append(of: bundle, ordinal: ordinal)
            case .streamed(let plan):
                let stream = BundleStream(lease.deliveries[bundle.index], plan, opener: opener)
                try Self.fill(&transaction, from: stream, ordinal: ordinal)
            }
        }
        try transaction.insert(rows)
        try transaction.reject(rejected)
    }

    private static func fill(
        _ transaction: inout SettlementTransaction, from stream: BundleStream, ordinal: Int
    ) throws {
        while let chunk = try stream.next() {
            var rows: [TransactionRow] = []
            var rejected: [RejectedLine] = []
            rows.append(of: chunk, ordinal: ordinal)
            rejected.append(of: chunk, ordinal: ordinal)
            try transaction.insert(rows)
            try transaction.reject(rejected)
        }
    }

    /// What the store needs to know of each bundle. One whose dead letter cannot be written now is
    /// left out and given back.
    private mutating func withEntries(
        _ bundles: [PendingBundle]
    ) -> [(bundle: PendingBundle, entry: BundleToSettle)] {
        var entries: [(bundle: PendingBundle, entry: BundleToSettle)] = []
        for bundle in bundles where !isHeld(bundle.index) {
            do {
                entries.append((bundle, try entry(bundle)))
            } catch {
                giveBack(bundle.index, detail: "\(error)")
            }
        }
        return entries
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
        var entry = BundleToSettle(
            tenant: message.tenant, deviceID: message.deviceID, bundleID: message.bundleID,
            bundleDigest: message.bundleDigest,
            epoch: bundle.summary?.epoch ?? message.epoch ?? 0,
            deviceSequence: bundle.summary?.deviceSequence,
            partByteCounts: message.parts.map(\.byteCount),
            transactionCount: bundle.summary?.transactionCount ?? 0,
            startedAt: message.startedAt, receivedAt: message.receivedAt, leasedAt: leasedAt,
            openedAt: .now, source: message.source, attempt: delivery.attempt, verdict: verdict)
        entry.retryOf = message.retryOf.map {
            DeadLetterRetry(deadLetterID: $0.deadLetterID, receiptSequence: $0.receiptSeq)
        }
        return entry
    }

    /// The bundle's bytes, kept for operators; nil when they cannot be read any more, and for a dead
    /// letter that is tried again: its files stay.
    private func deadLetter(_ message: BundleMessage) throws -> DeadLetterFile? {
        guard message.retryOf == nil else { return nil }
        do {
            return try context.deadLetters.keep(message) { try context.source(of: $0) }
        } catch let error as ListenerError {
            guard case .partUnreadable = error, !error.isOfTheSystem else { throw error }
            return nil
        }
    }

    // MARK: What becomes of a delivery

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

    /// Whether the delivery, or one of its device before it, must come again first.
    private func isHeld(_ index: Int) -> Bool {
        heldDevices[lease.deliveries[index].message.deviceID].map { index >= $0 } ?? false
    }

    private func isLastAttempt(_ index: Int) -> Bool {
        let delivery = lease.deliveries[index]
        // An operator's retry has one attempt: the operator is told, and may ask again.
        return delivery.message.retryOf != nil
            || delivery.attempt >= context.options.attemptsMax
            || delivery.failingFor.map { $0 >= context.options.failingMax } ?? false
    }

    /// Counts an attempt against the bundle; its device's later bundles wait with it.
    private mutating func charge(_ index: Int, detail: String) {
        let delivery = lease.deliveries[index]
        let options = context.options
        var backoff = Backoff(base: options.retryBase, ceiling: options.failingMax)
        var wait = backoff.next()
        for _ in 1..<max(delivery.attempt, 1) { wait = backoff.next() }
        // The last attempt is due no later than the time for which a bundle may hold back others.
        wait = min(wait, max(.zero, options.failingMax - (delivery.failingFor ?? .zero)))
        hold(index, .retry(after: wait, charged: true), detail)
    }

    /// Has the delivery come again for reasons that are not its own.
    private mutating func giveBack(_ index: Int, detail: String) {
        var backoff = Backoff(base: .seconds(10), ceiling: .seconds(10))
        hold(index, .retry(after: backoff.next(), charged: false), detail)
    }

    private mutating func hold(_ index: Int, _ settlement: Settlement, _ detail: String) {
        let delivery = lease.deliveries[index]
        let deviceID = delivery.message.deviceID
        settlements[index] = settlement
        heldDevices[deviceID] = min(index, heldDevices[deviceID] ?? index)
        logger.warning(
            "a bundle failed",
            metadata: [
                "bundle.id": "\(delivery.message.bundleID)", "device.id": "\(deviceID)",
                "attempt": "\(delivery.attempt)", "settlement": "\(settlement)",
                "error": "\(detail)",
            ])
    }
}

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
    let lease: Lease
    let context: ListenerContext
    private let settler: any BundleSettler
    private let opener: BundleOpener
    private let leasedAt = Timestamp.now
    let logger = Logger(label: "waybill.listener")

    /// One for each delivery; what was not worked on is given back uncharged.
    var settlements: [Settlement]
    private var pending: [PendingBundle] = []
    private var pendingByteCount = 0
    /// Devices with a bundle that must come first next time, and its position in the lease.
    var heldDevices: [DeviceID: Int] = [:]

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
            let receipted = try receiptedBefore()
            let openable = lease.deliveries.indices.filter {
                !receipted.contains($0) && !hasEndedTheProcess($0)
            }
            let prepared = try opener.prepare(openable.map { lease.deliveries[$0] })
            let ready = Dictionary(uniqueKeysWithValues: zip(openable, prepared))
            for index in lease.deliveries.indices where !isHeld(index) {
                if let prepared = ready[index] {
                    try take(index, prepared)
                } else if receipted.contains(index) {
                    append(index, .settledBefore)
                } else {
                    let detail = "the server ended while it was opened"
                    append(index, .refused(.init(code: .processingFailed, detail: detail)))
                }
            }
            try flush()
            return nil
        } catch {
            return error
        }
    }

    /// Deliveries that came again and have their receipt: a crash between commit and settling.
    ///
    /// Asks the database only if something came again. A dead letter that is tried again has a
    /// receipt and is opened all the same.
    private func receiptedBefore() throws -> Set<Int> {
        let suspects = lease.deliveries.indices.filter {
            lease.deliveries[$0].isRedelivered && lease.deliveries[$0].message.retryOf == nil
        }
        guard !suspects.isEmpty else { return [] }
        let found = try settler.receipted(suspects.map { lease.deliveries[$0].message.key })
        return Set(suspects.filter { found.contains(lease.deliveries[$0].message.key) })
    }

    // MARK: Opening

    private mutating func take(
        _ index: Int, _ prepared: Result<BundleOpener.Prepared, BundleFault>
    ) throws {
        do throws(BundleFault) {
            switch try open(lease.deliveries[index], try prepared.get()) {
            case .opened(let bundle):
                append(index, .opened(bundle))
                pendingByteCount += bundle.byteCount
            case .streamed(let plan): append(index, .streamed(plan))
            case .refused(let refusal): append(index, .refused(refusal))
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
        case .refused(let refusal): append(index, .refused(refusal))
        case .unreadable(let detail):
            guard isLastAttempt(index) else { return charge(index, detail: detail) }
            append(index, .refused(.init(code: .processingFailed, detail: detail)))
        case .damaged(let detail): lose(index, detail: detail)
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
        let bundles = try withEntries(bundles)
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
        logger.debug(
            "settling failed", metadata: ["bundles": "\(bundles.count)", "error": "\(error)"])
        guard bundles.count == 1, let bundle = bundles.first else {
            let middle = bundles.count / 2
            try settle(Array(bundles[..<middle]))
            return try settle(Array(bundles[middle...]))
        }
        // What not even a refusal can be written of is no fault of the content.
        guard !bundle.isRefused, (error as? StoreError)?.isOfTheBundle ?? false else {
            return giveBack(bundle.index, detail: "\(error)")
        }
        guard isLastAttempt(bundle.index) else { return charge(bundle.index, detail: "\(error)") }
        let refusal = Refusal(code: .processingFailed, detail: "\(error)")
        try settle([PendingBundle(index: bundle.index, content: .refused(refusal))])
    }

    /// One transaction for all; a deadlock with another listener is tried again at once.
    private mutating func settleTogether(
        _ bundles: [(bundle: PendingBundle, entry: BundleToSettle)]
    ) throws {
        let mark = mark(bundles.map(\.bundle))
        defer { context.queue.endOpening(mark) }
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

    /// Marks a bundle that is settled by itself and came again: it may be what ended the process.
    ///
    /// The first time it is not marked: a process that is killed while it waits for the database
    /// says nothing against the bundle.
    private func mark(_ bundles: [PendingBundle]) -> OpeningMark {
        guard bundles.count == 1, let index = bundles.first?.index else { return .none }
        let delivery = lease.deliveries[index]
        return delivery.isRedelivered ? context.queue.beginOpening(delivery) : .none
    }

    private func fill(
        _ transaction: inout SettlementTransaction, _ bundles: [PendingBundle]
    ) throws {
        var rows: [TransactionRow] = []
        var rejected: [RejectedLine] = []
        rows.reserveCapacity(
            bundles.reduce(0) { count, bundle in
                guard case .opened(let bundle) = bundle.content else { return count }
                return count + bundle.transactions.count
            })
        for (ordinal, bundle) in bundles.enumerated()
        where !transaction.alreadySettled.contains(ordinal) {
            switch bundle.content {
            case .refused: continue
            case .settledBefore: throw ListenerError.receiptGone
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

    /// What the store needs to know of each bundle. One whose dead letter cannot be written now, or
    /// whose bytes turn out to be damaged, is left out.
    private mutating func withEntries(
        _ bundles: [PendingBundle]
    ) throws -> [(bundle: PendingBundle, entry: BundleToSettle)] {
        var entries: [(bundle: PendingBundle, entry: BundleToSettle)] = []
        for bundle in bundles where !isHeld(bundle.index) {
            do {
                entries.append((bundle, try entry(bundle)))
            } catch let fault as BundleFault {
                try noteUnkept(fault, of: bundle.index)
            } catch {
                giveBack(bundle.index, detail: "\(error)")
            }
        }
        return entries
    }

    /// A bundle that is to be refused, and whose bytes cannot be kept.
    private mutating func noteUnkept(_ fault: BundleFault, of index: Int) throws {
        switch fault {
        case .unrelated(let error): throw error
        case .damaged(let detail): lose(index, detail: detail)
        case .unreadable(let detail):
            // What can never be read again is lost, whatever the reason.
            isLastAttempt(index) ? lose(index, detail: detail) : charge(index, detail: detail)
        case .refused(let refusal): giveBack(index, detail: refusal.detail)
        }
    }

    private func entry(_ bundle: PendingBundle) throws -> BundleToSettle {
        let delivery = lease.deliveries[bundle.index]
        let message = delivery.message
        let verdict: BundleToSettle.Verdict =
            switch bundle.content {
            case .refused(let refusal):
                .quarantined(
                    code: refusal.code, detail: refusal.detail,
                    deadLetter: try deadLetter(message))
            case .opened, .streamed, .settledBefore: .transactions
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

    /// The bundle's bytes, kept for operators, after they were compared with what was acknowledged:
    /// no receipt says of sound bytes that they are bad. Nil for a dead letter that is tried again:
    /// its files stay.
    private func deadLetter(_ message: BundleMessage) throws -> DeadLetterFile? {
        guard message.retryOf == nil else { return nil }
        try opener.checkBytes(of: message)
        do {
            return try context.deadLetters.keep(message) { try context.source(of: $0) }
        } catch let error as ListenerError where !error.isOfTheSystem {
            throw BundleFault(source: error)
        }
    }
}

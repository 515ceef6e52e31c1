internal import Logging
internal import Metrics
internal import WaybillModel
internal import WaybillQueue
internal import WaybillStore
internal import WaybillThreads

/// One listener: takes a batch, opens it, settles it in one database transaction, and so on.
///
/// Lives on one thread.
final class ListenerWorker {
    private let context: ListenerContext
    private let shouldEnd: @Sendable () -> Bool
    /// Waits for that long; true when the listener should end instead of going on.
    private let pause: (Duration) -> Bool
    private let note: (ListenerWork) -> Void
    private let logger = Logger(label: "waybill.listener")
    private var backoff = Backoff(base: .milliseconds(200), ceiling: .seconds(15))

    init(
        context: ListenerContext, shouldEnd: @escaping @Sendable () -> Bool,
        pause: @escaping (Duration) -> Bool, note: @escaping (ListenerWork) -> Void
    ) {
        self.context = context
        self.shouldEnd = shouldEnd
        self.pause = pause
        self.note = note
    }

    /// Works until the pool says that it is enough.
    func run() {
        var connected: (any BundleSettler)?
        while !shouldEnd() {
            guard let settler = connected ?? context.makeSettler() else {
                if pause(backoff.next()) { return }
                continue
            }
            connected = settler
            do {
                // Without a database nothing is taken: the queue keeps it.
                try settler.connect()
                try takeBatch(settler)
                backoff.reset()
            } catch {
                let wait = backoff.next()
                logger.warning(
                    "a listener waits",
                    metadata: ["error": "\(error)", "wait.seconds": "\(wait / .seconds(1))"])
                if pause(wait) { return }
            }
        }
    }

    /// - Throws: when the database or the queue is away; the batch has been given back then.
    private func takeBatch(_ settler: any BundleSettler) throws {
        let options = context.options
        let request = LeaseRequest(
            bundlesMax: options.batchBundlesMax, bytesMax: options.batchBytesMax,
            duration: options.leaseDuration, wait: .seconds(60), isCancelled: shouldEnd)
        guard let lease = try context.queue.lease(request) else { return }
        note(.took(bundles: lease.deliveries.count))
        var settled = 0
        defer { note(.ended(settled: settled)) }
        let start = Deadline.now
        var batch = SettlingBatch(lease: lease, context: context, settler: settler)
        let failure = batch.work()
        finish(lease, batch.settlements)
        settled = batch.settlements.count {
            if case .retry = $0 { false } else { true }
        }
        context.metrics.settleTimer.recordNanoseconds(
            Int64(clamping: Deadline.now.nanoseconds - start.nanoseconds))
        if let failure {
            context.metrics.failedBatches.increment()
            throw failure
        }
    }

    /// Tells the queue what became of the batch, and lets go of the part files once that is durable.
    private func finish(_ lease: Lease, _ settlements: [Settlement]) {
        var files: [String] = []
        for (delivery, settlement) in zip(lease.deliveries, settlements) {
            if case .retry = settlement { continue }
            for part in delivery.message.parts {
                switch part.location {
                case .inline: break
                case .file(let name): files.append(context.partsDirectory + "/" + name)
                case .deadLetter(let name):
                    // Kept until the bundle is settled.
                    if settlement == .settled { files.append(context.deadLetters.path(of: name)) }
                }
            }
        }
        let reaper = context.reaper
        do {
            try context.queue.settle(lease, settlements) { [files] in
                reaper.remove(files)
            }
        } catch {
            // What was committed stays committed: a later delivery finds the receipt and ends there.
            logger.warning("a batch was settled too late", metadata: ["error": "\(error)"])
            if error == .staleLease {
                context.onStaleLease(lease.deliveries.map(\.message.key))
            }
        }
    }
}

/// What a listener tells its pool.
enum ListenerWork {
    /// It took a batch of so many bundles.
    case took(bundles: Int)
    /// It let go of its batch; so many bundles have their receipt now.
    case ended(settled: Int)
}

internal import Logging
internal import Metrics
internal import WaybillModel
internal import WaybillQueue
internal import WaybillStore
internal import WaybillThreads

/// What becomes of a delivery.
extension SettlingBatch {
    mutating func note(_ result: SettledBundle, of bundle: PendingBundle) {
        settlements[bundle.index] = result.state == .quarantined ? .quarantined : .settled
        context.returns.forget(lease.deliveries[bundle.index].sequence)
        guard !result.isRepeat else { return context.metrics.repeatedBundles.increment() }
        if result.state == .quarantined {
            context.metrics.quarantinedBundles.increment()
        } else {
            context.metrics.settledBundles.increment()
            context.metrics.count(result.counts)
        }
    }

    /// Whether the delivery, or one of its device before it, must come again first.
    func isHeld(_ index: Int) -> Bool {
        heldDevices[lease.deliveries[index].message.deviceID].map { index >= $0 } ?? false
    }

    /// An operator's retry has one attempt: the operator is told, and may ask again.
    func attemptsMax(of delivery: Delivery) -> Int {
        delivery.message.retryOf == nil ? context.options.attemptsMax : 1
    }

    /// Whether it ended the process while it was opened, as often as it may: it is not opened again.
    func hasEndedTheProcess(_ index: Int) -> Bool {
        let delivery = lease.deliveries[index]
        return delivery.attempt > attemptsMax(of: delivery)
    }

    func isLastAttempt(_ index: Int) -> Bool {
        let delivery = lease.deliveries[index]
        return delivery.attempt >= attemptsMax(of: delivery)
            || delivery.failingFor.map { $0 >= context.options.failingMax } ?? false
    }

    /// The server's copy is not what it acknowledged: no receipt, and the device sends it again.
    mutating func lose(_ index: Int, detail: String) {
        let delivery = lease.deliveries[index]
        settlements[index] = .lost
        context.returns.forget(delivery.sequence)
        context.metrics.lostBundles.increment()
        logger.error(
            "a bundle was damaged on this server's disk and is lost: its device is told to send it again",
            metadata: [
                "bundle.id": "\(delivery.message.bundleID)",
                "device.id": "\(delivery.message.deviceID)", "error": "\(detail)",
            ])
    }

    /// Counts an attempt against the bundle; its device's later bundles wait with it.
    mutating func charge(_ index: Int, detail: String) {
        let delivery = lease.deliveries[index]
        let options = context.options
        let wait = Self.wait(
            after: delivery.attempt, Backoff(base: options.retryBase, ceiling: options.failingMax))
        // The last attempt is due no later than the time for which a bundle may hold back others,
        // and never at once.
        let left = max(options.retryBase, options.failingMax - (delivery.failingFor ?? .zero))
        hold(index, .retry(after: min(wait, left), charged: true))
        log(index, detail)
    }

    /// Has the delivery come again for reasons that are not its own, the later the more often that
    /// happened.
    mutating func giveBack(_ index: Int, detail: String) {
        let options = context.options
        let note = context.returns.note(lease.deliveries[index].sequence)
        let wait = Self.wait(
            after: note.count, Backoff(base: options.returnBase, ceiling: options.returnMax))
        hold(index, .retry(after: wait, charged: false))
        if note.isWorthALine { log(index, detail) }
    }

    private static func wait(after count: Int, _ backoff: Backoff) -> Duration {
        var backoff = backoff
        var wait = backoff.next()
        for _ in 1..<max(min(count, 30), 1) { wait = backoff.next() }
        return wait
    }

    private mutating func hold(_ index: Int, _ settlement: Settlement) {
        let deviceID = lease.deliveries[index].message.deviceID
        settlements[index] = settlement
        heldDevices[deviceID] = min(index, heldDevices[deviceID] ?? index)
    }

    private func log(_ index: Int, _ detail: String) {
        let delivery = lease.deliveries[index]
        logger.warning(
            "a bundle failed",
            metadata: [
                "bundle.id": "\(delivery.message.bundleID)",
                "device.id": "\(delivery.message.deviceID)", "attempt": "\(delivery.attempt)",
                "settlement": "\(settlements[index])", "error": "\(detail)",
            ])
    }
}

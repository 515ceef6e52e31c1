internal import Logging
internal import Metrics
internal import SegmentedLog
internal import WaybillModel
internal import WaybillThreads

extension DiskQueue {
    private enum Wait {
        case granted([QueueState.Grant], expires: Deadline)
        /// Indexes are to be read first.
        case mustLoad([LoadOrder])
        /// The next thing that happens by itself comes sooner than was planned for.
        case replan
        case ended
        case failed
    }

    package func lease(_ request: LeaseRequest) throws(QueueError) -> Lease? {
        let deadline = clock().advanced(by: request.wait)
        shared.withLock { $0.idleListeners += 1 }
        defer { shared.withLock { $0.idleListeners -= 1 } }
        while true {
            switch waitOnce(request, until: deadline) {
            case .granted(let grants, let expires):
                let deliveries = try load(grants)
                if !deliveries.isEmpty { return Lease(deliveries: deliveries, expires: expires) }
            case .mustLoad(let orders): load(orders)
            case .replan: continue
            case .ended: return nil
            case .failed: throw .unhealthy
            case nil:
                if deadline <= clock() { return nil }
            }
        }
    }

    /// Waits for work until `deadline`, or until a lease ends or a retry is due; nil then.
    private func waitOnce(_ request: LeaseRequest, until deadline: Deadline) -> Wait? {
        let event = shared.withLock { $0.state.nextEvent }
        let planned = min(deadline, event ?? deadline)
        let (log, clock) = (log, clock)
        return shared.wait(timeout: planned.duration(since: clock())) { shared -> Wait? in
            guard log.isHealthy else { return .failed }
            if shared.isClosed || request.isCancelled() { return .ended }
            switch shared.state.take(request, now: clock()) {
            case .granted(let grants, let expires): return .granted(grants, expires: expires)
            case .mustLoad(let orders): return .mustLoad(orders)
            case nil: break
            }
            if let event = shared.state.nextEvent, event < planned { return .replan }
            return nil
        }
    }

    /// Reads the next rows of devices whose bundles are on disk only. Those whose rows cannot be read
    /// come again later, and stand in nobody's way.
    private func load(_ orders: [LoadOrder]) {
        var loaded: [LoadedRows] = []
        var failed: [DeviceID] = []
        var rebuilt: Set<UInt64> = []
        for order in orders {
            let segment = order.index.segment
            // To be asked again, of the index that was made anew.
            let again = LoadedRows(order: order, rows: [], next: Int(order.run.row))
            do throws(LogError) {
                loaded.append(rebuilt.contains(segment) ? again : try order.read())
            } catch {
                logger.warning(
                    "an index of the log cannot be read",
                    metadata: [
                        "queue.segment": "\(segment)", "queue.error": "\(error.shortDescription)",
                    ])
                if case .damaged = error,
                    indexing.isReplaced(order.index) || indexing.rebuildNow(segment)
                {
                    rebuilt.insert(segment)
                    loaded.append(again)
                } else {
                    failed.append(order.device)
                }
            }
        }
        let (found, postponed) = (loaded, failed)
        shared.update { shared in
            for rows in found { shared.state.take(rows) }
            let due = clock().advanced(by: .seconds(1))
            for device in postponed { shared.state.postpone(device, until: due) }
        }
    }

    /// Reads the messages of granted bundles; those that cannot be read any more are left out.
    private func load(_ grants: [QueueState.Grant]) throws(QueueError) -> [Delivery] {
        var deliveries: [Delivery] = []
        deliveries.reserveCapacity(grants.count)
        for grant in grants {
            do {
                guard let message = try read(grant, at: grant.position) else { continue }
                deliveries.append(
                    Delivery(
                        sequence: grant.sequence, number: grant.number, attempt: grant.attempt,
                        failingFor: grant.failingFor, isRedelivered: grant.isRedelivered,
                        message: message))
            } catch {
                giveBack(grants)
                throw QueueError(error)
            }
        }
        return deliveries
    }

    /// Nil if the bundle is lost, or somebody else's by now.
    private func read(
        _ grant: QueueState.Grant, at position: RecordPosition
    ) throws(LogError) -> BundleMessage? {
        do {
            let record = try log.read(position)
            if record.sequence == grant.sequence,
                let message = QueueRecord.decodeBundle(record.payload, withBytes: true)
            {
                return message
            }
        } catch {
            switch error {
            case .damaged, .noSuchSegment: break
            default: throw error
            }
        }
        // Its segment may have been written anew since it was granted.
        let current = shared.withLock { shared in
            shared.state.position(of: grant.sequence, number: grant.number)
        }
        guard let current else { return nil }
        guard current == position else { return try read(grant, at: current) }
        lose(grant)
        return nil
    }

    /// The record was damaged since it was written: the device is told to send again.
    private func lose(_ grant: QueueState.Grant) {
        logger.error(
            "a bundle was damaged in the log and is lost: its device is told to send it again",
            metadata: [
                "bundle.id": "\(grant.key.bundleID)", "device.id": "\(grant.key.deviceID)",
                "queue.sequence": "\(grant.sequence)",
            ])
        // Made here: the queue is opened before the metrics are.
        Counter(label: "waybill_bundles_lost_total").increment()
        let effect = shared.update { $0.state.lose(grant.sequence, now: clock()) }
        write(effect) {}
        indexing.wake()
    }

    /// After a failed read: all bundles of the lease that are left go back, uncharged.
    private func giveBack(_ grants: [QueueState.Grant]) {
        shared.update { shared in
            shared.state.release(grants.map(\.sequence), after: .seconds(1), now: clock())
        }
    }

    // MARK: Settling

    package func settle(
        _ lease: Lease, _ results: [Settlement], whenDurable: @escaping @Sendable () -> Void
    ) throws(QueueError) {
        precondition(results.count == lease.deliveries.count, "one result for each delivery")
        guard log.isHealthy else { throw .unhealthy }
        let deliveries = lease.deliveries.map { ($0.sequence, $0.number) }
        let effect = try shared.update { shared throws(QueueError) in
            if shared.isClosed { throw QueueError.closed }
            return try shared.state.settle(deliveries, results, now: clock())
        }
        write(effect, whenDurable: whenDurable)
        if results.contains(.lost) { indexing.wake() }
    }

    /// Records what a settlement changed.
    func write(
        _ effect: QueueState.SettleEffect, whenDurable: @escaping @Sendable () -> Void
    ) {
        guard !effect.entries.isEmpty else { return whenDurable() }
        let record = SettlementRecord(time: wallClock(), entries: effect.entries)
        log.append(
            type: QueueRecord.settlementType, payload: record.encode(), recordClass: .control
        ) { result in
            switch result {
            case .success(let appended):
                self.takeIn()
                let segment = appended.position.segment
                let settlements = record.entries.map {
                    IndexedSettlement(
                        entry: $0, time: record.time, bytes: $0.bytes, record: appended.sequence)
                }
                let hasIndexWork = self.shared.withLock { shared in
                    let losses = shared.state.lost.version
                    let isNewSegment = segment > shared.state.shelf.newest
                    shared.state.noteDurable(settlements, in: segment)
                    return isNewSegment || shared.state.lost.version != losses
                }
                whenDurable()
                if hasIndexWork { self.indexing.wake() }
                self.indexing.deleteSegments()
            case .failure(let error):
                // A restart delivers the bundles again, and the database knows that it has them.
                self.logger.warning(
                    "settlement not recorded",
                    metadata: ["queue.error": "\(error.shortDescription)"])
            }
        }
    }

    package func extend(_ lease: Lease, by duration: Duration) throws(QueueError) -> Lease {
        let now = clock()
        let expires = now.advanced(by: duration)
        let deliveries = lease.deliveries.map { ($0.sequence, $0.number) }
        try shared.update { shared throws(QueueError) in
            try shared.state.extend(deliveries, to: expires, now: now)
        }
        return Lease(deliveries: lease.deliveries, expires: expires)
    }
}

internal import SegmentedLog
internal import WaybillModel
internal import WaybillThreads

/// Rows of one device that are to be read before it can give its share.
struct LoadOrder: Sendable {
    let device: DeviceID
    let tenant: TenantID
    let run: DeviceLine.Run
    let index: SegmentIndex
    let limit: Int

    /// Blocks for a read or two.
    func read() throws(LogError) -> LoadedRows {
        let found = try index.readRows(
            of: device, tenant: tenant, from: Int(run.row), limit: limit)
        return LoadedRows(order: self, rows: found.rows, next: found.next)
    }
}

/// What was read for an order.
struct LoadedRows: Sendable {
    let order: LoadOrder
    let rows: [IndexRow]
    /// Where the device's rows go on; nil at their end.
    let next: Int?
}

extension QueueState {
    /// One bundle that was handed out; its message is yet to be read.
    struct Grant: Sendable {
        let sequence: UInt64
        let number: UInt64
        let attempt: Int
        let failingFor: Duration?
        let isRedelivered: Bool
        let key: BundleKey
        let position: RecordPosition
    }

    /// What became of a wish for work.
    enum Taken: Sendable {
        case granted([Grant], expires: Deadline)
        /// These are to be read first; ``take(_:)`` takes in what was found.
        case mustLoad([LoadOrder])
    }

    /// What a settled lease leaves to be written.
    struct SettleEffect: Sendable {
        var entries: [SettlementRecord.Entry] = []
    }

    /// Hands out the next bundles, round robin between tenants and between the devices of each; nil
    /// when nothing is ready.
    ///
    /// Each device gives an even share, so that one with a long backlog does not fill the lease.
    mutating func take(_ request: LeaseRequest, now: Deadline) -> Taken? {
        endExpiredLeases(now: now)
        promoteDelayed(now: now)
        guard !isPaused else { return nil }
        if let suspect = suspects.min(by: { $0.key < $1.key }) {
            return takeAlone(suspect.value, request, now: now)
        }
        let orders = loadOrders(request.bundlesMax)
        if !orders.isEmpty { return .mustLoad(orders) }
        var chosen: [UInt64] = []
        var bytes = 0
        var passed: [(DeviceID, TenantID)] = []
        var isFull = false
        for _ in 0..<ready.count {
            // Taken out while it changes, so that its line is not copied.
            guard !isFull, let next = ready.popFirst(places: request.bundlesMax - chosen.count)
            else { break }
            guard var device = devices.removeValue(forKey: next.device) else { continue }
            let count = chosen.count
            isFull = takeShare(
                of: &device, min(next.share, request.bundlesMax - count), &chosen, &bytes,
                bytesMax: request.bytesMax)
            if chosen.count > count || !device.isEmpty { devices[next.device] = device }
            if chosen.count == count, !device.isEmpty { passed.append((next.device, next.tenant)) }
            isFull = isFull || chosen.count >= request.bundlesMax
        }
        ready.putBack(passed)
        return chosen.isEmpty ? nil : grant(chosen, for: request.duration, now: now)
    }

    /// After a crash: the next bundle of a device that may have caused it, with nothing else at work.
    private mutating func takeAlone(
        _ deviceID: DeviceID, _ request: LeaseRequest, now: Deadline
    ) -> Taken? {
        guard leasedCount == 0 else { return nil }
        guard var device = devices.removeValue(forKey: deviceID) else {
            return clearSuspects(of: deviceID, request, now: now)
        }
        if device.needsLoading {
            defer { devices[deviceID] = device }
            // Nor while its rows cannot be read: it has a moment until it is tried again.
            guard !device.isLoading, device.due == nil else { return nil }
            // Runs in segments that are gone name nothing that is to be delivered.
            while device.needsLoading {
                if let order = loadOrder(deviceID, device, limit: 8) {
                    device.isLoading = true
                    return .mustLoad([order])
                }
                _ = device.runs.popFirst()
            }
        }
        guard device.first() != nil, ready.remove(deviceID, of: device.tenant) else {
            // It may stand in line all the same.
            devices[deviceID] = device
            return clearSuspects(of: deviceID, request, now: now)
        }
        var chosen: [UInt64] = []
        var bytes = 0
        _ = takeShare(of: &device, 1, &chosen, &bytes, bytesMax: request.bytesMax)
        devices[deviceID] = device
        return grant(chosen, for: request.duration, now: now)
    }

    /// It waits for a retry, so it ended no process; or there is nothing left of it.
    private mutating func clearSuspects(
        of deviceID: DeviceID, _ request: LeaseRequest, now: Deadline
    ) -> Taken? {
        suspects = suspects.filter { $0.value != deviceID }
        return take(request, now: now)
    }

    /// What is to be read before the next lease can be filled.
    private mutating func loadOrders(_ bundlesMax: Int) -> [LoadOrder] {
        guard shelf.hasIndexes else { return [] }
        var next: [(device: DeviceID, tenant: TenantID)] = []
        var orders: [LoadOrder] = []
        let limit = max(8, 2 * bundlesMax / max(1, ready.count))
        while next.count < bundlesMax, let (device, tenant, _) = ready.popFirst(places: 1) {
            let order = nextOrder(of: device, limit: limit)
            guard let line = devices[device], !line.isEmpty else {
                // All that its runs named was done.
                devices[device] = nil
                continue
            }
            next.append((device, tenant))
            if let order {
                devices[device]?.isLoading = true
                orders.append(order)
            }
        }
        ready.putBack(next)
        return orders
    }

    /// What is to be read before anything of a device can be handed out; drops its runs in segments
    /// that are gone, for all that was in them is done.
    private mutating func nextOrder(of deviceID: DeviceID, limit: Int) -> LoadOrder? {
        while let line = devices[deviceID], line.needsLoading, !line.isLoading {
            if let order = loadOrder(deviceID, line, limit: limit) { return order }
            _ = devices[deviceID]?.runs.popFirst()
        }
        return nil
    }

    /// All that waits of a device on disk only.
    func runs(of deviceID: DeviceID) -> [LoadOrder] {
        guard let line = devices[deviceID] else { return [] }
        return line.runs.all.compactMap { run in
            shelf[UInt64(run.segment)]?.index.map { index in
                LoadOrder(
                    device: deviceID, tenant: line.tenant, run: run, index: index,
                    limit: index.bundleCount)
            }
        }
    }

    private func loadOrder(
        _ deviceID: DeviceID, _ line: DeviceLine, limit: Int
    ) -> LoadOrder? {
        guard let run = line.runs.first, let index = shelf[UInt64(run.segment)]?.index else {
            return nil
        }
        return LoadOrder(
            device: deviceID, tenant: line.tenant, run: run, index: index, limit: limit)
    }

    /// Moves up to `count` bundles of a device into `chosen`; true when the lease is full.
    private func takeShare(
        of device: inout DeviceLine, _ count: Int, _ chosen: inout [UInt64], _ bytes: inout Int,
        bytesMax: Int
    ) -> Bool {
        for _ in 0..<count {
            guard let sequence = device.first(), let bundle = bundles[sequence] else { break }
            let size = bundle.sizes.total
            let isSolitary = !bundle.sizes.isOne || size > options.sharedLeaseBytesMax
            if !chosen.isEmpty, isSolitary || bytes + size > bytesMax { return !isSolitary }
            _ = device.waiting.popFirst()
            device.leased += 1
            chosen.append(sequence)
            bytes += size
            if isSolitary { return true }
        }
        return false
    }

    private mutating func grant(
        _ chosen: [UInt64], for duration: Duration, now: Deadline
    ) -> Taken {
        let expires = now.advanced(by: duration)
        leases[nextNumber] = ActiveLease(expires: expires, sequences: chosen)
        leasedCount += chosen.count
        var grants: [Grant] = []
        for sequence in chosen {
            guard let bundle = bundles[sequence] else { continue }
            bundles[sequence]?.holder = nextNumber
            let charge = charges[sequence]
            grants.append(
                Grant(
                    sequence: sequence, number: nextNumber, attempt: (charge?.attempts ?? 0) + 1,
                    failingFor: charge.map { now.duration(since: $0.since) },
                    isRedelivered: sequence <= recoveredThrough || returned.contains(sequence),
                    key: bundle.key, position: bundle.position))
            nextNumber += 1
        }
        return .granted(grants, expires: expires)
    }

    /// When the next lease ends or the next retry is due; nil while nothing is handed out.
    var nextEvent: Deadline? {
        guard !isPaused else { return nil }
        let ends = leases.values.map(\.expires).min()
        guard let due = delayed.last?.due else { return ends }
        return min(ends ?? due, due)
    }

    // MARK: Settling

    /// Applies the results of a lease's deliveries. Nothing changes when one of them is fenced off.
    ///
    /// - Parameter deliveries: sequence and number of each.
    mutating func settle(
        _ deliveries: [(sequence: UInt64, number: UInt64)], _ results: [Settlement], now: Deadline
    ) throws(QueueError) -> SettleEffect {
        let leaseID = try check(deliveries, now: now, at: .settle)
        var effect = SettleEffect()
        var returned: [UInt64: Duration] = [:]
        for ((sequence, _), result) in zip(deliveries, results) {
            guard let bundle = bundles[sequence] else { continue }
            switch result {
            case .settled, .quarantined, .lost:
                let outcome: SettlementRecord.Outcome =
                    switch result {
                    case .settled: .settled
                    case .lost: bundle.lostOutcome
                    default: .quarantined
                    }
                effect.entries.append(entry(sequence, bundle, outcome))
            case .retry(let delay, let isCharged):
                returned[sequence] = delay
                if isCharged { charge(sequence, bundle, &effect, now: now) }
            }
        }
        endLease(leaseID, giveBack: returned, now: now)
        let until = now.advanced(by: options.settledRetention)
        for entry in effect.entries {
            if let state = entry.outcome.state { finish(entry.sequence, state, until: until) }
        }
        forgetFinished(now: now)
        return effect
    }

    private mutating func charge(
        _ sequence: UInt64, _ bundle: QueuedBundle, _ effect: inout SettleEffect, now: Deadline
    ) {
        charges[sequence, default: Charge(attempts: 0, since: now)].attempts += 1
        effect.entries.append(entry(sequence, bundle, .charged))
    }

    func entry(
        _ sequence: UInt64, _ bundle: QueuedBundle, _ outcome: SettlementRecord.Outcome
    ) -> SettlementRecord.Entry {
        SettlementRecord.Entry(
            sequence: sequence, outcome: outcome, attempts: charges[sequence]?.attempts ?? 0,
            bytes: bundle.sizes.total)
    }

    /// Takes in which bundles were at work when the process died. One alone is charged with it; of
    /// several nobody knows which it was. Each is handed out alone from now on.
    mutating func suspect(
        _ found: [(sequence: UInt64, bundle: QueuedBundle)], now: Deadline
    ) -> SettleEffect {
        var effect = SettleEffect()
        let live = found.filter { shelf.isLive($0.sequence) }
        for (sequence, bundle) in live { suspects[sequence] = bundle.key.deviceID }
        if live.count == 1 { charge(live[0].sequence, live[0].bundle, &effect, now: now) }
        return effect
    }

    /// Moves the end of a lease.
    mutating func extend(
        _ deliveries: [(sequence: UInt64, number: UInt64)], to expires: Deadline, now: Deadline
    ) throws(QueueError) {
        let leaseID = try check(deliveries, now: now, at: .extend)
        leases[leaseID]?.expires = expires
    }

    /// Drops a bundle whose record cannot be read; the rest of its lease goes on.
    mutating func lose(_ sequence: UInt64, now: Deadline) -> SettleEffect {
        guard let bundle = bundles[sequence], bundle.holder != 0 else { return SettleEffect() }
        for (leaseID, lease) in leases where lease.sequences.contains(sequence) {
            leases[leaseID]?.sequences.removeAll { $0 == sequence }
        }
        giveBack([], to: bundle.key.deviceID, ended: 1, due: nil)
        let outcome = bundle.lostOutcome
        let lostEntry = entry(sequence, bundle, outcome)
        if let state = outcome.state {
            finish(sequence, state, until: now.advanced(by: options.settledRetention))
        }
        return SettleEffect(entries: [lostEntry])
    }

    /// Ends the leases of these bundles without a result: they come back after `delay`, uncharged.
    mutating func release(_ sequences: [UInt64], after delay: Duration, now: Deadline) {
        let wanted = Set(sequences)
        for (leaseID, lease) in leases where !wanted.isDisjoint(with: lease.sequences) {
            let returned = lease.sequences.map { ($0, delay) }
            endLease(leaseID, giveBack: Dictionary(returned) { first, _ in first }, now: now)
        }
    }

    /// The lease's id, if every delivery is still held by the one that asks.
    private func check(
        _ deliveries: [(sequence: UInt64, number: UInt64)], now: Deadline, at site: FencingSite
    ) throws(QueueError) -> UInt64 {
        for (sequence, number) in deliveries {
            guard site.confirms(bundles[sequence]?.holder == number) else { throw .staleLease }
        }
        guard let sequence = deliveries.first?.sequence,
            let found = leases.first(where: { $0.value.sequences.contains(sequence) }),
            site.confirms(now < found.value.expires)
        else { throw .staleLease }
        return found.key
    }

    // MARK: Coming back

    private mutating func endExpiredLeases(now: Deadline) {
        for (leaseID, lease) in leases where lease.expires <= now {
            let returned = lease.sequences.map { ($0, Duration.zero) }
            endLease(leaseID, giveBack: Dictionary(returned) { first, _ in first }, now: now)
        }
    }

    /// Ends a lease; bundles in `returned` go back to the front of their devices' lines.
    private mutating func endLease(
        _ leaseID: UInt64, giveBack returned: [UInt64: Duration], now: Deadline
    ) {
        guard let lease = leases.removeValue(forKey: leaseID) else { return }
        var byDevice: [(device: DeviceID, sequences: [UInt64])] = []
        for sequence in lease.sequences {
            guard let bundle = bundles[sequence] else { continue }
            if byDevice.last?.device == bundle.key.deviceID {
                byDevice[byDevice.count - 1].sequences.append(sequence)
            } else {
                byDevice.append((bundle.key.deviceID, [sequence]))
            }
        }
        for (deviceID, sequences) in byDevice {
            let back = sequences.filter { returned[$0] != nil }
            let delay = back.compactMap { returned[$0] }.max() ?? .zero
            for sequence in back {
                bundles[sequence]?.holder = 0
                leasedCount -= 1
                self.returned.insert(sequence)
                suspects[sequence] = nil
            }
            giveBack(
                back, to: deviceID, ended: sequences.count,
                due: delay > .zero ? now.advanced(by: delay) : nil)
        }
    }

    /// Ends `ended` deliveries of a device and lets it take part again if it holds none.
    private mutating func giveBack(
        _ sequences: [UInt64], to deviceID: DeviceID, ended: Int, due: Deadline?
    ) {
        guard var device = devices.removeValue(forKey: deviceID) else { return }
        device.leased -= ended
        device.waiting.putBack(sequences)
        device.due = due ?? device.due
        defer {
            if device.leased > 0 || !device.isEmpty { devices[deviceID] = device }
        }
        guard device.leased == 0, !device.isEmpty else { return }
        guard let due = device.due else { return ready.append(deviceID, of: device.tenant) }
        delay(deviceID, until: due)
    }

    private mutating func delay(_ deviceID: DeviceID, until due: Deadline) {
        let index = delayed.firstIndex { $0.due <= due } ?? delayed.count
        delayed.insert((due, deviceID), at: index)
    }

    /// A device's rows could not be read: it comes again later.
    mutating func postpone(_ deviceID: DeviceID, until due: Deadline) {
        guard let tenant = devices[deviceID]?.tenant else { return }
        devices[deviceID]?.isLoading = false
        guard ready.remove(deviceID, of: tenant) else { return }
        devices[deviceID]?.due = due
        delay(deviceID, until: due)
    }

    private mutating func promoteDelayed(now: Deadline) {
        while let last = delayed.last, last.due <= now {
            delayed.removeLast()
            devices[last.device]?.due = nil
            if let tenant = devices[last.device]?.tenant { ready.append(last.device, of: tenant) }
        }
    }
}

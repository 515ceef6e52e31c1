internal import SegmentedLog
internal import WaybillModel
internal import WaybillThreads

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

    /// What a settled lease leaves to be written.
    struct SettleEffect: Sendable {
        var entries: [SettlementRecord.Entry] = []
        /// Segments of the bundles that are done, one each.
        var done: [UInt64] = []
        var charged: [UInt64] = []
    }

    /// Hands out the next bundles, round robin between devices; nil when nothing is ready.
    ///
    /// Each device gives an even share, so that one with a long backlog does not fill the lease.
    mutating func take(
        _ request: LeaseRequest, now: Deadline
    ) -> (grants: [Grant], expires: Deadline)? {
        endExpiredLeases(now: now)
        promoteDelayed(now: now)
        guard !isPaused else { return nil }
        let share = max(1, request.bundlesMax / max(1, ready.count))
        var chosen: [UInt64] = []
        var bytes = 0
        var passed: [DeviceID] = []
        var isFull = false
        for _ in 0..<ready.count {
            // Taken out while it changes, so that its line is not copied.
            guard !isFull, let deviceID = ready.popFirst(),
                var device = devices.removeValue(forKey: deviceID)
            else { break }
            let count = chosen.count
            isFull = takeShare(
                of: &device, min(share, request.bundlesMax - count), &chosen, &bytes,
                bytesMax: request.bytesMax)
            devices[deviceID] = device
            if chosen.count == count { passed.append(deviceID) }
            isFull = isFull || chosen.count >= request.bundlesMax
        }
        ready.putBack(passed)
        return chosen.isEmpty ? nil : grant(chosen, for: request.duration, now: now)
    }

    /// Moves up to `count` bundles of a device into `chosen`; true when the lease is full.
    private func takeShare(
        of device: inout Device, _ count: Int, _ chosen: inout [UInt64], _ bytes: inout Int,
        bytesMax: Int
    ) -> Bool {
        for _ in 0..<count {
            guard let sequence = device.waiting.first, let bundle = bundles[sequence] else { break }
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
    ) -> (grants: [Grant], expires: Deadline) {
        let expires = now.advanced(by: duration)
        leases[nextNumber] = ActiveLease(expires: expires, sequences: chosen)
        leasedCount += chosen.count
        var grants: [Grant] = []
        for sequence in chosen {
            guard let bundle = bundles[sequence] else { continue }
            bundles[sequence]?.holder = nextNumber
            bundles[sequence]?.wasHandedOut = true
            grants.append(
                Grant(
                    sequence: sequence, number: nextNumber, attempt: bundle.attempts + 1,
                    failingFor: bundle.failingSince.map { now.duration(since: $0) },
                    isRedelivered: bundle.wasHandedOut, key: bundle.key,
                    position: bundle.position))
            nextNumber += 1
        }
        return (grants, expires)
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
            let segment = bundle.position.segment
            switch result {
            case .settled, .quarantined, .lost:
                let outcome: SettlementRecord.Outcome =
                    switch result {
                    case .settled: .settled
                    case .lost: bundle.lostOutcome
                    default: .quarantined
                    }
                effect.entries.append(
                    .init(sequence: sequence, outcome: outcome, attempts: bundle.attempts))
                effect.done.append(segment)
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
        bundles[sequence]?.attempts = bundle.attempts + 1
        bundles[sequence]?.failingSince = bundle.failingSince ?? now
        effect.entries.append(
            .init(sequence: sequence, outcome: .charged, attempts: bundle.attempts + 1))
        effect.charged.append(bundle.position.segment)
    }

    /// Counts an attempt against bundles that were being opened when the process died.
    mutating func chargeInterrupted(_ sequences: [UInt64], now: Deadline) -> SettleEffect {
        var effect = SettleEffect()
        for sequence in Set(sequences).sorted() {
            guard let bundle = bundles[sequence] else { continue }
            charge(sequence, bundle, &effect, now: now)
        }
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
        if let state = outcome.state {
            finish(sequence, state, until: now.advanced(by: options.settledRetention))
        }
        return SettleEffect(
            entries: [.init(sequence: sequence, outcome: outcome, attempts: bundle.attempts)],
            done: [bundle.position.segment])
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
            if device.leased > 0 || !device.waiting.isEmpty { devices[deviceID] = device }
        }
        guard device.leased == 0, !device.waiting.isEmpty else { return }
        guard let due = device.due else { return ready.append(deviceID) }
        let index = delayed.firstIndex { $0.due <= due } ?? delayed.count
        delayed.insert((due, deviceID), at: index)
    }

    private mutating func promoteDelayed(now: Deadline) {
        while let last = delayed.last, last.due <= now {
            delayed.removeLast()
            devices[last.device]?.due = nil
            ready.append(last.device)
        }
    }
}

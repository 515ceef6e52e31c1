internal import WaybillModel
internal import WaybillQueue
internal import WaybillThreads

extension QueueModel {
    /// Applies what a holder said and the queue took; returns the settlement's number.
    mutating func settle(_ index: Int, _ results: [Settlement], at now: Deadline) -> Int {
        let held = leases.remove(at: index)
        stale.append(held.lease)
        touch(held.lease)
        var effect = Unsynced()
        var delays: [DeviceID: Duration] = [:]
        for (number, result) in zip(held.copies, results) {
            switch result {
            case .settled: finish(number, .settled, &effect, at: now)
            case .quarantined: finish(number, .quarantined, &effect, at: now)
            case .lost:
                let isRetry = copies[number].message.retryOf != nil
                finish(number, isRetry ? .quarantined : .lost, &effect, at: now)
            case .retry(let delay, let isCharged):
                let device = copies[number].message.deviceID
                delays[device] = max(delays[device] ?? .zero, delay)
                guard isCharged else { continue }
                copies[number].attempts += 1
                effect.charged.append((number, copies[number].attempts))
            }
        }
        for (device, delay) in delays where delay > .zero {
            due[device] = now.advanced(by: delay)
        }
        nextSettlement += 1
        unsynced[nextSettlement] = effect
        return nextSettlement
    }

    private mutating func finish(
        _ number: Int, _ state: BundleState, _ effect: inout Unsynced, at now: Deadline
    ) {
        let key = copies[number].message.key
        lines[key.deviceID]?.removeAll { $0 == number }
        touched.append(key)
        copies[number].end = state
        known[key]?.now = .done(number, state)
        known[key]?.rememberedUntil = now.advanced(by: retention)
        // Remembered as long as anything else in its segment is needed.
        known[key]?.next += [.done(number, state), .absent]
        effect.done.append(number)
    }

    /// A sync covers the settlement: nothing of it may be undone from now on.
    mutating func noteSynced(_ settlement: Int) throws(ModelMismatch) {
        guard let effect = unsynced.removeValue(forKey: settlement) else {
            throw ModelMismatch("settlement \(settlement) is durable twice")
        }
        for number in effect.done {
            known[copies[number].message.key]?.next.removeAll { $0 == .queued(number) }
        }
        for (number, attempts) in effect.charged {
            copies[number].attemptsSynced = max(copies[number].attemptsSynced, attempts)
        }
    }

    /// A record was found damaged: the queue drops the bundle and says so.
    mutating func lose(_ number: Int, at now: Deadline) {
        var effect = Unsynced()
        let isRetry = copies[number].message.retryOf != nil
        finish(number, isRetry ? .quarantined : .lost, &effect, at: now)
    }

    mutating func forget(_ key: BundleKey) {
        touched.append(key)
        if case .done(_, let state) = known[key]?.now, state != .lost { known[key]?.now = .absent }
    }

    // MARK: What the queue shows

    /// Which keys are compared after a step.
    enum Comparison {
        /// Those that the step had to do with.
        case step
        /// It closed a segment.
        case segment
        case whole
    }

    /// Every key has its turn once in so many steps.
    private static let turns = 32

    /// Compares what is found under keys, and what the queue says of itself.
    ///
    /// To look up every key after every step takes three quarters of a run. What a step had to do with
    /// is looked up at once, and so are bundles that somebody holds, whose leases end by themselves. The
    /// queue moves other bundles by the segment: when it closes one, what was done since the one before
    /// is looked up again, for that is what lies in it; when it writes one anew, and when so much time
    /// has passed that it may forget, every key is. So does every opening, see ``restart(with:)``. What
    /// nobody thought of is found by those keys whose turn it is.
    mutating func compare(
        with queue: DiskQueue, at now: Deadline, _ comparison: Comparison
    ) throws(ModelMismatch) {
        comparisons += 1
        touchedInSegment += touched
        if comparison == .whole {
            for key in keys { try compare(queue.find(key), key, at: now) }
        } else {
            let held = leases.flatMap(\.copies).map { copies[$0].message.key }
            let turn = stride(from: comparisons % Self.turns, to: keys.count, by: Self.turns)
                .map { keys[$0] }
            var seen: Set<BundleKey> = []
            for key in (comparison == .step ? touched : touchedInSegment) + held + turn
            where seen.insert(key).inserted {
                try compare(queue.find(key), key, at: now)
            }
        }
        // What is on its way now may come into the next segment.
        if comparison != .step { touchedInSegment = touched }
        touched = []
        let bytes = lines.values.joined().reduce(0) { $0 + copies[$1].message.byteCount }
        let backlog = queue.backlog
        guard backlog.bundles == queuedCount, backlog.bytes == bytes else {
            throw ModelMismatch("a backlog of \(backlog), not \(queuedCount) of \(bytes) bytes")
        }
        let status = queue.status
        let oldest = lines.values.compactMap(\.first).min()
        guard status.depth == queuedCount, status.bytes == bytes, status.isPaused == isPaused,
            status.oldestReceivedAt == oldest.map({ copies[$0].message.receivedAt }),
            status.leased >= leases.filter({ $0.expires > now }).reduce(0, { $0 + $1.copies.count })
        else { throw ModelMismatch("the status is \(status), the oldest \(oldest as Int?)") }
    }

    private mutating func compare(
        _ entry: BundleEntry?, _ key: BundleKey, at now: Deadline
    ) throws(ModelMismatch) {
        switch (known[key]?.now, entry) {
        case (.absent, nil): return
        case (.queued(let number), let entry?):
            try compare(entry, with: number)
            let isOut = leases.contains { $0.copies.contains(number) }
            guard
                entry.state == (isHeld(number, at: now) ? .processing : .queued)
                    || (entry.state == .processing && (isOut || copies[number].wasHandedOut))
            else { throw ModelMismatch("\(number) is \(entry.state)") }
        case (.done(let number, let state), let entry?):
            try compare(entry, with: number)
            guard entry.state == state else {
                throw ModelMismatch("\(number) is \(entry.state), not \(state)")
            }
        case (.done(_, let state), nil):
            guard state != .lost, known[key]?.rememberedUntil.map({ $0 <= now }) ?? true else {
                throw ModelMismatch("a bundle that is \(state) is forgotten")
            }
            known[key]?.now = .absent
        case (let now, let entry):
            throw ModelMismatch(
                "\(key.bundleID.low) is \(String(describing: now)) and found as \(Self.text(entry))"
            )
        }
    }

    private static func text(_ entry: BundleEntry?) -> String {
        entry.map { "\($0.state) with digest \($0.bundleDigest)" } ?? "unknown"
    }

    /// Names of files that unsettled bundles need.
    var fileNames: Set<String> {
        lines.values.joined().reduce(into: []) { names, number in
            for part in copies[number].message.parts {
                if case .file(let name) = part.location { names.insert(name) }
            }
        }
    }

    // MARK: The next life

    /// Compares what an opening found with what it may find, and goes on from that.
    mutating func restart(with queue: DiskQueue) throws(ModelMismatch) {
        abandonPending()
        stale += leases.map(\.lease)
        stale = stale.suffix(20)
        leases = []
        due = [:]
        unsynced = [:]
        blindUntil = nil
        lines = [:]
        for key in keys { try restart(key, queue.find(key)) }
        for device in lines.keys { lines[device]?.sort() }
        guard isPausedNext.contains(queue.isPaused) else {
            throw ModelMismatch("after the opening isPaused is \(queue.isPaused)")
        }
        isPaused = queue.isPaused
        touched = []
        touchedInSegment = []
    }

    /// What a restart may tell of a key once nothing of it is to be delivered and the segment of its
    /// last copy is gone: how an earlier copy ended whose segment others need; and, after a full disk
    /// had no room to write down that it came again, that it is lost.
    ///
    /// Other content comes under a key only after the database was restored from before, and it is the
    /// database that has the last word on what is done.
    private static func earlierEnd(
        _ entry: BundleEntry?, _ key: BundleKey, _ copies: [Copy], _ next: [World]
    ) -> World? {
        let isWaiting = next.allSatisfy { if case .queued = $0 { true } else { false } }
        guard !isWaiting, let entry else { return nil }
        let copy = copies.lastIndex {
            $0.message.key == key && $0.message.bundleDigest == entry.bundleDigest
                && (entry.state == .lost || $0.end == entry.state)
        }
        return copy.map { .done($0, entry.state) }
    }

    private mutating func restart(
        _ key: BundleKey, _ entry: BundleEntry?
    ) throws(ModelMismatch) {
        let next = known[key]?.next ?? []
        let found = next.first { world in
            switch (world, entry) {
            case (.absent, nil): true
            case (.queued(let number), let entry?):
                entry.state == .queued
                    && entry.bundleDigest == copies[number].message.bundleDigest
            case (.done(let number, let state), let entry?):
                entry.state == state && entry.bundleDigest == copies[number].message.bundleDigest
            default: false
            }
        }
        guard let found = found ?? Self.earlierEnd(entry, key, copies, next) else {
            throw ModelMismatch(
                "after the opening \(key.bundleID.low) is \(Self.text(entry)), not one of \(next)",
                of: key)
        }
        known[key]?.now = found
        known[key]?.rememberedUntil = nil
        // What was found once is durable: the opening synced it. What is not remembered now may be
        // again, by another time of day.
        known[key]?.next =
            found == .absent
            ? next.filter { if case .queued = $0 { false } else { true } } : [found]
        switch found {
        case .absent: break
        case .queued(let number):
            if let entry { try compare(entry, with: number) }
            copies[number].isRecovered = true
            // How often a mark was left behind, and charged, only the next delivery shows.
            if copies[number].wasMarked { copies[number].attempts += 1000 }
            copies[number].isCounted = copies[number].attemptsSynced == copies[number].attempts
            lines[key.deviceID, default: []].append(number)
        case .done: known[key]?.next.append(.absent)
        }
    }
}

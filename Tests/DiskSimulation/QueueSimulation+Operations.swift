internal import WaybillModel
internal import WaybillQueue
internal import WaybillThreads

extension QueueSimulation {
    func operate() throws {
        switch number(0...99) {
        case 0..<32: try enqueueSome()
        case 32..<50: _ = try leaseSome()
        case 50..<70: try settleOne()
        case 70..<73: try settleStale()
        case 73..<76: try extendOne()
        case 76..<82: try passTime()
        case 82..<84: try setPaused(!model.isPaused)
        case 84: try closeAndOpen()
        case 85..<87: try kill()
        case 87: try crash()
        case 88: try forgetOne()
        case 89..<92: try compact()
        default: planFault()
        }
    }

    /// Something goes wrong at one of the next calls.
    private func planFault() {
        let counts = disk.counts
        switch number(0...10) {
        case 0..<3: plan.powerCutAt = counts.calls + number(1...40)
        case 3: plan.failingSyncs[counts.syncs + number(1...3)] = .pagesStayReadable
        case 4: plan.failingSyncs[counts.syncs + number(1...3)] = .pagesAreReverted
        case 5: plan.failingWrites[counts.writes + number(1...4)] = 5
        case 6: plan.shortWrites[counts.writes + number(1...2)] = number(1...600)
        case 7: plan.failingReads[counts.reads + number(1...6)] = 5
        case 8: plan.failingDirectorySyncs.insert(counts.directorySyncs + 1)
        case 9: if number(0...3) == 0 { plan.syncsFailFrom = counts.syncs + number(1...3) }
        default:
            isFull.toggle()
            if isFull { disk.fill() } else { disk.empty() }
        }
        disk.setPlan(plan)
    }

    // MARK: Coming in

    private func enqueueSome() throws {
        for _ in 0..<number(1...6) {
            guard let queue else { return }
            let message = number(0...4) == 0 ? messageAgain() : newMessage()
            let (copy, admission) = model.offer(
                message, found: disk.observe { queue.find(message.key) })
            admissions[copy] = admission
            let told = told
            queue.enqueue(message) { result in told.withLock { $0.append(.answer(copy, result)) } }
            // What is known already, or cannot be looked up, is answered at once: the next one of the
            // same key follows nobody.
            try listen()
        }
        if number(0...3) > 0 { try workAndJudgeRefusals() }
    }

    /// A refusal needs a reason: a full disk, or one that just failed.
    private func workAndJudgeRefusals() throws {
        let before = disk.counts.faults
        let (wasFull, queue) = (isFull, queue)
        queue?.work()
        let isRefused = told.withLock { told in
            told.contains { event in
                if case .answer(_, .failure) = event { true } else { false }
            }
        }
        if isRefused, !wasFull, !disk.isOut, before == disk.counts.faults {
            throw ModelMismatch("an enqueuing is refused by a disk that works")
        }
        try listen()
        try crashIfDown()
    }

    private func newMessage() -> BundleMessage {
        let place = devices[number(0...devices.count - 1)]
        defer { nextBundle += 1 }
        return message(
            tenant: place.tenant, device: DeviceID(high: 1, low: place.device),
            bundle: BundleID(high: 2, low: nextBundle))
    }

    /// A key that came before, with other content: what is there must stay.
    private func messageAgain() -> BundleMessage {
        guard let key = model.keys.randomElement(using: &chance),
            case .done(let copy, _) = model.known[key]?.now ?? .absent
        else {
            guard let key = model.keys.randomElement(using: &chance) else { return newMessage() }
            return message(
                tenant: 1, device: key.deviceID, bundle: key.bundleID, retries: number(0...5) == 0)
        }
        return message(
            tenant: model.copies[copy].message.tenant.number, device: key.deviceID,
            bundle: key.bundleID, retries: Bool.random(using: &chance))
    }

    private func message(
        tenant: Int32, device: DeviceID, bundle: BundleID, retries: Bool = false
    ) -> BundleMessage {
        let copy = UInt64(model.copies.count)
        let parts = (0..<(number(0...7) == 0 ? number(2...3) : 1)).map { index in
            part(copy, index)
        }
        guard let slug = TenantSlug("tenant-\(tenant)") else { preconditionFailure("a bad slug") }
        let retryOf =
            retries
            ? BundleMessage.RetryOf(
                deadLetterID: DeadLetterID(high: 3, low: copy), receiptSeq: Int64(copy)) : nil
        return BundleMessage(
            tenant: TenantID(tenant), tenantSlug: slug, deviceID: device, bundleID: bundle,
            epoch: Int(copy), bundleDigest: Digest256(words: (copy, 1, 2, 3)), parts: parts,
            startedAt: Timestamp(microseconds: Int64(copy)),
            receivedAt: Timestamp(microseconds: Int64(copy) + 1), source: "192.0.2.1",
            retryOf: retryOf)
    }

    private func part(_ copy: UInt64, _ index: Int) -> PartContent {
        let digest = Digest256(words: (copy, UInt64(index), 4, 5))
        if number(0...9) == 0 {
            return PartContent(
                digest: digest, byteCount: number(1...100_000),
                location: .file(name: "\(copy)-\(index)"))
        }
        let count = number(0...9) == 0 ? number(0...6000) : number(0...700)
        let fill = UInt8(truncatingIfNeeded: copy &* 31 &+ UInt64(index))
        return PartContent(
            digest: digest, byteCount: count,
            location: .inline([UInt8](repeating: fill, count: count)))
    }

    // MARK: Going out

    /// False when nothing was handed out.
    func leaseSome() throws -> Bool {
        guard let queue else { return false }
        let request = LeaseRequest(
            bundlesMax: number(1...12), bytesMax: number(0...3) == 0 ? number(1...2000) : 1 << 20,
            duration: .seconds(number(1...60)), wait: .zero)
        let lease: Lease?
        let failures = disk.counts.faults[.failedRead, default: 0]
        do throws(QueueError) {
            lease = try queue.lease(request)
            if disk.counts.faults[.failedRead, default: 0] > failures {
                // A device whose index could not be read is kept back for a moment.
                model.blindUntil = clock.now.advanced(by: .seconds(1))
            }
        } catch {
            switch error {
            case .io(errno: 5, _):
                // Given back uncharged, and kept back for a moment.
                model.blindUntil = clock.now.advanced(by: .seconds(1))
                return false
            case .unhealthy where !queue.status.isHealthy || disk.isOut:
                try crashIfDown()
                return false
            default: throw ModelMismatch("leasing: \(error)")
            }
        }
        // Without power nobody has got anything.
        if disk.isOut {
            try crashIfDown()
            return false
        }
        try model.take(lease, request, at: clock.now)
        noteDelivered(lease?.deliveries.count ?? 0)
        if hasMarks, let lease, number(0...1) == 0 {
            let held = model.leases.count - 1
            model.leases[held].marks = lease.deliveries.map { queue.beginOpening($0) }
            for copy in model.leases[held].copies { model.copies[copy].wasMarked = true }
        }
        return lease != nil
    }

    private func settleOne() throws {
        guard !model.leases.isEmpty else { return }
        let index = number(0...model.leases.count - 1)
        let results = model.leases[index].copies.map { _ -> Settlement in
            switch number(0...9) {
            case 0..<5: .settled
            case 5: .quarantined
            case 6: .lost
            default:
                .retry(
                    after: number(0...1) == 0 ? .zero : .seconds(number(1...120)),
                    charged: Bool.random(using: &chance))
            }
        }
        try settle(index, results)
        if number(0...3) > 0 { try work() }
    }

    /// Settles a lease that the model has: taken if it has not ended, refused if it has.
    func settle(_ index: Int, _ results: [Settlement]) throws {
        guard let queue else { return }
        let held = model.leases[index]
        for mark in held.marks { queue.endOpening(mark) }
        let isOver = held.expires <= clock.now
        let settlement = model.nextSettlement + 1
        let told = told
        do throws(QueueError) {
            try queue.settle(held.lease, results) {
                told.withLock { $0.append(.durable(settlement)) }
            }
        } catch {
            switch error {
            case .staleLease where isOver:
                model.stale.append(model.leases.remove(at: index).lease)
                return
            case .unhealthy where !queue.status.isHealthy || disk.isOut:
                return try crashIfDown()
            default: throw ModelMismatch("settling in time: \(error)")
            }
        }
        guard !isOver else { throw ModelMismatch("a lease is settled after its end") }
        _ = model.settle(index, results, at: clock.now)
        try listen()
    }

    /// A holder that stood still comes back: fenced off, in this life and in later ones.
    private func settleStale() throws {
        guard let queue, let lease = model.stale.randomElement(using: &chance) else { return }
        model.touch(lease)
        do throws(QueueError) {
            try queue.settle(lease, lease.deliveries.map { _ in .settled }) {}
        } catch {
            switch error {
            case .staleLease: return
            case .unhealthy where !queue.status.isHealthy || disk.isOut: return try crashIfDown()
            default: throw ModelMismatch("settling too late: \(error)")
            }
        }
        throw ModelMismatch("a stale lease was settled")
    }

    private func extendOne() throws {
        guard let queue, !model.leases.isEmpty else { return }
        let index = number(0...model.leases.count - 1)
        let held = model.leases[index]
        // At the very end, too: one holder at most.
        if number(0...2) == 0 { clock.advance(to: held.expires) }
        let isOver = held.expires <= clock.now
        let duration = Duration.seconds(number(1...60))
        let extended: Lease
        do throws(QueueError) {
            extended = try queue.extend(held.lease, by: duration)
        } catch {
            guard error == .staleLease, isOver else {
                throw ModelMismatch("extending in time: \(error)")
            }
            model.stale.append(model.leases.remove(at: index).lease)
            return
        }
        guard !isOver, extended.expires == clock.now.advanced(by: duration) else {
            throw ModelMismatch("a lease is extended after its end, or to another")
        }
        model.leases[index].expires = extended.expires
        model.leases[index].lease = extended
    }

    // MARK: The rest

    private func passTime() throws {
        switch number(0...5) {
        case 0: clock.advance(by: .seconds(number(1...10)))
        case 1:
            clock.advance(by: .seconds(number(60...2000)))
            timeJumped = true
        case 2: clock.setWall(forward: Bool.random(using: &chance) ? 3600 : -3600)
        case 3:
            // One moment before an end, or at it.
            guard let held = model.leases.randomElement(using: &chance) else { return }
            clock.advance(to: held.expires.before(.nanoseconds(number(0...1))))
        default: clock.advance(by: .milliseconds(number(1...900)))
        }
        try work()
    }

    func setPaused(_ isPaused: Bool) throws {
        guard let queue else { return }
        model.isPaused = isPaused
        model.isPausedNext.insert(isPaused)
        do throws(QueueError) {
            try queue.setPaused(isPaused)
            model.isPausedNext = [isPaused]
        } catch {
            // Holds in this life all the same.
        }
        try crashIfDown()
    }

    private func forgetOne() throws {
        guard let queue, let key = model.keys.randomElement(using: &chance) else { return }
        queue.forget(key)
        model.forget(key)
    }

    private func compact() throws {
        compactions += queue?.compact(isAtRest: false) ?? 0
        try listen()
        try crashIfDown()
    }

    private func closeAndOpen() throws {
        queue?.close()
        try listen()
        if disk.isOut { return try crash() }
        try open()
    }
}

internal import Logging
internal import WaybillModel
internal import WaybillQueue
internal import WaybillThreads

/// One run of a queue whose files are damaged while it is down.
///
/// It must open all the same. What the damage did not touch is delivered; what it touched and is not
/// delivered is named: by a fault that the opening reports, or as lost.
package final class DamageSimulation {
    /// A bundle that was acknowledged.
    struct Bundle {
        let message: BundleMessage
        /// Of its record.
        var sequence: UInt64 = 0
        var isSettled = false
        var isDelivered = false
    }

    let seed: UInt64
    var chance: SeededChance
    package let disk = SimulatedDisk(capacity: 16 << 20)
    /// Deliveries after the damage, and bundles that were lost and named.
    package private(set) var deliveries = 0
    package private(set) var losses = 0
    /// Segments that were written anew before the damage.
    package private(set) var compactions = 0
    package private(set) var operation = 0
    private let options: DiskQueueOptions
    private let clock = VirtualClock()
    /// Watches the queue; another one after the damage, for it cannot know of that.
    private var checker: OrderChecker
    /// Whether segments are written anew, too.
    private let compacts: Bool
    private var queue: DiskQueue?
    var bundles: [BundleKey: Bundle] = [:]
    private var keys: [BundleKey] = []
    /// The newest one that a bundle of the list has.
    private var lastSequence: UInt64 = 0
    private static let bundleType: UInt16 = 1
    /// What segments and sidecars held earlier, by path.
    var earlier: [(path: String, content: [UInt8])] = []
    /// Records that were hit, by sequence.
    var hit: Set<UInt64> = []
    /// Whether something was hit that a torn tail may explain: the last write of the open segment.
    var mayLookTorn = false
    /// Whether the newest segment is an older version of itself: nothing could say what came later.
    var isRolledBack = false
    /// Records in whose place are zeros.
    var zeroed: Set<UInt64> = []
    /// Of these, the last ones of all.
    var erased: Set<UInt64> = []
    var wasDamaged = ""
    /// How many kinds of damage there are.
    var damages = 0
    /// The one record that was hit and that a later one names.
    var named: UInt64?
    /// Segments of whose header one copy was hit.
    var headersFlipped: Set<String> = []

    package init(seed: UInt64) {
        self.seed = seed
        chance = SeededChance(seed: seed &* 7919)
        checker = OrderChecker(disk)
        compacts = seed % 5 == 1
        var options = DiskQueueOptions(
            directory: "/queue", masterKey: [UInt8](repeating: 7, count: 32))
        options.segmentBytes = 16 << 10
        options.reserveBytes = 16 << 10
        self.options = options
    }

    func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &chance) }

    /// Fills a queue, damages it, and accounts for every bundle.
    package func run() throws(SimulationFailure) {
        do {
            try open()
            for _ in 0..<number(1...3) {
                try fill()
                if number(0...2) == 0 { try endLife() }
            }
            try endLife(andOpen: false)
            try checkOrder()
            damage()
            checker = OrderChecker(disk)
            do {
                try open()
            } catch {
                throw ModelMismatch("after \(wasDamaged) it does not open: \(error)")
            }
            try account()
            try checkOrder()
        } catch let mismatch as ModelMismatch {
            throw SimulationFailure(seed: seed, operation: operation, what: mismatch.what)
        } catch {
            throw SimulationFailure(seed: seed, operation: operation, what: "\(error)")
        }
    }

    // MARK: A life without faults

    private func open() throws {
        let clock = clock
        queue = try DiskQueue.open(
            options: options, fileSystem: checker,
            logger: Logger(label: "simulation") { _ in SwiftLogNoOpLogHandler() },
            hasThreads: false, clock: { clock.now }, wallClock: { clock.wall }, onFatal: { _ in })
    }

    private func checkOrder() throws {
        if let violation = checker.violations.first { throw ModelMismatch(violation) }
    }

    /// In order, by a kill, or by a power cut; all that is known is on the disk.
    private func endLife(andOpen opens: Bool = true) throws {
        switch number(0...2) {
        case 0: queue?.close()
        case 2: disk.cutPower(&chance)
        default: disk.killProcess()
        }
        queue = nil
        if opens { try open() }
    }

    private func fill() throws {
        for _ in 0..<number(4...30) {
            operation += 1
            switch number(0...9) {
            case 0..<6: try enqueueSome()
            case 6..<9: try settleSome()
            default: remember()
            }
            for _ in 0..<number(1...2) { queue?.work() }
            if compacts, operation % 4 == 0 {
                compactions += queue?.compact(isAtRest: false) ?? 0
            }
        }
        queue?.work()
    }

    private func enqueueSome() throws {
        let taken = Monitor(0)
        let count = number(1...8)
        for _ in 0..<count {
            queue?.enqueue(try message(UInt64(keys.count))) { result in
                if case .success(.enqueued) = result { taken.update { $0 += 1 } }
            }
            if number(0...1) == 0 { queue?.work() }
        }
        queue?.work()
        let takenCount = taken.withLock { $0 }
        guard takenCount == count else { throw ModelMismatch("a disk that works takes no bundle") }
        try learnSequences()
    }

    private func message(_ number: UInt64) throws -> BundleMessage {
        let count = self.number(0...9) == 0 ? self.number(0...6000) : self.number(0...900)
        let digest = Digest256(words: (number, 1, 2, 3))
        guard let slug = TenantSlug("tenant") else { throw ModelMismatch("a bad slug") }
        let message = BundleMessage(
            tenant: TenantID(1), tenantSlug: slug, deviceID: DeviceID(high: 1, low: number % 7),
            bundleID: BundleID(high: 2, low: number), epoch: nil, bundleDigest: digest,
            parts: [
                PartContent(
                    digest: digest, byteCount: count,
                    location: .inline(
                        [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: count)))
            ], startedAt: Timestamp(microseconds: 1), receivedAt: Timestamp(microseconds: 2),
            source: nil)
        bundles[message.key] = Bundle(message: message)
        keys.append(message.key)
        return message
    }

    private func lease(_ bundlesMax: Int) throws -> Lease? {
        let request = LeaseRequest(
            bundlesMax: bundlesMax, bytesMax: 1 << 30, duration: .seconds(60), wait: .zero)
        // What could not be read is made again meanwhile.
        for _ in 0..<8 {
            do throws(QueueError) {
                return try queue?.lease(request)
            } catch {
                guard error.isRetryable else { throw error }
                clock.advance(by: .seconds(2))
                queue?.work()
            }
        }
        return try queue?.lease(request)
    }

    private func settleSome() throws {
        guard let queue, let lease = try lease(number(1...20)) else { return }
        let isDurable = Monitor(false)
        let results = lease.deliveries.map { _ -> Settlement in
            number(0...9) < 7 ? .settled : .retry(after: .zero, charged: true)
        }
        try queue.settle(lease, results) { isDurable.update { $0 = true } }
        queue.work()
        let wasTold = isDurable.withLock { $0 }
        guard wasTold else { throw ModelMismatch("a disk that works takes no settlement") }
        for (delivery, result) in zip(lease.deliveries, results) where result == .settled {
            bundles[delivery.message.key]?.isSettled = true
        }
    }

    /// What a fault names are sequences: those of the bundles that came since the last time.
    private func learnSequences() throws {
        let frames = DiskImage(disk).frames.filter { $0.type == Self.bundleType }
        let new = frames.map(\.sequence).filter { $0 > lastSequence }.sorted()
        let unknown = keys.filter { bundles[$0]?.sequence == 0 }
        guard new.count == unknown.count else {
            throw ModelMismatch("\(unknown.count) bundles have \(new.count) new records")
        }
        for (key, sequence) in zip(unknown, new) { bundles[key]?.sequence = sequence }
        lastSequence = new.last ?? lastSequence
    }

    private func remember() {
        guard
            let path = disk.names.filter({ $0.hasSuffix(".seg") || $0.hasSuffix(".idx") })
                .randomElement(using: &chance), let content = disk.content(path)
        else { return }
        earlier.append((path, content))
    }

    // MARK: Afterwards

    private func account() throws {
        guard let queue else { return }
        let faults = queue.recoveryFaults
        var idle = 0
        while idle < 3 {
            let lease = try lease(1000)
            guard let lease else {
                idle += 1
                clock.advance(by: .seconds(3600))
                queue.work()
                continue
            }
            for delivery in lease.deliveries { try receive(delivery, faults) }
            try queue.settle(lease, lease.deliveries.map { _ in .settled }) {}
            queue.work()
        }
        guard queue.backlog.bundles == 0 else {
            throw ModelMismatch("after \(wasDamaged) \(queue.backlog.bundles) are stuck")
        }
        // Where an index was torn, too, damage is found when its rows are needed first.
        let all = queue.faults
        for key in keys { try account(for: key, all) }
    }

    private func receive(_ delivery: Delivery, _ faults: [String]) throws {
        guard let bundle = bundles[delivery.message.key], bundle.message == delivery.message else {
            throw ModelMismatch("after \(wasDamaged) something else is delivered")
        }
        deliveries += 1
        guard !bundle.isDelivered else {
            throw ModelMismatch("after \(wasDamaged) \(delivery.sequence) is delivered twice")
        }
        // What was settled may come again if the record of that was hit, which then is reported.
        guard !bundle.isSettled || !faults.isEmpty || mayLookTorn || isRolledBack else {
            throw ModelMismatch("after \(wasDamaged) \(delivery.sequence) comes again, unreported")
        }
        bundles[delivery.message.key]?.isDelivered = true
    }

    private func account(for key: BundleKey, _ faults: [String]) throws {
        guard let bundle = bundles[key], !bundle.isSettled, !bundle.isDelivered else { return }
        guard hit.contains(bundle.sequence) else {
            throw ModelMismatch(
                "after \(wasDamaged) \(bundle.sequence), which was not hit, is gone: \(faults)")
        }
        losses += 1
        if queue?.find(key)?.state == .lost { return }
        if damages == 1, named == bundle.sequence {
            throw ModelMismatch("after \(wasDamaged) \(bundle.sequence) is lost without a name")
        }
        if faults.contains(where: { covers($0, bundle.sequence) }) { return }
        if isRolledBack || erased.contains(bundle.sequence) { return }
        if mayLookTorn, let queue, queue.recoveryTornBytes > 0 { return }
        throw ModelMismatch(
            "after \(wasDamaged) \(bundle.sequence) is gone and nobody says so: \(faults)")
    }

    /// Whether a fault names the sequence, or a segment without saying which.
    private func covers(_ fault: String, _ sequence: UInt64) -> Bool {
        guard let range = fault.firstRange(of: "sequences ") else { return true }
        let bounds = fault[range.upperBound...]
            .split(whereSeparator: { !$0.isNumber }).prefix(2).compactMap { UInt64($0) }
        return bounds.count == 2 && (bounds[0]..<max(bounds[0], bounds[1])).contains(sequence)
    }
}

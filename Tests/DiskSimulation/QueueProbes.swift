internal import Logging
internal import SegmentedLog
internal import WaybillModel
internal import WaybillQueue
internal import WaybillThreads

/// What a queue makes of forged and flipped indexes, of a segment that is gone just before a power
/// cut, and of power cuts in one opening after another.
///
/// As ``MutantProbes`` for a whole queue: a run is a queue that is filled, one probe, and an account of
/// all bundles.
package final class QueueProbes {
    private struct Bundle {
        let message: BundleMessage
        var isAcknowledged = false
        var isSettled = false
        var isDelivered = false
    }

    /// Of what the queue tells while it works.
    private enum Told: Sendable {
        case acknowledged(BundleKey)
        case settled([BundleKey])
    }

    private let seed: UInt64
    private var chance: SeededChance
    private let disk = SimulatedDisk(capacity: 16 << 20)
    private let checker: OrderChecker
    private let options: DiskQueueOptions
    private let clock = VirtualClock()
    private let told = Monitor<[Told]>([])
    private var bundles: [BundleKey: Bundle] = [:]
    private var keys: [BundleKey] = []
    private var step = ""

    private static let headerBytes = 512
    /// Where an index says how many bytes its settlements and its extras have.
    private static let settlementsCount = 176 + 5 * 8
    private static let extrasCount = 176 + 6 * 8
    /// What an index is about.
    private static let about = 16..<80

    package init(seed: UInt64) {
        self.seed = seed
        chance = SeededChance(seed: seed &* 15_485_863)
        checker = OrderChecker(disk)
        var options = DiskQueueOptions(
            directory: "/queue", masterKey: [UInt8](repeating: 7, count: 32))
        options.segmentBytes = 16 << 10
        options.reserveBytes = 16 << 10
        self.options = options
    }

    package func run() throws(SimulationFailure) {
        do {
            switch number(0...6) {
            case 0: try forgeIndexSizes()
            case 1: try forgeIndexOfAnother()
            case 2: try flipIndex()
            case 3: try loseSegment()
            case 4: try cutFirstOpenings()
            default: try cutOpenings()
            }
            if let violation = checker.violations.first { throw ModelMismatch(violation) }
        } catch let mismatch as ModelMismatch {
            throw failure(mismatch.what)
        } catch {
            throw failure("\(step): \(error)")
        }
    }

    private func failure(_ what: String) -> SimulationFailure {
        SimulationFailure(seed: seed, operation: 0, what: what)
    }

    private func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &chance) }

    // MARK: Indexes

    /// The header of an index gives the settlements' bytes to the extras, with a right checksum.
    private func forgeIndexSizes() throws {
        step = "forging the sizes of an index"
        try fillAndEnd()
        var count = 0
        for path in indexes {
            guard var content = disk.content(path) else { continue }
            for index in 0..<8 {
                content.swapAt(Self.settlementsCount + index, Self.extrasCount + index)
            }
            count += 1
            disk.put(Self.checked(content), at: path)
        }
        guard count > 0 else { throw ModelMismatch("no index to forge") }
        try account(for: "the sizes of an index were forged", try open())
    }

    /// The index of one segment says that it is another's, with a right checksum.
    private func forgeIndexOfAnother() throws {
        step = "forging an index"
        try fillAndEnd()
        let paths = indexes
        guard paths.count > 1, let from = paths.randomElement(using: &chance),
            let to = paths.filter({ $0 != from }).randomElement(using: &chance),
            var content = disk.content(from), let target = disk.content(to)
        else { throw ModelMismatch("no two indexes to forge") }
        content.replaceSubrange(Self.about, with: target[Self.about])
        disk.put(Self.checked(content), at: to)
        try account(for: "an index of one segment was forged into another's", try open())
    }

    /// A bit of a piece of an index turns over while nobody runs.
    private func flipIndex() throws {
        step = "flipping a bit of an index"
        try fillAndEnd()
        guard let path = indexes.randomElement(using: &chance), let content = disk.content(path)
        else { throw ModelMismatch("no index to damage") }
        disk.flipBit(
            path, at: number(Self.headerBytes...content.count - 1), bit: number(0...7))
        try account(for: "a bit of an index was flipped", try open())
    }

    private var indexes: [String] { disk.names.filter { $0.hasSuffix(".idx") } }

    /// With the checksum that its bytes should have.
    private static func checked(_ content: [UInt8]) -> [UInt8] {
        var content = content
        let checksum = Castagnoli.checksum(content[..<(headerBytes - 4)])
        for index in 0..<4 {
            content[headerBytes - 4 + index] = UInt8(
                truncatingIfNeeded: checksum >> (8 * UInt32(index)))
        }
        return content
    }

    // MARK: Losses

    /// A closed segment is gone; what was in it is named, and still is after a power cut.
    private func loseSegment() throws {
        step = "losing a segment"
        try fillAndEnd()
        // The process may have ended before the last one had its index: that one nobody can name.
        let indexed = Set(indexes.map { $0.dropLast(4) })
        let segments = disk.names.filter {
            $0.hasSuffix(".seg") && indexed.contains($0.dropLast(4))
        }
        guard let path = segments.randomElement(using: &chance) else {
            throw ModelMismatch("no segment to lose")
        }
        disk.plant(path, nil, as: .deletedSegment)
        let lost = Set(try open().lostBundles.map(\.key))
        for key in lost where bundles[key]?.isSettled != false {
            throw ModelMismatch("a bundle is called lost that is not to be delivered")
        }
        disk.cutPower(&chance)
        let queue = try open()
        for key in lost where queue.find(key)?.state != .lost {
            throw ModelMismatch(
                "a bundle was lost, its device was told so, and after a power cut it is not known")
        }
        // What only the lost segment said was settled may come again.
        try account(for: "a segment was lost", queue, except: lost, mayRepeat: true)
    }

    // MARK: Openings

    /// The power goes in the very first opening, at each call of it: the next one finds nothing wrong.
    private func cutFirstOpenings() throws {
        step = "cutting the first opening"
        for distance in 1...200 {
            let disk = SimulatedDisk(capacity: 16 << 20)
            var plan = SimulatedDisk.Plan()
            plan.powerCutAt = distance
            disk.setPlan(plan)
            // What it throws is the power's.
            _ = try? open(disk)
            guard disk.isOut else { return }
            disk.cutPower(&chance)
            disk.setPlan(SimulatedDisk.Plan())
            let faults = try open(disk).recoveryFaults
            guard faults.isEmpty else {
                throw ModelMismatch(
                    "after a power cut in the first opening the next says \(faults)")
            }
        }
    }

    /// The power goes in one opening after another, each time a call later.
    private func cutOpenings() throws {
        step = "cutting openings"
        var distance = number(1...3)
        for _ in 0..<60 {
            var plan = SimulatedDisk.Plan()
            plan.powerCutAt = disk.counts.calls + distance
            disk.setPlan(plan)
            let opened: DiskQueue?
            do {
                opened = try open()
            } catch {
                guard disk.isOut else { throw error }
                opened = nil
            }
            disk.setPlan(SimulatedDisk.Plan())
            if let opened, !disk.isOut {
                guard opened.recoveryFaults.isEmpty else {
                    throw ModelMismatch(
                        "after power cuts an opening reports \(opened.recoveryFaults)")
                }
                try check(opened, "a power cut in an opening")
                try fill(opened, count: number(4...24))
                distance = number(1...3)
            } else {
                distance += number(1...2)
            }
            disk.cutPower(&chance)
        }
        try account(for: "power cuts in openings", try open())
    }

    // MARK: The queue

    private func open(_ fileSystem: (any FileSystem)? = nil) throws -> DiskQueue {
        let clock = clock
        return try DiskQueue.open(
            options: options, fileSystem: fileSystem ?? checker,
            logger: Logger(label: "probe") { _ in SwiftLogNoOpLogHandler() },
            hasThreads: false, clock: { clock.now }, wallClock: { clock.wall }, onFatal: { _ in })
    }

    /// A life that leaves some segments, their indexes, and settlements in them.
    private func fillAndEnd() throws {
        let queue = try open()
        for _ in 0..<number(4...6) { try fill(queue, count: 20) }
        if number(0...1) == 0 { queue.close() } else { disk.killProcess() }
    }

    private func fill(_ queue: DiskQueue, count: Int) throws {
        for _ in 0..<count {
            let message = try newMessage()
            let (key, told) = (message.key, told)
            queue.enqueue(message) { result in
                guard case .success = result else { return }
                told.withLock { $0.append(.acknowledged(key)) }
            }
            if number(0...3) == 0 { queue.work() }
        }
        queue.work()
        let request = LeaseRequest(
            bundlesMax: number(1...count), bytesMax: 1 << 30, duration: .seconds(60), wait: .zero)
        if let lease = try queue.lease(request) {
            let (done, told) = (lease.deliveries.map(\.message.key), told)
            try queue.settle(lease, lease.deliveries.map { _ in .settled }) {
                told.withLock { $0.append(.settled(done)) }
            }
        }
        queue.work()
        listen()
    }

    private func listen() {
        let news = told.withLock { told in
            defer { told = [] }
            return told
        }
        for event in news {
            switch event {
            case .acknowledged(let key): bundles[key]?.isAcknowledged = true
            case .settled(let keys): for key in keys { bundles[key]?.isSettled = true }
            }
        }
    }

    private func newMessage() throws -> BundleMessage {
        let index = UInt64(keys.count)
        let digest = Digest256(words: (index, 1, 2, 3))
        guard let slug = TenantSlug("tenant") else { throw ModelMismatch("a bad slug") }
        let count = number(0...900)
        let message = BundleMessage(
            tenant: TenantID(1), tenantSlug: slug, deviceID: DeviceID(high: 1, low: index % 5),
            bundleID: BundleID(high: 2, low: index), epoch: nil, bundleDigest: digest,
            parts: [
                PartContent(
                    digest: digest, byteCount: count,
                    location: .inline(
                        [UInt8](repeating: UInt8(truncatingIfNeeded: index), count: count)))
            ], startedAt: Timestamp(microseconds: 1), receivedAt: Timestamp(microseconds: 2),
            source: nil)
        bundles[message.key] = Bundle(message: message)
        keys.append(message.key)
        return message
    }

    // MARK: The account

    /// What the queue says of each bundle that was acknowledged.
    private func check(
        _ queue: DiskQueue, _ cause: String, except lost: Set<BundleKey> = [],
        mayRepeat: Bool = false
    ) throws {
        for key in keys {
            guard let bundle = bundles[key], bundle.isAcknowledged, !lost.contains(key) else {
                continue
            }
            let entry = queue.find(key)
            if bundle.isSettled {
                guard mayRepeat || entry?.state != .queued else {
                    throw ModelMismatch("\(cause): a settled bundle is queued again")
                }
            } else {
                guard entry?.state == .queued, entry?.bundleDigest == bundle.message.bundleDigest
                else { throw ModelMismatch("\(cause): a bundle was acknowledged and is not found") }
            }
        }
    }

    /// Delivers all that is there: each bundle once, as it was sent, and none that is settled.
    private func account(
        for cause: String, _ queue: DiskQueue, except lost: Set<BundleKey> = [],
        mayRepeat: Bool = false
    ) throws {
        try check(queue, cause, except: lost, mayRepeat: mayRepeat)
        var idle = 0
        while idle < 3 {
            let request = LeaseRequest(
                bundlesMax: 1000, bytesMax: 1 << 30, duration: .seconds(60), wait: .zero)
            guard let lease = try queue.lease(request) else {
                idle += 1
                clock.advance(by: .seconds(3600))
                queue.work()
                continue
            }
            for delivery in lease.deliveries {
                let bundle = bundles[delivery.message.key]
                guard let bundle, bundle.message == delivery.message else {
                    throw ModelMismatch("\(cause): something else is delivered")
                }
                guard !bundle.isDelivered, mayRepeat || !bundle.isSettled else {
                    throw ModelMismatch("\(cause): a bundle is delivered once too often")
                }
                bundles[delivery.message.key]?.isDelivered = true
            }
            try queue.settle(lease, lease.deliveries.map { _ in .settled }) {}
            queue.work()
        }
        for key in keys where !lost.contains(key) {
            guard let bundle = bundles[key], bundle.isAcknowledged, !bundle.isSettled else {
                continue
            }
            guard bundle.isDelivered else {
                throw ModelMismatch("\(cause): a bundle was acknowledged and is not delivered")
            }
        }
    }
}

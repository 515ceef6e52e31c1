internal import SegmentedLog
internal import WaybillModel
internal import WaybillThreads

/// All decisions of the queue, without disk, clock or threads.
struct QueueState: Sendable {
    struct Options: Sendable {
        var sharedLeaseBytesMax = 8 << 20
        var settledRetention = Duration.seconds(900)
        var settledEntriesMax = 100_000
        var lostEntriesMax = 1_000_000
    }

    /// What to do with a bundle that somebody wants to enqueue.
    enum Admission: Equatable {
        /// Its key is reserved: write it, then ``insert(_:sequence:)`` or ``cancel(_:)``.
        case new
        /// Somebody else's record of this key is on its way to the disk.
        case pending
        case existing(BundleEntry)
    }

    /// The bundles of one device, in the order in which they were received.
    struct Device: Sendable {
        var waiting = Line<UInt64>()
        var leased = 0
        /// Nothing is handed out before; set by a retry.
        var due: Deadline?
    }

    struct ActiveLease: Sendable {
        var expires: Deadline
        var sequences: [UInt64]
    }

    let options: Options
    var bundles: [UInt64: QueuedBundle] = [:]
    var devices: [DeviceID: Device] = [:]
    /// Devices with work that can be handed out now, next one first.
    var ready = Line<DeviceID>()
    /// Devices whose retry is not due yet, the earliest last.
    var delayed: [(due: Deadline, device: DeviceID)] = []
    /// By the number of the lease's first delivery.
    var leases: [UInt64: ActiveLease] = [:]
    var nextNumber: UInt64 = 1
    /// While true nothing is handed out; what is leased is settled all the same.
    var isPaused = false
    var leasedCount = 0
    var ledger = SegmentLedger()
    private var sequences: [BundleKey: UInt64] = [:]
    private var reserved: Set<BundleKey> = []
    private var finished: [BundleKey: (entry: BundleEntry, until: Deadline)] = [:]
    private var finishedOrder = Line<(key: BundleKey, until: Deadline)>()
    private var lost: LostBundles
    private var arrivals = Line<UInt64>()

    init(options: Options) {
        self.options = options
        lost = LostBundles(entriesMax: options.lostEntriesMax)
    }

    var depth: Int { bundles.count }
    /// Bytes of the unsettled bundles' parts, wherever they lie.
    private(set) var bytes = 0

    /// The state of the bundle with this key, if it is synced or was done lately.
    func find(_ key: BundleKey) -> BundleEntry? {
        if let sequence = sequences[key], let bundle = bundles[sequence] {
            return bundle.entry(bundle.holder == 0 ? .queued : .processing)
        }
        return finished[key]?.entry ?? lost[key]
    }

    // MARK: Coming in

    /// - Parameter isRetry: true for a dead letter: its key may be remembered as quarantined.
    mutating func admit(_ key: BundleKey, isRetry: Bool = false) -> Admission {
        if let entry = find(key), entry.state != .lost,
            !(isRetry && entry.state == .quarantined)
        {
            return .existing(entry)
        }
        return reserved.insert(key).inserted ? .new : .pending
    }

    /// Gives a reserved key free: its record was not written.
    mutating func cancel(_ key: BundleKey) {
        reserved.remove(key)
    }

    /// Adds a bundle whose record is on disk. Sequences only rise.
    ///
    /// - Returns: true if its device had nothing to hand out before.
    mutating func insert(_ bundle: QueuedBundle, sequence: UInt64) -> Bool {
        reserved.remove(bundle.key)
        // A second record of a key can only be the rest of a write that was refused.
        guard sequences[bundle.key] == nil else { return false }
        finished[bundle.key] = nil
        lost.remove(bundle.key)
        sequences[bundle.key] = sequence
        bundles[sequence] = bundle
        bytes += bundle.sizes.total
        arrivals.append(sequence)
        ledger.addBundle(in: bundle.position.segment)
        let deviceID = bundle.key.deviceID
        var device = devices.removeValue(forKey: deviceID) ?? Device()
        let wasIdle = device.waiting.isEmpty && device.leased == 0
        device.waiting.append(sequence)
        devices[deviceID] = device
        if wasIdle { ready.append(deviceID) }
        return wasIdle
    }

    // MARK: Going out

    /// Takes a bundle out for good and remembers what became of it.
    mutating func finish(
        _ sequence: UInt64, _ outcome: BundleState, until: Deadline
    ) {
        guard let bundle = bundles.removeValue(forKey: sequence) else { return }
        sequences[bundle.key] = nil
        bytes -= bundle.sizes.total
        if bundle.holder != 0 { leasedCount -= 1 }
        guard outcome != .lost else { return lost.add(bundle.entry(.lost), for: bundle.key) }
        finished[bundle.key] = (bundle.entry(outcome), until)
        finishedOrder.append((bundle.key, until))
    }

    mutating func forget(_ key: BundleKey) {
        finished[key] = nil
    }

    /// Forgets settled bundles that are too old or too many.
    mutating func forgetFinished(now: Deadline) {
        while let oldest = finishedOrder.first,
            oldest.until <= now || finishedOrder.count > options.settledEntriesMax
        {
            _ = finishedOrder.popFirst()
            // A key that was finished again since is remembered for its later end.
            if finished[oldest.key]?.until == oldest.until { finished[oldest.key] = nil }
        }
    }

    /// When the oldest bundle in the queue was received.
    mutating func oldestReceivedAt() -> Timestamp? {
        while let sequence = arrivals.first {
            if let bundle = bundles[sequence] { return bundle.receivedAt }
            _ = arrivals.popFirst()
        }
        return nil
    }

    var fileNames: Set<String> {
        bundles.values.reduce(into: []) { $0.formUnion($1.fileNames) }
    }

    // MARK: Recovery

    /// Applies a settlement that was found in the log.
    mutating func replay(
        _ record: SettlementRecord, segment: UInt64, now: Deadline, wallClock: Timestamp
    ) {
        var done: [UInt64] = []
        var charged: [UInt64] = []
        let age = Duration.microseconds(max(0, wallClock.microseconds - record.time.microseconds))
        for entry in record.entries {
            guard let bundle = bundles[entry.sequence] else { continue }
            guard let state = entry.outcome.state else {
                bundles[entry.sequence]?.attempts = max(bundle.attempts, entry.attempts)
                bundles[entry.sequence]?.failingSince = bundle.failingSince ?? now.before(age)
                charged.append(bundle.position.segment)
                continue
            }
            done.append(bundle.position.segment)
            finish(
                entry.sequence, state,
                until: now.advanced(by: max(.zero, options.settledRetention - age)))
        }
        ledger.addSettlement(in: segment, done: done, charged: charged)
        forgetFinished(now: now)
    }

    /// Drops from the devices' lines what was settled while the log was read.
    mutating func endReplay() {
        ready = Line()
        for (deviceID, device) in devices {
            var waiting = Line<UInt64>()
            var rest = device.waiting
            while let sequence = rest.popFirst() {
                if bundles[sequence] != nil { waiting.append(sequence) }
            }
            devices[deviceID]?.waiting = waiting
            if waiting.isEmpty { devices[deviceID] = nil }
        }
        // By the age of their first bundle, as they were before the restart, more or less.
        let order = devices.sorted { ($0.value.waiting.first ?? 0) < ($1.value.waiting.first ?? 0) }
        for (deviceID, _) in order { ready.append(deviceID) }
    }
}

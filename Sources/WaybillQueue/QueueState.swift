internal import SegmentedLog
internal import WaybillModel
internal import WaybillThreads

/// All decisions of the queue, without disk, clock or threads.
///
/// Its size goes with the leases, the segments and the devices that have work, not with the backlog:
/// bundles of closed segments are in their indexes.
struct QueueState: Sendable {
    struct Options: Sendable {
        var sharedLeaseBytesMax = 8 << 20
        var settledRetention = Duration.seconds(900)
        var settledEntriesMax = 100_000
        var lostEntriesMax = 1_000_000
    }

    /// What to do with a bundle that somebody wants to enqueue.
    enum Admission {
        /// Its key is reserved: if none of these holds it, write it, then ``insert(_:sequence:)``; or
        /// ``cancel(_:)``.
        case new([SegmentIndex])
        /// Somebody else's record of this key is on its way to the disk.
        case pending
        case existing(BundleEntry)
    }

    /// Attempts that were counted against a bundle.
    struct Charge: Sendable {
        var attempts: Int
        /// When the first of them was.
        var since: Deadline
    }

    /// Where the bundle of a key is.
    private struct Place: Sendable {
        /// Of the newest one in memory; 0 if there is none.
        var sequence: UInt64 = 0
        /// A record of this key is on its way to the disk.
        var isReserved = false
    }

    struct ActiveLease: Sendable {
        var expires: Deadline
        var sequences: [UInt64]
    }

    /// What became of a bundle.
    private struct Finished: Sendable {
        let sequence: UInt64
        let entry: BundleEntry
        let until: Deadline
    }

    private static let roomBundles = 65_536

    let options: Options
    /// Bundles that are not done and are in memory: leased, about to be, or without an index.
    var bundles: [UInt64: QueuedBundle] = [:]
    var shelf = SegmentShelf()
    /// Those with a line: something of theirs is handed out, or they are once among the ready or the
    /// delayed. A line that is empty goes when its turn comes.
    var devices: [DeviceID: DeviceLine] = [:]
    /// Devices with work that can be handed out now.
    var ready = FairLine()
    /// Devices whose retry is not due yet, the earliest last.
    var delayed: [(due: Deadline, device: DeviceID)] = []
    /// By the number of the lease's first delivery.
    var leases: [UInt64: ActiveLease] = [:]
    var nextNumber: UInt64 = 1
    /// While true nothing is handed out; what is leased is settled all the same.
    var isPaused = false
    var leasedCount = 0
    var charges: [UInt64: Charge] = [:]
    /// Handed out before, and back.
    var returned: Set<UInt64> = []
    /// Bundles up to this one were in the log at the start: somebody may have had them.
    var recoveredThrough: UInt64 = 0
    /// Bundles that may have ended the process, each handed out alone; with their devices.
    var suspects: [UInt64: DeviceID] = [:]
    private var places: [BundleKey: Place] = [:]
    private var finished: [BundleKey: Finished] = [:]
    private var finishedOrder = Line<(key: BundleKey, until: Deadline)>()
    private(set) var lost: LostBundles
    /// The last record that says of a bundle that it is lost.
    private(set) var lostThrough: UInt64 = 0
    /// Bytes of bundles that an opening has read and that are in an index by now.
    private var sizes: [UInt64: Int] = [:]

    init(options: Options) {
        self.options = options
        lost = LostBundles(entriesMax: options.lostEntriesMax)
    }

    /// Makes room for the bundles of a segment or two of small ones: making it while they come would
    /// hold everybody up for milliseconds. What is not used takes no memory of the machine's.
    mutating func reserveRoom() {
        bundles.reserveCapacity(Self.roomBundles)
        places.reserveCapacity(Self.roomBundles)
    }

    var depth: Int { shelf.liveCount }
    /// Bytes of the unsettled bundles' parts, wherever they lie.
    var bytes: Int { shelf.liveBytes }

    /// The state of the bundle with this key, if it is in memory or was done lately.
    func find(_ key: BundleKey) -> BundleEntry? {
        if let place = places[key], let bundle = bundles[place.sequence] {
            return bundle.entry(bundle.holder == 0 ? .queued : .processing)
        }
        return finished[key]?.entry ?? lost[key]?.entry
    }

    // MARK: Coming in

    /// - Parameter isRetry: true for a dead letter: its key may be remembered as quarantined.
    mutating func admit(_ key: BundleKey, isRetry: Bool = false) -> Admission {
        // Most keys are new: one look for all.
        let known = Self.reserve(&places[key, default: Place()])
        if known.sequence != 0 || !finished.isEmpty || lost.count > 0, let entry = find(key),
            entry.state != .lost, !(isRetry && entry.state == .quarantined)
        {
            if !known.isReserved { cancel(key) }
            return .existing(entry)
        }
        return known.isReserved ? .pending : .new(shelf.candidates(key.bundleID))
    }

    /// - Returns: what was known before.
    private static func reserve(_ place: inout Place) -> Place {
        defer { place.isReserved = true }
        return place
    }

    /// Gives a reserved key free: its record was not written.
    mutating func cancel(_ key: BundleKey) {
        if places[key]?.sequence == 0 {
            places[key] = nil
        } else {
            places[key]?.isReserved = false
        }
    }

    /// Adds a bundle whose record is on disk. Sequences only rise.
    ///
    /// - Returns: true if its device had nothing to hand out before.
    mutating func insert(_ bundle: QueuedBundle, sequence: UInt64) -> Bool {
        // While a log is read, an older one of the same key may still wait for its settlement.
        if !finished.isEmpty { finished[bundle.key] = nil }
        if lost.count > 0 { lost.remove(bundle.key) }
        places[bundle.key] = Place(sequence: sequence)
        bundles[sequence] = bundle
        shelf.add(bundle, sequence: sequence)
        let deviceID = bundle.key.deviceID
        let deviceCount = devices.count
        let isFirst = devices[deviceID, default: DeviceLine(tenant: bundle.tenant)]
            .arrive(sequence)
        // One that has a line already, if an empty one, would have two turns at a time.
        if devices.count > deviceCount { ready.append(deviceID, of: bundle.tenant) }
        return isFirst
    }

    // MARK: Going out

    /// Takes a bundle out for good and remembers what became of it.
    mutating func finish(
        _ sequence: UInt64, _ outcome: BundleState, until: Deadline, at time: Timestamp = .now
    ) {
        guard let bundle = bundles.removeValue(forKey: sequence) else { return }
        let isNewest = dropKey(of: bundle, sequence)
        forget(sequence)
        _ = shelf.finish(sequence, bytes: bundle.sizes.total)
        if bundle.holder != 0 { leasedCount -= 1 }
        guard isNewest else { return }
        guard outcome != .lost else {
            return lost.add(LostBundle(bundle, sequence: sequence, foundAt: time))
        }
        finished[bundle.key] = Finished(
            sequence: sequence, entry: bundle.entry(outcome), until: until)
        finishedOrder.append((bundle.key, until))
    }

    /// The bundle is not found by its key in memory any more; false if a later one is.
    private mutating func dropKey(of bundle: QueuedBundle, _ sequence: UInt64) -> Bool {
        guard let place = places[bundle.key] else { return true }
        guard place.sequence == sequence else { return place.sequence == 0 }
        // Somebody may look for it on disk at this moment.
        places[bundle.key] = place.isReserved ? Place(isReserved: true) : nil
        return true
    }

    private mutating func forget(_ sequence: UInt64) {
        charges[sequence] = nil
        returned.remove(sequence)
        suspects[sequence] = nil
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

    /// Names of part files of the bundles in memory.
    var fileNames: Set<String> {
        bundles.values.reduce(into: []) { $0.formUnion($1.fileNames) }
    }

    // MARK: Indexes

    /// From now on the bundles of a closed segment are found in its index; ``convert(_:of:)`` then
    /// takes them out of memory, device by device.
    mutating func setIndex(_ index: SegmentIndex, _ filter: BundleFilter) {
        shelf.setIndex(index, filter, of: index.segment)
    }

    /// Takes what waits of these devices in an indexed segment out of memory.
    mutating func convert(_ indexed: ArraySlice<IndexedDevice>, of segment: UInt64) {
        guard let last = shelf[segment]?.lastSequence else { return }
        for entry in indexed {
            guard var device = devices.removeValue(forKey: entry.id) else { continue }
            let run = DeviceLine.Run(segment: UInt32(segment), row: entry.firstRow)
            for sequence in device.convert(through: last, to: run) {
                if let bundle = bundles.removeValue(forKey: sequence) {
                    _ = dropKey(of: bundle, sequence)
                }
            }
            devices[entry.id] = device
        }
    }

    /// Takes in what was read of a device's first run.
    mutating func take(_ loaded: LoadedRows) {
        let deviceID = loaded.order.device
        guard var device = devices.removeValue(forKey: deviceID) else { return }
        defer { devices[deviceID] = device }
        guard device.isLoading else { return }
        device.isLoading = false
        // Another index has other rows in other places.
        guard device.runs.first == loaded.order.run,
            loaded.order.index.isSame(as: shelf[UInt64(loaded.order.run.segment)]?.index)
        else { return }
        for row in loaded.rows {
            guard shelf.isLive(row.sequence), bundles[row.sequence] == nil else { continue }
            bundles[row.sequence] = row.bundle
            Self.raise(&places[row.bundle.key, default: Place()], to: row.sequence)
            device.waiting.append(row.sequence)
        }
        if let next = loaded.next {
            device.runs.replaceFirst(
                with: DeviceLine.Run(segment: loaded.order.run.segment, row: UInt32(next)))
        } else {
            _ = device.runs.popFirst()
        }
    }

    private static func raise(_ place: inout Place, to sequence: UInt64) {
        place.sequence = max(place.sequence, sequence)
    }

    /// Takes in an index that was made again.
    ///
    /// - Parameters:
    ///   - found: the bundles that are in it.
    ///   - names: what is known of others.
    /// - Returns: those that are to be delivered and are not in it.
    mutating func replaceIndex(
        _ built: IndexBuild, found: Set<UInt64>, names: [UInt64: BundleName], at time: Timestamp
    ) -> [UInt64] {
        let number = built.index.segment
        guard shelf[number] != nil else { return [] }
        shelf.setIndex(built.index, built.filter, of: number)
        replaceRuns(in: built.index, built.devices)
        let gone = shelf.sequences(in: number).filter { !found.contains($0) && bundles[$0] == nil }
        for sequence in gone {
            forget(sequence)
            // Where its size is not known any more it counts until the next start; its segment stays
            // until then.
            _ = shelf.finish(sequence, bytes: names[sequence]?.sizeOfParts ?? 0)
            guard let name = names[sequence], !name.isRetry else { continue }
            addLost(LostBundle(name, sequence: sequence, foundAt: time))
        }
        return gone
    }

    /// Has the devices that wait in a segment read its new index, from their first row on; those without
    /// a row from its end on: who is in a line goes out of it when its turn comes, and not before.
    private mutating func replaceRuns(in index: SegmentIndex, _ indexed: [IndexedDevice]) {
        let rows = Dictionary(indexed.map { ($0.id, $0.firstRow) }) { first, _ in first }
        let end = UInt32(index.bundleCount)
        for (deviceID, line) in devices
        where line.runs.all.contains(where: { $0.segment == index.segment }) {
            devices[deviceID]?.replaceRun(
                in: UInt32(index.segment), from: rows[deviceID] ?? end)
        }
    }

    /// Takes in that a segment was written anew with nothing but what is still needed of it.
    ///
    /// - Parameter made: its bundles, in their new places.
    mutating func replace(with made: CompactedSegment) {
        shelf.replace(
            made.index.segment, with: made.index, made.filter, references: made.references,
            endings: made.endings)
        replaceRuns(in: made.index, made.devices)
        for (sequence, bundle) in made.bundles where bundles[sequence] != nil {
            bundles[sequence]?.move(to: bundle.position)
        }
    }

    /// Where a bundle's record lies, if this delivery of it is the one that counts.
    func position(of sequence: UInt64, number: UInt64) -> RecordPosition? {
        bundles[sequence].flatMap { $0.holder == number ? $0.position : nil }
    }

    // MARK: Recovery

    /// Takes in a closed segment whose records need not be read.
    mutating func adopt(
        _ index: SegmentIndex, _ filter: BundleFilter, _ bits: SequenceBits,
        devices indexed: [IndexedDevice]
    ) {
        shelf.add(index.segment, index: index, filter: filter, bits)
        for entry in indexed {
            devices[entry.id, default: DeviceLine(tenant: entry.tenant)].runs.append(
                DeviceLine.Run(segment: UInt32(index.segment), row: entry.firstRow))
        }
    }

    /// Applies what an index says of settlements in its segment.
    ///
    /// - Returns: those of bundles that were lost, as far as they are known on disk only.
    mutating func replay(
        _ settlements: [IndexedSettlement], in segment: UInt64, now: Deadline, wallClock: Timestamp,
        isKept: Bool
    ) -> [IndexedSettlement] {
        var lost: [IndexedSettlement] = []
        var applied: [IndexedSettlement] = []
        for settlement in settlements {
            let entry = settlement.entry
            guard shelf.isLive(entry.sequence) else { continue }
            let age = Duration.microseconds(
                max(0, wallClock.microseconds - settlement.time.microseconds))
            applied.append(settlement)
            guard let state = entry.outcome.state else {
                let since = charges[entry.sequence]?.since ?? now.before(age)
                let attempts = max(charges[entry.sequence]?.attempts ?? 0, entry.attempts)
                charges[entry.sequence] = Charge(attempts: attempts, since: since)
                continue
            }
            if state == .lost { lostThrough = max(lostThrough, settlement.record) }
            if bundles[entry.sequence] != nil {
                finish(
                    entry.sequence, state,
                    until: now.advanced(by: max(.zero, options.settledRetention - age)),
                    at: settlement.time)
            } else {
                forget(entry.sequence)
                let bytes = sizes[entry.sequence] ?? settlement.bytes
                _ = shelf.finish(entry.sequence, bytes: bytes)
                if state == .lost { lost.append(settlement) }
            }
        }
        shelf.add(applied, in: segment, isKept: isKept)
        forgetFinished(now: now)
        return lost
    }

    /// What a record in the log says, with the sizes that an old one does not tell.
    func settlements(of record: SettlementRecord, at sequence: UInt64) -> [IndexedSettlement] {
        record.entries.map { entry in
            let bytes = bundles[entry.sequence]?.sizes.total ?? sizes[entry.sequence]
            return IndexedSettlement(
                entry: entry, time: record.time, bytes: bytes ?? entry.bytes, record: sequence)
        }
    }

    /// Takes back what ``adopt(_:_:_:devices:)`` took in of a segment.
    mutating func drop(_ segment: UInt64) {
        shelf.drop(segment)
        for deviceID in devices.keys {
            devices[deviceID]?.dropRuns(in: UInt32(segment))
        }
    }

    /// Remembers sizes that old settlements do not tell, until ``endReplay(through:)``.
    mutating func noteSizes(of segment: UInt64) {
        for (sequence, bundle) in shelf[segment]?.bundles ?? [] {
            sizes[sequence] = bundle.sizes.total
        }
    }

    /// Settlements are on disk.
    mutating func noteDurable(_ settlements: [IndexedSettlement], in segment: UInt64) {
        shelf.add(settlements, in: segment)
        for settlement in settlements where settlement.entry.outcome == .lost {
            lostThrough = max(lostThrough, settlement.record)
            lost.touch()
        }
    }

    /// Bundles that were done lately, with their sequences.
    var finishedSequences: [BundleKey: UInt64] { finished.mapValues(\.sequence) }

    /// It was sent again after it was lost.
    mutating func removeLost(_ key: BundleKey) {
        lost.remove(key)
    }

    /// A bundle that was lost before the start, as its index or the file of losses tells of it.
    mutating func addLost(_ bundle: LostBundle) {
        guard places[bundle.key]?.sequence ?? 0 == 0, lost[bundle.key] == nil else { return }
        lost.add(bundle)
    }

    /// Ends the bundles of a segment that cannot be read any more.
    ///
    /// - Parameter rows: all that is known of them.
    mutating func lose(_ rows: [IndexRow], of segment: UInt64, at time: Timestamp) {
        for row in rows where shelf.isLive(row.sequence) {
            forget(row.sequence)
            _ = shelf.finish(row.sequence, bytes: row.bundle.sizes.total)
            // A dead letter's bundle keeps its receipt: only this try is lost.
            if !row.bundle.isRetry {
                addLost(LostBundle(row.bundle, sequence: row.sequence, foundAt: time))
            }
        }
        abandon(segment)
    }

    /// Ends bundles whose records are damaged, as far as they are in no line in memory.
    mutating func lose(_ rows: [IndexRow], at time: Timestamp) -> SettleEffect {
        var effect = SettleEffect()
        for row in rows where bundles[row.sequence] == nil && shelf.isLive(row.sequence) {
            effect.entries.append(entry(row.sequence, row.bundle, row.bundle.lostOutcome))
            forget(row.sequence)
            _ = shelf.finish(row.sequence, bytes: row.bundle.sizes.total)
            if !row.bundle.isRetry {
                addLost(LostBundle(row.bundle, sequence: row.sequence, foundAt: time))
            }
        }
        return effect
    }

    /// Forgets a segment that is gone, with all that was to be delivered of it and is not in memory.
    mutating func abandon(_ segment: UInt64) {
        for sequence in shelf.sequences(in: segment) where bundles[sequence] == nil {
            forget(sequence)
            _ = shelf.finish(sequence, bytes: 0)
        }
        for deviceID in devices.keys {
            devices[deviceID]?.dropRuns(in: UInt32(segment))
        }
        shelf.remove(segment)
    }

    /// Drops from the devices' lines what was settled while the log was read.
    ///
    /// - Parameter sequence: of the last bundle in the log.
    mutating func endReplay(through sequence: UInt64) {
        recoveredThrough = sequence
        sizes = [:]
        ready = FairLine()
        var order: [(UInt64, DeviceID, TenantID)] = []
        let needed = shelf.neededSegments
        for deviceID in Array(devices.keys) {
            devices[deviceID]?.keep(
                where: { bundles[$0] != nil }, in: { needed[UInt64($0)] != nil })
            guard let line = devices[deviceID], !line.isEmpty else {
                devices[deviceID] = nil
                continue
            }
            let oldest =
                line.runs.first.flatMap { needed[UInt64($0.segment)] } ?? line.tail.first
            order.append((oldest ?? 0, deviceID, line.tenant))
        }
        // By the age of their first bundle, as they were before the restart, more or less.
        order.sort { ($0.0, $0.1.high, $0.1.low) < ($1.0, $1.1.high, $1.1.low) }
        for (_, deviceID, tenant) in order { ready.append(deviceID, of: tenant) }
    }
}

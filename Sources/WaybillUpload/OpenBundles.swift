package import Logging
internal import Metrics
internal import Synchronization
package import WaybillModel

/// The declared bundles that are not in the queue yet: in memory, and the same on disk.
///
/// Decides nothing about what was sent; whoever changes a bundle has its turn. Memory grows with
/// the parts of unfinished bundles, of which a device may have a few.
package final class OpenBundles: Sendable {
    private let state: Mutex<OpenState>
    private let files: JournalFiles
    let logger: Logger
    private let openCount = Meter(label: "waybill_open_bundles")
    private let openBytes = Meter(label: "waybill_open_bytes")
    private let expiredCount = Counter(label: "waybill_open_bundles_expired_total")

    /// Opens the directory (made, mode 0700, if it is missing) and reads all journals.
    ///
    /// A journal whose end is torn or damaged counts as far as it is good; one whose beginning is
    /// damaged is set aside; a complete part whose file is missing or of another size counts as not
    /// received. All of it is logged, none of it ends the start. Blocks.
    ///
    /// - Parameters:
    ///   - partsPath: the directory in which the parts' files lie.
    ///   - isHandedOver: true for a bundle that the queue knows: its journal is done.
    /// - Throws: ``UploadError/io(errno:operation:)``, ``UploadError/noThread(errno:)``.
    package init(
        path: String, partsPath: String, logger: Logger = Logger(label: "waybill.upload"),
        isHandedOver: (BundleKey) -> Bool
    ) throws(UploadError) {
        files = try JournalFiles(path: path)
        self.logger = logger
        var state = OpenState()
        for (name, bytes) in try files.load() {
            guard
                let bundle = Self.recover(
                    name, bytes, from: files, logger, isHandedOver: isHandedOver,
                    byteCountOfFile: { PartDirectory.byteCount(of: $0, in: partsPath) })
            else { continue }
            state.insert(bundle)
        }
        self.state = Mutex(state)
        measure()
    }

    /// Files that unfinished bundles need.
    package var fileNames: Set<String> {
        state.withLock { state in
            state.bundles.values.reduce(into: []) { $0.formUnion($1.fileNames) }
        }
    }

    /// Nil for a bundle that was not declared, or is not unfinished any more.
    package func find(_ key: BundleKey) -> OpenBundle? {
        state.withLock { $0.bundles[key] }
    }

    /// A device's unfinished bundles, the oldest first.
    package func list(of device: DeviceID) -> [OpenBundle] {
        let found = state.withLock { state in
            (state.devices[device] ?? []).compactMap {
                state.bundles[BundleKey(deviceID: device, bundleID: $0)]
            }
        }
        return found.sorted {
            ($0.declaration.declaredAt, $0.declaration.bundleID)
                < ($1.declaration.declaredAt, $1.declaration.bundleID)
        }
    }

    /// What a device's unfinished bundles count against it: sizes told, and what is complete.
    func charge(of device: DeviceID) -> Int {
        state.withLock { $0.charge(of: device, but: nil) }
    }

    /// Those to which nothing was added since `time`.
    func idle(since time: Timestamp) -> [BundleKey] {
        state.withLock { $0.bundles.values.filter { $0.progressedAt <= time }.map(\.key) }
    }

    /// Those that only wait for the queue.
    func complete() -> [BundleKey] {
        state.withLock { $0.bundles.values.filter(\.isComplete).map(\.key) }
    }

    // MARK: Changes, each durable when the call returns

    /// Adds a bundle.
    ///
    /// - Throws: ``UploadError/tooManyOpen(_:)``, ``UploadError/diskFull``,
    ///   ``UploadError/io(errno:operation:)``; it is not there then.
    ///
    /// - Parameter byteCount: what the device has unfinished besides.
    func declare(
        _ declaration: BundleDeclaration, limits: Limits, besides byteCount: Int
    ) async throws(UploadError) -> OpenBundle {
        var bundle = OpenBundle(declaration)
        try state.withLock { state throws(UploadError) in
            try state.checkQuota(adding: bundle, limits: limits, besides: byteCount)
            state.insert(bundle)
        }
        let bytes = BundleJournal.journal(of: bundle)
        do {
            try await files.write(bytes, of: declaration.key)
        } catch {
            state.withLock { $0.remove(declaration.key) }
            // The journal may be in place all the same. If it cannot be taken away either, the next
            // start finds a bundle that nobody was told of; it expires.
            try? await files.remove(declaration.key)
            throw error
        }
        bundle.journalByteCount = bytes.count
        replace(bundle)
        return bundle
    }

    /// Notes that a part is complete.
    ///
    /// - Throws: ``UploadError/tooManyOpen(_:)`` for a part of untold size,
    ///   ``UploadError/diskFull``, ``UploadError/io(errno:operation:)``; it is not complete then.
    func add(
        _ part: CompletedPart, to bundle: OpenBundle, limits: Limits
    ) async throws(UploadError) -> OpenBundle {
        var bundle = bundle
        bundle.add(part)
        if bundle.declared(part.number)?.byteCount == nil {
            try state.withLock { [bundle] state throws(UploadError) in
                try state.checkBytes(with: bundle, limits: limits, besides: 0)
            }
        }
        try await write(.completed(part), to: &bundle)
        replace(bundle)
        return bundle
    }

    /// Takes out a bundle that the queue has.
    func finish(_ key: BundleKey) async {
        do {
            try await files.finish(key)
        } catch {
            // The next start finds it in the queue and does this again.
            logger.warning(
                "the journal of a queued bundle stays",
                metadata: ["bundle.id": "\(key.bundleID)", "error": "\(error)"])
        }
        remove(key)
    }

    /// Forgets a bundle; its parts' files can go.
    func giveUp(_ key: BundleKey) async throws(UploadError) {
        try await files.remove(key)
        remove(key)
    }

    /// Ends a bundle that nobody finished; its parts' files can go.
    func expire(_ bundle: OpenBundle, at time: Timestamp) async throws(UploadError) {
        var bundle = bundle
        try await write(.expired(time), to: &bundle)
        try await files.finish(bundle.key)
        remove(bundle.key)
        expiredCount.increment()
    }

    // MARK: Bundles that are done

    /// What is remembered of a bundle after it was handed over or expired.
    func done(_ key: BundleKey) async -> BundleJournal.Contents? {
        await files.readDone(key)
    }

    /// Forgets those that were done before `time`.
    func sweepDone(before time: Timestamp) async {
        await files.sweepDone(before: time)
    }

    // MARK: Inside

    /// Adds an entry that `bundle` includes already, if it is a part.
    private func write(
        _ entry: BundleJournal.Entry, to bundle: inout OpenBundle
    ) async throws(UploadError) {
        let key = bundle.key
        do {
            if bundle.isJournalSound {
                let offset = bundle.journalByteCount
                let frame = BundleJournal.frame(entry, of: key, at: offset)
                try await files.append(frame, of: key, at: offset)
                bundle.journalByteCount += frame.count
            } else {
                var bytes = BundleJournal.journal(of: bundle)
                if case .expired = entry {
                    bytes += BundleJournal.frame(entry, of: key, at: bytes.count)
                }
                try await files.write(bytes, of: key)
                bundle.journalByteCount = bytes.count
                bundle.isJournalSound = true
            }
        } catch {
            // What the disk holds now is not known: the next change writes the journal anew.
            state.withLock { $0.bundles[key]?.isJournalSound = false }
            throw error
        }
    }

    private func replace(_ bundle: OpenBundle) {
        state.withLock { $0.insert(bundle) }
        measure()
    }

    private func remove(_ key: BundleKey) {
        state.withLock { $0.remove(key) }
        measure()
    }

    private func measure() {
        let (count, bytes) = state.withLock { ($0.bundles.count, $0.receivedByteCount) }
        openCount.set(count)
        openBytes.set(bytes)
    }
}

/// The bundles by key and by device; no disk, no lock.
private struct OpenState {
    var bundles: [BundleKey: OpenBundle] = [:]
    var devices: [DeviceID: Set<BundleID>] = [:]
    /// Of all parts that are complete.
    var receivedByteCount = 0

    mutating func insert(_ bundle: OpenBundle) {
        let old = bundles.updateValue(bundle, forKey: bundle.key)
        receivedByteCount += bundle.receivedByteCount - (old?.receivedByteCount ?? 0)
        devices[bundle.key.deviceID, default: []].insert(bundle.key.bundleID)
    }

    mutating func remove(_ key: BundleKey) {
        receivedByteCount -= bundles.removeValue(forKey: key)?.receivedByteCount ?? 0
        devices[key.deviceID]?.remove(key.bundleID)
        if devices[key.deviceID]?.isEmpty == true { devices[key.deviceID] = nil }
    }

    func checkQuota(
        adding bundle: OpenBundle, limits: Limits, besides byteCount: Int
    ) throws(UploadError) {
        guard (devices[bundle.key.deviceID]?.count ?? 0) < limits.openBundlesMax else {
            throw .tooManyOpen(.bundles(max: limits.openBundlesMax))
        }
        try checkBytes(with: bundle, limits: limits, besides: byteCount)
    }

    /// With `bundle` in the place of what is known of it.
    func checkBytes(
        with bundle: OpenBundle, limits: Limits, besides byteCount: Int
    ) throws(UploadError) {
        let others = charge(of: bundle.key.deviceID, but: bundle.key.bundleID)
        guard others + bundle.chargedByteCount + byteCount <= limits.openBytesMax else {
            throw .tooManyOpen(.bytes(max: limits.openBytesMax))
        }
    }

    /// What a device's bundles count, but one of them.
    func charge(of device: DeviceID, but left: BundleID?) -> Int {
        (devices[device] ?? []).reduce(0) { sum, id in
            guard id != left else { return sum }
            return sum
                + (bundles[BundleKey(deviceID: device, bundleID: id)]?.chargedByteCount ?? 0)
        }
    }
}

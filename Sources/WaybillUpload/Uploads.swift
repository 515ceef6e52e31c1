package import Logging
internal import Metrics
internal import Synchronization
internal import WaybillModel
internal import WaybillThreads

/// The resumable uploads of this server: in memory, and the same on disk.
///
/// Decides nothing about bundles. Memory grows with the uploads that are known, a few hundred bytes
/// each, whatever their size.
package final class Uploads: Sendable {
    private let state: Mutex<UploadTable>
    private let places: UploadFile.Places
    private let threads: [ThreadExecutor]
    private let filesMade = Atomic(0)
    let turns = KeyedTurns<UploadID>()
    let logger: Logger
    private let openCount = Meter(label: "waybill_open_uploads")
    private let openBytes = Meter(label: "waybill_open_upload_bytes")
    let expiredCount = Counter(label: "waybill_open_uploads_expired_total")

    /// Appends that are synced at the same time: the kernel makes one commit of them.
    private static let threadCount = 32

    /// Opens the directory of records (made, mode 0700, if it is missing) and reads them all.
    ///
    /// A record that cannot be read is set aside: its upload is unknown. Blocks.
    ///
    /// - Parameters:
    ///   - partsPath: the directory in which the parts' files lie.
    ///   - owned: files that bundles have, queued or unfinished: their uploads are complete, whatever
    ///     the records say.
    /// - Throws: ``UploadError/io(errno:operation:)``, ``UploadError/noThread(errno:)``.
    package init(
        path: String, partsPath: String, owned: Set<String>,
        logger: Logger = Logger(label: "waybill.upload")
    ) throws(UploadError) {
        try UploadError.makeDirectory(path)
        places = UploadFile.Places(records: path, parts: partsPath)
        threads = try FileCalls.threads(Self.threadCount, named: "uploads")
        self.logger = logger
        var found: [(file: UploadFile, mark: UploadMark)] = []
        for (index, name) in try FileCalls.names(in: path).enumerated() {
            guard !name.hasSuffix(Self.damagedSuffix) else { continue }
            guard let id = UploadID(name) else {
                FileCalls.remove(path + "/" + name)
                continue
            }
            // What cannot be read is damaged, and reported as such.
            guard let bytes = try? FileCalls.read(path + "/" + name),
                let (plan, known) = UploadRecord.read(bytes, of: id)
            else {
                logger.error(
                    "the record of an upload is damaged and set aside: its device begins anew",
                    metadata: ["upload.id": "\(id)"])
                try FileCalls.rename(
                    path + "/" + name, to: path + "/" + name + Self.damagedSuffix)
                continue
            }
            var marks = known
            if owned.contains(UploadFile.fileName(of: id)), marks[0].phase != .complete {
                // A crash came between the bundle's note and the upload's.
                marks = [marks[0].next(.complete, at: .now)]
                try UploadFile.write(marks[0], of: id, to: path + "/" + name)
            }
            let file = UploadFile(
                id: id, plan: plan, marks: marks, places: places,
                thread: threads[index % threads.count])
            found.append((file, marks[0]))
        }
        var state = UploadTable()
        for (file, mark) in found.sorted(by: { $0.file.plan.createdAt < $1.file.plan.createdAt }) {
            state.insert(file, mark)
        }
        self.state = Mutex(state)
        measure()
    }

    deinit {
        for thread in threads { thread.stop() }
    }

    private static let damagedSuffix = ".damaged"

    /// Files that uploads need; those of complete parts belong to their bundles.
    package var fileNames: Set<String> {
        state.withLock { state in
            Set(
                state.entries.values.filter { $0.mark.holdsBytes($0.file.plan) }
                    .map(\.file.fileName))
        }
    }

    // MARK: Looking

    /// An upload of this device, whatever became of it; nil when it has none of this name.
    func find(_ id: UploadID, of device: DeviceID) -> (file: UploadFile, mark: UploadMark)? {
        state.withLock { state in
            guard let entry = state.entries[id], entry.file.plan.deviceID == device else {
                return nil
            }
            return (entry.file, entry.mark)
        }
    }

    /// As ``find(_:of:)``, whoever's it is.
    func entry(_ id: UploadID) -> (file: UploadFile, mark: UploadMark)? {
        state.withLock { state in state.entries[id].map { ($0.file, $0.mark) } }
    }

    /// The upload of a part to go on with: one that has bytes before one that has none.
    func current(_ key: BundleKey, part: Int) -> (id: UploadID, mark: UploadMark)? {
        state.withLock { state in
            let open = state.open(UploadTable.PartKey(bundle: key, part: part))
            let found = open.last { $0.mark.offset > 0 } ?? open.last
            return found.map { ($0.file.id, $0.mark) }
        }
    }

    /// All uploads of a part that are not ended, the newest last.
    func all(_ key: BundleKey, part: Int) -> [(id: UploadID, plan: UploadPlan, mark: UploadMark)] {
        state.withLock { state in
            (state.parts[UploadTable.PartKey(bundle: key, part: part)] ?? []).compactMap { id in
                state.entries[id].map { (id, $0.file.plan, $0.mark) }
            }
        }.filter { $0.mark.phase != .ended }
    }

    /// Those of a bundle that may still get bytes, with when they were synced last.
    func open(of key: BundleKey) -> [(id: UploadID, mark: UploadMark)] {
        state.withLock { state in
            (state.devices[key.deviceID] ?? []).compactMap { id in
                guard let entry = state.entries[id], entry.mark.isOpen,
                    entry.file.plan.bundleKey == key
                else { return nil }
                return (id, entry.mark)
            }
        }
    }

    /// The piece of a device that was begun first and has no byte.
    func oldestEmptyPiece(of device: DeviceID) -> UploadID? {
        state.withLock { state in
            (state.devices[device] ?? []).compactMap { state.entries[$0] }
                .filter {
                    $0.file.plan.target == nil && $0.mark.phase == .receiving && $0.mark.offset == 0
                }
                .min { $0.file.plan.createdAt < $1.file.plan.createdAt }?.file.id
        }
    }

    /// Those whose bytes are parts of a bundle.
    func complete(of key: BundleKey) -> [UploadID] {
        state.withLock { state in
            (state.devices[key.deviceID] ?? []).filter { id in
                guard let entry = state.entries[id] else { return false }
                return entry.mark.phase == .complete && entry.file.plan.bundleKey == key
            }
        }
    }

    /// What a device's unfinished uploads count, but those that `isCounted` leaves out.
    func charge(
        of device: DeviceID, _ isCounted: (UploadPlan) -> Bool
    ) -> (byteCount: Int, pieceCount: Int) {
        state.withLock { state in
            var (byteCount, pieceCount) = (0, 0)
            for id in state.devices[device] ?? [] {
                guard let entry = state.entries[id], entry.mark.holdsBytes(entry.file.plan),
                    isCounted(entry.file.plan)
                else { continue }
                let isPiece = entry.file.plan.target == nil
                // The answer to a piece's creation may have been lost, and nobody can name it then.
                let told = isPiece && entry.mark.offset == 0 ? 0 : entry.mark.byteCount ?? 0
                byteCount += max(told, entry.mark.offset)
                if isPiece { pieceCount += 1 }
            }
            return (byteCount, pieceCount)
        }
    }

    /// Those of a device that were ended, in the order of their ends.
    func ended(of device: DeviceID) -> [UploadID] {
        state.withLock { state in
            (state.devices[device] ?? []).compactMap { state.entries[$0] }
                .filter { $0.mark.phase == .ended }.sorted { $0.mark.time < $1.mark.time }
                .map(\.file.id)
        }
    }

    /// All uploads in a phase, with when it began.
    func list(_ phase: UploadMark.Phase) -> [(id: UploadID, plan: UploadPlan, mark: UploadMark)] {
        state.withLock { state in
            state.entries.values.filter { $0.mark.phase == phase }
                .map { ($0.file.id, $0.file.plan, $0.mark) }
        }
    }

    // MARK: Changes

    /// Makes an upload; durable on return.
    func create(_ plan: UploadPlan, byteCount: Int?) async throws(UploadError) -> UploadID {
        let id = UploadID()
        let turn = filesMade.add(1, ordering: .relaxed).oldValue
        let mark = UploadMark(time: plan.createdAt, byteCount: byteCount)
        let file = UploadFile(
            id: id, plan: plan, marks: [mark], places: places,
            thread: threads[turn % threads.count])
        // Whoever looks for what a device has must see it while it is made.
        state.withLock { $0.insert(file, mark) }
        do {
            try await file.create()
        } catch {
            state.withLock { $0.remove(id) }
            throw error
        }
        measure()
        return id
    }

    /// Takes an upload over: the connection that is at it ends, `cut` ends the new one.
    ///
    /// - Returns: what to hand to ``release(_:_:)``.
    func seize(_ id: UploadID, _ cut: (@Sendable () -> Void)?) -> Int {
        let (visit, former) = state.withLock { state -> (Int, (@Sendable () -> Void)?) in
            guard var entry = state.entries[id] else { return (0, nil) }
            let former = entry.cut
            entry.cut = cut
            entry.visits += 1
            state.entries[id] = entry
            return (entry.visits, former)
        }
        former?()
        return visit
    }

    /// The visitor has gone; a later one stays.
    func release(_ id: UploadID, _ visit: Int) {
        state.withLock { state in
            if state.entries[id]?.visits == visit { state.entries[id]?.cut = nil }
        }
    }

    /// What an upload's bundle waits for is not known to be over: its URL answers on.
    func refresh(_ id: UploadID, at time: Timestamp) {
        state.withLock { $0.entries[id]?.mark.time = time }
    }

    /// Takes in what is on disk now; marks never go back.
    func note(_ id: UploadID, _ mark: UploadMark) {
        state.withLock { state in
            guard let known = state.entries[id]?.mark, known.sequence < mark.sequence else {
                return
            }
            state.count(known, -1)
            state.count(mark, 1)
            state.entries[id]?.mark = mark
        }
        measure()
    }

    /// Forgets an upload that is complete or ended.
    func remove(_ id: UploadID) async {
        let file = state.withLock { $0.entries[id]?.file }
        await file?.removeRecord()
        state.withLock { $0.remove(id) }
        measure()
    }

    private func measure() {
        let (count, bytes) = state.withLock { ($0.openCount, $0.openBytes) }
        openCount.set(count)
        openBytes.set(bytes)
    }
}

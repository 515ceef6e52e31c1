internal import WaybillModel

/// The uploads by name, by part and by device; no disk, no lock.
struct UploadTable: Sendable {
    struct Entry: Sendable {
        let file: UploadFile
        var mark: UploadMark
        /// Ends the connection of whoever is at it.
        var cut: (@Sendable () -> Void)?
        /// How often somebody came to it.
        var visits = 0
    }

    struct PartKey: Hashable {
        let bundle: BundleKey
        let part: Int
    }

    var entries: [UploadID: Entry] = [:]
    /// Those of a part, in the order in which they were begun.
    private(set) var parts: [PartKey: [UploadID]] = [:]
    private(set) var devices: [DeviceID: Set<UploadID>] = [:]
    /// How many may still get bytes, and what they have.
    private(set) var openCount = 0
    private(set) var openBytes = 0

    mutating func insert(_ file: UploadFile, _ mark: UploadMark) {
        entries[file.id] = Entry(file: file, mark: mark)
        count(mark, 1)
        devices[file.plan.deviceID, default: []].insert(file.id)
        if let key = PartKey(file.plan) { parts[key, default: []].append(file.id) }
    }

    mutating func remove(_ id: UploadID) {
        guard let entry = entries.removeValue(forKey: id) else { return }
        let plan = entry.file.plan
        count(entry.mark, -1)
        devices[plan.deviceID]?.remove(id)
        if devices[plan.deviceID]?.isEmpty == true { devices[plan.deviceID] = nil }
        guard let key = PartKey(plan) else { return }
        parts[key]?.removeAll { $0 == id }
        if parts[key]?.isEmpty == true { parts[key] = nil }
    }

    mutating func count(_ mark: UploadMark, _ sign: Int) {
        guard mark.isOpen else { return }
        openCount += sign
        openBytes += sign * mark.offset
    }

    func open(_ key: PartKey) -> [Entry] {
        (parts[key] ?? []).compactMap { entries[$0] }.filter(\.mark.isOpen)
    }
}

extension UploadTable.PartKey {
    init?(_ plan: UploadPlan) {
        guard let bundle = plan.bundleKey, let part = plan.target?.part else { return nil }
        self.init(bundle: bundle, part: part)
    }
}

extension UploadMark {
    /// Its last byte is here, and nobody has said that it is the last.
    var isWhole: Bool { phase == .receiving && offset > 0 && byteCount == offset }

    /// Its bytes are nobody's yet.
    var isOpen: Bool { phase == .receiving || phase == .received }

    /// Its bytes take room that is its own: a piece keeps them when it is complete.
    func holdsBytes(_ plan: UploadPlan) -> Bool {
        isOpen || (phase == .complete && plan.target == nil)
    }
}

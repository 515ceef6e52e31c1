internal import Synchronization
package import WaybillModel
package import WaybillStore

/// The devices that may upload, in memory, so that authenticating needs no database.
///
/// Holds hashes of tokens and no secret. ``RegistryKeeper`` brings it up to date and saves it.
package final class DeviceRegistry: Sendable {
    fileprivate struct Entry {
        var device: RegisteredDevice
        /// The registry's change count when this became so.
        var changedAt: Int
    }

    fileprivate struct State {
        var entries: [DeviceID: Entry] = [:]
        var byToken: [Digest256: DeviceID] = [:]
        /// Seen here, not yet known to be seen in the database.
        var unmarked: Set<DeviceID> = []
        /// Changed since the registry was saved.
        var unsaved: Set<DeviceID> = []
        /// Whose token was refused or replaced by the change that is under way.
        var departed: Set<DeviceID> = []
        var hasNewEpoch = false
        var changeCount = 0
        /// Unseen devices that are being enrolled again, and how often at this moment.
        var replaced: [DeviceID: Int] = [:]
    }

    private let state = Mutex(State())
    private let bell: ReceiptBell?
    private let wakeUp: AsyncStream<Void>.Continuation
    private let changed: AsyncStream<Void>.Continuation

    /// Yields when a device was seen for the first time.
    let firstSights: AsyncStream<Void>
    /// Yields after a change, and once for several that nobody looked at in between.
    let changes: AsyncStream<Void>

    /// - Parameter bell: rung for devices whose token is no longer good, so that what they wait for
    ///   ends.
    package init(_ devices: [RegisteredDevice] = [], bell: ReceiptBell? = nil) {
        self.bell = bell
        (firstSights, wakeUp) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        (changes, changed) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        merge(devices)
        // They come from where they would be saved.
        state.withLock { $0.unsaved = [] }
    }

    /// The device whose token has this hash, revoked ones included.
    package func find(tokenHash: Digest256) -> RegisteredDevice? {
        state.withLock { state in
            guard let id = state.byToken[tokenHash] else { return nil }
            return state.entries[id]?.device
        }
    }

    /// Whether the token that the device was authenticated with is still good.
    package func isCurrent(_ device: RegisteredDevice) -> Bool {
        guard let known = find(tokenHash: device.tokenHash) else { return false }
        return known.deviceID == device.deviceID && !known.isRevoked
    }

    /// Takes over what the database knows.
    ///
    /// A device that was seen here and not there stays seen, and is told to the database again; one
    /// that was revoked stays revoked.
    ///
    /// - Parameter readAt: ``changeCount`` from before the database was asked: what has changed here
    ///   since is newer than the answer. Nil for news that is newer in any case.
    package func merge(_ devices: [RegisteredDevice], readAt: Int? = nil) {
        merge(devices, readAt: readAt, isWhole: false)
    }

    /// Takes over the whole of what the database knows and forgets the rest, and what was revoked
    /// here alone. With `readAt` as in ``merge(_:readAt:)``.
    package func replace(with devices: [RegisteredDevice], readAt: Int? = nil) {
        let known = Set(devices.map(\.deviceID))
        change { state in
            for id in Array(state.entries.keys)
            where !known.contains(id) && state.isOlder(id, than: readAt) {
                state.remove(id)
            }
        }
        merge(devices, readAt: readAt, isWhole: true)
    }

    private func merge(_ devices: [RegisteredDevice], readAt: Int?, isWhole: Bool) {
        let hasUnmarked = change { state in
            for device in devices where state.isOlder(device.deviceID, than: readAt) {
                state.merge(device, staysRevoked: !isWhole)
            }
            return !state.unmarked.isEmpty
        }
        if hasUnmarked { wakeUp.yield() }
    }

    /// Refuses the device's token from now on.
    package func revoke(_ id: DeviceID) {
        change { state in
            guard var device = state.entries[id]?.device, !device.isRevoked else { return }
            device.isRevoked = true
            state.put(device)
            state.departed.insert(id)
        }
    }

    /// Notes the device's authenticated request; only the first one changes anything.
    ///
    /// - Returns: false when the device is being enrolled again at this moment, and the token may
    ///   turn out to be replaced.
    func noteSeen(_ device: RegisteredDevice) -> Bool {
        guard !device.isSeen else { return true }
        let isNoted = change { state in
            guard state.replaced[device.deviceID] == nil else { return false }
            guard var known = state.entries[device.deviceID]?.device, !known.isSeen,
                known.tokenHash == device.tokenHash
            else { return true }
            known.isSeen = true
            state.put(known)
            state.unmarked.insert(device.deviceID)
            return true
        }
        if isNoted { wakeUp.yield() }
        return isNoted
    }

    /// Enrols while no device is seen for the first time whose token and secret that replaces:
    /// what it sealed under the old secret could not be opened any more.
    ///
    /// - Parameter enroll: is given what to ask before a device's token and secret are replaced.
    package func replacing<Result: Sendable>(
        _ enroll: (@escaping @Sendable (DeviceID) -> Bool) async throws -> Result
    ) async rethrows -> Result {
        let held = HeldDevices()
        defer {
            state.withLock { state in
                for id in held.ids {
                    let count = (state.replaced[id] ?? 1) - 1
                    state.replaced[id] = count == 0 ? nil : count
                }
            }
        }
        return try await enroll { id in
            self.state.withLock { state in
                guard state.entries[id]?.device.isSeen != true else { return false }
                state.replaced[id, default: 0] += 1
                held.add(id)
                return true
            }
        }
    }

    /// Devices whose first request the database has not been told.
    var unmarked: [RegisteredDevice] {
        state.withLock { state in state.unmarked.compactMap { state.entries[$0]?.device } }
    }

    func noteMarked(_ id: DeviceID) {
        state.withLock { _ = $0.unmarked.remove(id) }
    }

    /// All devices.
    var devices: [RegisteredDevice] {
        state.withLock { state in state.entries.values.map(\.device) }
    }

    package var deviceCount: Int { state.withLock { $0.entries.count } }

    /// Grows with each change.
    package var changeCount: Int { state.withLock { $0.changeCount } }

    /// What has changed since it was asked for the last time; nil stands for a device that is
    /// forgotten.
    func takeUnsaved() -> [DeviceID: RegisteredDevice?] {
        state.withLock { state in
            defer { state.unsaved = [] }
            var changes: [DeviceID: RegisteredDevice?] = [:]
            for id in state.unsaved { changes[id] = .some(state.entries[id]?.device) }
            return changes
        }
    }

    /// Puts back what could not be saved.
    func noteUnsaved(_ devices: some Sequence<DeviceID>) {
        state.withLock { $0.unsaved.formUnion(devices) }
        changed.yield()
    }

    @discardableResult
    private func change<Result: Sendable>(_ body: (inout State) -> Result) -> Result {
        let (result, hasChanged, departed) = state.withLock { state in
            let before = state.changeCount
            let result = body(&state)
            // While nobody can be authenticated under the new epoch yet.
            if state.hasNewEpoch { bell?.noteEpochChange() }
            defer {
                state.departed = []
                state.hasNewEpoch = false
            }
            return (result, state.changeCount != before, state.departed)
        }
        if hasChanged { changed.yield() }
        if !departed.isEmpty { bell?.ringHere(departed) }
        return result
    }
}

extension DeviceRegistry.State {
    /// Whether what is known here of the device may be replaced by an answer of that age.
    fileprivate func isOlder(_ id: DeviceID, than readAt: Int?) -> Bool {
        guard let readAt, let entry = entries[id] else { return true }
        return entry.changedAt <= readAt
    }

    fileprivate mutating func merge(_ device: RegisteredDevice, staysRevoked: Bool) {
        var device = device
        let old = entries[device.deviceID]?.device
        if let old, old.isSeen, !device.isSeen, old.tokenHash == device.tokenHash {
            device.isSeen = true
            unmarked.insert(device.deviceID)
        }
        if staysRevoked, let old, old.isRevoked { device.isRevoked = true }
        guard old != device else { return }
        if let old, old.tokenHash != device.tokenHash || device.isRevoked {
            departed.insert(device.deviceID)
        }
        put(device)
    }

    fileprivate mutating func put(_ device: RegisteredDevice) {
        changeCount += 1
        let old = entries[device.deviceID]?.device
        if let old { byToken[old.tokenHash] = nil }
        if device.epoch != old?.epoch ?? 1 { hasNewEpoch = true }
        byToken[device.tokenHash] = device.deviceID
        entries[device.deviceID] = DeviceRegistry.Entry(device: device, changedAt: changeCount)
        unsaved.insert(device.deviceID)
    }

    fileprivate mutating func remove(_ id: DeviceID) {
        guard let old = entries.removeValue(forKey: id)?.device else { return }
        changeCount += 1
        byToken[old.tokenHash] = nil
        unmarked.remove(id)
        unsaved.insert(id)
        departed.insert(id)
    }
}

/// Devices that one enrolment holds.
private final class HeldDevices: Sendable {
    private let list = Mutex<[DeviceID]>([])

    var ids: [DeviceID] { list.withLock { $0 } }

    func add(_ id: DeviceID) {
        list.withLock { $0.append(id) }
    }
}

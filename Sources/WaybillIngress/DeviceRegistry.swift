internal import Synchronization
package import WaybillModel
package import WaybillStore

/// The devices that may upload, in memory, so that authenticating needs no database.
///
/// Holds hashes of tokens and no secret. ``RegistryKeeper`` brings it up to date and saves it.
package final class DeviceRegistry: Sendable {
    fileprivate struct State {
        var devices: [DeviceID: RegisteredDevice] = [:]
        var byToken: [Digest256: DeviceID] = [:]
        /// Seen here, not yet known to be seen in the database.
        var unmarked: Set<DeviceID> = []
        var changeCount = 0
    }

    private let state = Mutex(State())
    private let wakeUp: AsyncStream<Void>.Continuation
    private let changed: AsyncStream<Void>.Continuation

    /// Yields when a device was seen for the first time.
    let firstSights: AsyncStream<Void>
    /// Yields after a change, and once for several that nobody looked at in between.
    let changes: AsyncStream<Void>

    package init(_ devices: [RegisteredDevice] = []) {
        (firstSights, wakeUp) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        (changes, changed) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        merge(devices)
    }

    /// The device whose token has this hash, revoked ones included.
    package func find(tokenHash: Digest256) -> RegisteredDevice? {
        state.withLock { state in
            guard let id = state.byToken[tokenHash] else { return nil }
            return state.devices[id]
        }
    }

    /// Takes over what the database knows.
    ///
    /// A device that was seen here and not there stays seen, and is told to the database again.
    package func merge(_ devices: [RegisteredDevice]) {
        let hasUnmarked = change { state in
            for device in devices { state.merge(device) }
            return !state.unmarked.isEmpty
        }
        if hasUnmarked { wakeUp.yield() }
    }

    /// Takes over the whole of what the database knows and forgets the rest.
    package func replace(with devices: [RegisteredDevice]) {
        let known = Set(devices.map(\.deviceID))
        change { state in
            for (id, device) in state.devices where !known.contains(id) {
                state.devices[id] = nil
                state.byToken[device.tokenHash] = nil
                state.unmarked.remove(id)
                state.changeCount += 1
            }
        }
        merge(devices)
    }

    /// Refuses the device's token from now on.
    package func revoke(_ id: DeviceID) {
        change { state in
            guard state.devices[id]?.isRevoked == false else { return }
            state.devices[id]?.isRevoked = true
            state.changeCount += 1
        }
    }

    /// Notes the device's authenticated request; only the first one changes anything.
    func noteSeen(_ device: RegisteredDevice) {
        guard !device.isSeen else { return }
        change { state in
            guard state.devices[device.deviceID]?.isSeen == false else { return }
            state.devices[device.deviceID]?.isSeen = true
            state.unmarked.insert(device.deviceID)
            state.changeCount += 1
        }
        wakeUp.yield()
    }

    /// Devices whose first request the database has not been told.
    var unmarked: [DeviceID] { state.withLock { Array($0.unmarked) } }

    func noteMarked(_ id: DeviceID) {
        state.withLock { _ = $0.unmarked.remove(id) }
    }

    /// All devices, and a number that grows with each change.
    var snapshot: (devices: [RegisteredDevice], changeCount: Int) {
        state.withLock { (Array($0.devices.values), $0.changeCount) }
    }

    var changeCount: Int { state.withLock { $0.changeCount } }

    private func change<Result: Sendable>(_ body: (inout State) -> Result) -> Result {
        let (result, hasChanged) = state.withLock { state in
            let before = state.changeCount
            return (body(&state), state.changeCount != before)
        }
        if hasChanged { changed.yield() }
        return result
    }
}

extension DeviceRegistry.State {
    fileprivate mutating func merge(_ device: RegisteredDevice) {
        var device = device
        let old = devices[device.deviceID]
        if let old, old.isSeen, !device.isSeen, old.tokenHash == device.tokenHash {
            device.isSeen = true
            unmarked.insert(device.deviceID)
        }
        guard old != device else { return }
        if let old { byToken[old.tokenHash] = nil }
        byToken[device.tokenHash] = device.deviceID
        devices[device.deviceID] = device
        changeCount += 1
    }
}

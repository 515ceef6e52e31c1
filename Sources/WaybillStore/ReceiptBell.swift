internal import Synchronization
package import WaybillModel

/// Wakes long polls and streams in this process when a device has a new receipt.
///
/// Register first, look into the database, then wait: a ring between the look and the wait is kept.
/// What happens on other server nodes rings here through ``StoreNotices``, and, should a notice get
/// lost, through ``ReceiptRecheck``.
package final class ReceiptBell: Sendable {
    private struct State {
        var registrations: [DeviceID: [UInt64: Waiter]] = [:]
        var lastNumber: UInt64 = 0
        var forward: (@Sendable (Set<DeviceID>) -> Void)?
    }

    private enum Waiter {
        case registered
        case rung
        case waiting(CheckedContinuation<Bool, Never>)
    }

    private let state = Mutex(State())
    private let epochChangeCount = Atomic(0)

    package init() {}

    /// Grows when a device of this node is known to have another key epoch than before: what a
    /// listener remembers of open epochs is old then.
    var epochChanges: Int { epochChangeCount.load(ordering: .acquiring) }

    /// To be called before anything that the device sends under its new epoch is taken.
    package func noteEpochChange() {
        epochChangeCount.add(1, ordering: .acquiringAndReleasing)
    }

    /// Devices that somebody waits for.
    package var awaitedDevices: [DeviceID] {
        state.withLock { Array($0.registrations.keys) }
    }

    /// Sees to it that ``ring(_:)`` is heard elsewhere, too.
    package func forward(to others: @escaping @Sendable (Set<DeviceID>) -> Void) {
        state.withLock { $0.forward = others }
    }

    /// Tells everyone who registered for one of `devices`, and other server nodes. Never blocks.
    package func ring(_ devices: Set<DeviceID>) {
        guard !devices.isEmpty else { return }
        ringHere(devices)
        state.withLock { $0.forward }?(devices)
    }

    /// Tells everyone in this process. Never blocks.
    package func ringHere(_ devices: some Sequence<DeviceID>) {
        let woken = state.withLock { state in
            var woken: [CheckedContinuation<Bool, Never>] = []
            for device in devices {
                guard let waiters = state.registrations[device] else { continue }
                for (number, waiter) in waiters {
                    if case .waiting(let continuation) = waiter {
                        woken.append(continuation)
                        state.registrations[device]?[number] = .registered
                    } else {
                        state.registrations[device]?[number] = .rung
                    }
                }
            }
            return woken
        }
        for continuation in woken { continuation.resume(returning: true) }
    }

    /// Counts rings for `device` from now on, until the registration is let go.
    package func register(for device: DeviceID) -> Registration {
        let number = state.withLock { state in
            state.lastNumber += 1
            state.registrations[device, default: [:]][state.lastNumber] = .registered
            return state.lastNumber
        }
        return Registration(bell: self, device: device, number: number)
    }

    /// One listener's place at the bell; letting go of it ends it.
    package final class Registration: Sendable {
        private let bell: ReceiptBell
        private let device: DeviceID
        private let number: UInt64

        fileprivate init(bell: ReceiptBell, device: DeviceID, number: UInt64) {
            self.bell = bell
            self.device = device
            self.number = number
        }

        deinit {
            bell.end(device, number)
        }

        /// Returns at the first ring since registering or since the last wait, after `timeout`, or
        /// when the task is cancelled. One wait at a time.
        ///
        /// - Returns: whether it rang.
        @discardableResult
        package func wait(timeout: Duration) async -> Bool {
            await withTaskGroup(of: Bool.self) { group in
                group.addTask { await self.ringing() }
                group.addTask {
                    // A cancelled sleep ends the wait as well: that is what cancelling is for.
                    try? await Task.sleep(for: timeout)
                    return false
                }
                var hasRung = await group.next() ?? false
                group.cancelAll()
                for await other in group where other { hasRung = true }
                return hasRung
            }
        }

        /// Rings for this one alone.
        package func ring() {
            bell.ring(device, number)
        }

        private func ringing() async -> Bool {
            await withTaskCancellationHandler {
                await withCheckedContinuation { bell.park(device, number, $0) }
            } onCancel: {
                bell.release(device, number)
            }
        }
    }

    private func park(
        _ device: DeviceID, _ number: UInt64, _ continuation: CheckedContinuation<Bool, Never>
    ) {
        let answer = state.withLock { state -> Bool? in
            // A cancelled task parks after its release: it must not stay.
            if case .rung? = state.registrations[device]?[number] {
                state.registrations[device]?[number] = .registered
                return true
            }
            if Task.isCancelled { return false }
            state.registrations[device]?[number] = .waiting(continuation)
            return nil
        }
        if let answer { continuation.resume(returning: answer) }
    }

    private func ring(_ device: DeviceID, _ number: UInt64) {
        let continuation = state.withLock { state -> CheckedContinuation<Bool, Never>? in
            switch state.registrations[device]?[number] {
            case .waiting(let parked)?:
                state.registrations[device]?[number] = .registered
                return parked
            case .registered?:
                state.registrations[device]?[number] = .rung
                return nil
            case .rung?, nil:
                return nil
            }
        }
        continuation?.resume(returning: true)
    }

    private func release(_ device: DeviceID, _ number: UInt64) {
        let continuation = state.withLock { state -> CheckedContinuation<Bool, Never>? in
            guard case .waiting(let parked)? = state.registrations[device]?[number] else {
                return nil
            }
            state.registrations[device]?[number] = .registered
            return parked
        }
        continuation?.resume(returning: false)
    }

    private func end(_ device: DeviceID, _ number: UInt64) {
        state.withLock { state in
            state.registrations[device]?[number] = nil
            if state.registrations[device]?.isEmpty == true { state.registrations[device] = nil }
        }
    }
}

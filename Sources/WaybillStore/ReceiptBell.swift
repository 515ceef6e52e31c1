internal import Synchronization
package import WaybillModel

/// Wakes long polls in this process when a device has a new receipt.
///
/// Register first, look into the database, then wait: a ring between the look and the wait is kept.
/// Another server node's receipts ring no bell here, so waits are bounded.
package final class ReceiptBell: Sendable {
    private struct State {
        var registrations: [DeviceID: [UInt64: Waiter]] = [:]
        var lastNumber: UInt64 = 0
    }

    private enum Waiter {
        case registered
        case rung
        case waiting(CheckedContinuation<Void, Never>)
    }

    private let state = Mutex(State())

    package init() {}

    /// Tells everyone who registered for one of `devices`. Never blocks.
    package func ring(_ devices: some Sequence<DeviceID>) {
        let woken = state.withLock { state in
            var woken: [CheckedContinuation<Void, Never>] = []
            for device in devices {
                guard let waiters = state.registrations[device] else { continue }
                for (number, waiter) in waiters {
                    if case .waiting(let continuation) = waiter { woken.append(continuation) }
                    state.registrations[device]?[number] = .rung
                }
            }
            return woken
        }
        for continuation in woken { continuation.resume() }
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

    /// Waits for a ring, from this call on, for at most `timeout`.
    package func wait(for device: DeviceID, timeout: Duration) async {
        await register(for: device).wait(timeout: timeout)
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
        package func wait(timeout: Duration) async {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await self.ringing() }
                // A cancelled sleep ends the wait as well: that is what cancelling is for.
                group.addTask { try? await Task.sleep(for: timeout) }
                await group.next()
                group.cancelAll()
            }
        }

        private func ringing() async {
            await withTaskCancellationHandler {
                await withCheckedContinuation { bell.park(device, number, $0) }
            } onCancel: {
                bell.release(device, number)
            }
        }
    }

    private func park(
        _ device: DeviceID, _ number: UInt64, _ continuation: CheckedContinuation<Void, Never>
    ) {
        let isRung = state.withLock { state -> Bool in
            // A cancelled task parks after its release: it must not stay.
            if case .rung? = state.registrations[device]?[number] {
                state.registrations[device]?[number] = .registered
                return true
            }
            if Task.isCancelled { return true }
            state.registrations[device]?[number] = .waiting(continuation)
            return false
        }
        if isRung { continuation.resume() }
    }

    private func release(_ device: DeviceID, _ number: UInt64) {
        let continuation = state.withLock { state -> CheckedContinuation<Void, Never>? in
            guard case .waiting(let parked)? = state.registrations[device]?[number] else {
                return nil
            }
            state.registrations[device]?[number] = .registered
            return parked
        }
        continuation?.resume()
    }

    private func end(_ device: DeviceID, _ number: UInt64) {
        state.withLock { state in
            state.registrations[device]?[number] = nil
            if state.registrations[device]?.isEmpty == true { state.registrations[device] = nil }
        }
    }
}

internal import Synchronization
internal import WaybillModel

/// How many requests of each device are in progress, with a cap: none holds all connections.
final class RequestSlots: Sendable {
    private let countMax: Int
    private let counts = Mutex<[DeviceID: Int]>([:])

    init(countMax: Int) {
        self.countMax = countMax
    }

    /// - Throws: 429 when the device has as many in progress as it may.
    func take(for device: DeviceID) throws(Problem) -> RequestSlot {
        let isFree = counts.withLock { counts in
            let count = counts[device, default: 0]
            guard count < countMax else { return false }
            counts[device] = count + 1
            return true
        }
        guard isFree else {
            throw Problem(
                .rateLimited, "This device has \(countMax) requests in progress; end some.",
                retryAfter: Self.pause)
        }
        return RequestSlot(slots: self, device: device)
    }

    /// Seconds: nobody knows when one of them ends.
    private static let pause = 5

    fileprivate func leave(_ device: DeviceID) {
        counts.withLock { counts in
            guard let count = counts[device], count > 1 else {
                counts[device] = nil
                return
            }
            counts[device] = count - 1
        }
    }
}

/// The place of one request; free again when nobody holds it: neither its handler nor its answer's body.
final class RequestSlot: Sendable {
    private let slots: RequestSlots
    private let device: DeviceID

    fileprivate init(slots: RequestSlots, device: DeviceID) {
        self.slots = slots
        self.device = device
    }

    deinit {
        slots.leave(device)
    }
}

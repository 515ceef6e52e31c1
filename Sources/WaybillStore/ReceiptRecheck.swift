internal import Logging
package import WaybillModel

/// Looks now and then whether devices that are waited for have news that no notice told of: one
/// question for many devices, whatever the number of streams and long polls.
package struct ReceiptRecheck: Sendable {
    private let bell: ReceiptBell
    private let interval: Duration
    private let lastReceipts: @Sendable ([DeviceID]) async throws -> [DeviceID: Int64]
    private let logger = Logger(label: "waybill.notices")

    private static let devicesPerQuestion = 1000

    /// - Parameter lastReceipts: the devices' highest receipt numbers.
    package init(
        bell: ReceiptBell, interval: Duration,
        lastReceipts: @escaping @Sendable ([DeviceID]) async throws -> [DeviceID: Int64]
    ) {
        self.bell = bell
        self.interval = interval
        self.lastReceipts = lastReceipts
    }

    /// Looks at each interval and at once when `reasons` yields, until the task is cancelled.
    package func run(reasons: AsyncStream<Void>) async {
        let (ticks, tick) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                for await _ in reasons { tick.yield() }
            }
            group.addTask { [interval] in
                while !Task.isCancelled {
                    // Cancelled with the group, which ends the loop.
                    try? await Task.sleep(for: interval)
                    tick.yield()
                }
            }
            var known: [DeviceID: Int64] = [:]
            for await _ in ticks { known = await look(known) }
            group.cancelAll()
        }
    }

    /// Rings for devices whose number is not the one that was seen at the look before.
    ///
    /// - Returns: what is known now, of awaited devices alone.
    package func look(_ before: [DeviceID: Int64]) async -> [DeviceID: Int64] {
        let devices = bell.awaitedDevices
        var known: [DeviceID: Int64] = [:]
        for start in stride(from: 0, to: devices.count, by: Self.devicesPerQuestion) {
            let some = Array(devices[start..<min(start + Self.devicesPerQuestion, devices.count)])
            do {
                let last = try await lastReceipts(some)
                known.merge(last) { _, new in new }
                bell.ringHere(some.filter { before[$0] != last[$0] })
            } catch {
                for device in some { known[device] = before[device] }
                logger.debug(
                    "waiting devices could not be looked at", metadata: ["error": "\(error)"])
            }
        }
        return known
    }
}

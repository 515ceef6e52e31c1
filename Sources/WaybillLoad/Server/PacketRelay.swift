internal import Synchronization
internal import WaybillThreads

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// Hands packets from one TUN device to another as two ``LinkModel``s say, on a thread of its own.
final class PacketRelay: Sendable {
    private struct Shapes: Sendable {
        var up = LinkModel(LinkShape(), seed: 0)
        var down = LinkModel(LinkShape(), seed: 0)
    }

    private final class Desk: Sendable {
        let shapes = Mutex(Shapes())
    }

    private struct Devices: Sendable {
        let server: Int32
        let phones: Int32
        let wake: Int32
    }

    private let desk = Desk()
    /// Closed to end the thread.
    private let wake: Int32

    /// - Parameters: two descriptors that do not block, which the relay closes.
    init(server: Int32, phones: Int32) throws(ServerFailure) {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw .impossible("no pipe can be made (errno \(errno))") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        wake = ends[1]
        let devices = Devices(server: server, phones: phones, wake: ends[0])
        let desk = desk
        do {
            _ = try NamedThread(name: "phone network") { Self.relay(devices, desk) }
        } catch {
            throw .impossible("no thread can be started: \(error)")
        }
    }

    deinit {
        close(wake)
    }

    /// From the next packet on; those on their way come out as they were going to.
    func shape(up: LinkModel, down: LinkModel) {
        desk.shapes.withLock { $0 = Shapes(up: up, down: down) }
    }

    private static func relay(_ devices: Devices, _ desk: Desk) {
        defer { for end in [devices.server, devices.phones, devices.wake] { close(end) } }
        let clock = RunClock()
        var (up, down) = (PacketQueue(), PacketQueue())
        while true {
            let next = [up.nextOut, down.nextOut].compactMap { $0 }.min()
            guard waitForPackets(devices, until: next, clock) else { return }
            receive(from: devices.phones, into: &up, clock) { bytes, now in
                desk.shapes.withLock { $0.up.admit(bytes: bytes, at: now) }
            }
            receive(from: devices.server, into: &down, clock) { bytes, now in
                desk.shapes.withLock { $0.down.admit(bytes: bytes, at: now) }
            }
            deliver(&up, to: devices.server, clock)
            deliver(&down, to: devices.phones, clock)
        }
    }

    /// - Returns: false when the relay is to end.
    private static func waitForPackets(
        _ devices: Devices, until next: Int64?, _ clock: RunClock
    ) -> Bool {
        var polled = [devices.server, devices.phones, devices.wake].map {
            pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
        }
        // Rounded up: a millisecond is little beside the delays, and a loop that spins is worse.
        let wait = next.map { Int32(clamping: max($0 - clock.now() + 999_999, 0) / 1_000_000) }
        _ = poll(&polled, 3, wait ?? -1)
        return polled[2].revents == 0
    }

    /// In one go from one device, so that the other has its turn.
    private static let burst = 64
    /// Longer than any packet of a device with the usual 1500 bytes.
    private static let packetBytesMax = 2048

    private static func receive(
        from device: Int32, into queue: inout PacketQueue, _ clock: RunClock,
        admit: (Int, Int64) -> Int64?
    ) {
        var buffer = [UInt8](repeating: 0, count: packetBytesMax)
        for _ in 0..<burst {
            let count = read(device, &buffer, buffer.count)
            guard count > 0 else { return }
            guard let out = admit(count, clock.now()) else { continue }
            queue.add(Array(buffer[..<count]), out: out)
        }
    }

    /// A packet that the device has no room for is lost, as on any other wire.
    private static func deliver(
        _ queue: inout PacketQueue, to device: Int32, _ clock: RunClock
    ) {
        let now = clock.now()
        while let packet = queue.take(at: now) {
            _ = packet.withUnsafeBytes { write(device, $0.baseAddress, $0.count) }
        }
    }
}

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// When the open models want their bundles sent: nanoseconds after the beginning, never sooner or
/// later because of what the server does.
///
/// A pure value; the same seed gives the same times.
package struct ArrivalSchedule: Sendable {
    private let interval: Double
    private var random: SeededGenerator?
    private var count = 0
    /// Of the last Poisson arrival.
    private var elapsed = 0.0

    private static let purpose: UInt64 = 0x6172_7269_7661_6c73

    /// Nil for the closed model, which has no schedule, and for a rate that is not above 0.
    package init?(_ arrivals: LoadPlan.Arrivals, seed: UInt64) {
        guard arrivals.model != .closed, let rate = arrivals.rate, rate > 0 else { return nil }
        interval = 1e9 / rate
        random =
            arrivals.model == .poisson ? SeededGenerator(seed: seed, purpose: Self.purpose) : nil
    }

    /// The next bundle's time: the first call is for bundle 0.
    package mutating func next() -> Int64 {
        defer { count += 1 }
        // Multiplied anew each time, so that roundings do not add up.
        guard random != nil else { return Int64(Double(count) * interval) }
        elapsed -= log(1 - (random?.unit() ?? 0)) * interval
        return Int64(elapsed)
    }
}

/// Which bundles and devices belong to one of the traffic's event loops: a device with all its
/// bundles belongs to one.
package struct LanePartition: Sendable, Equatable {
    package let lane: Int
    package let lanes: Int
    package let devices: Int

    package init(lane: Int, lanes: Int, devices: Int) {
        precondition(lanes > 0 && devices > 0 && (0..<lanes).contains(lane))
        self.lane = lane
        self.lanes = lanes
        self.devices = devices
    }

    package func owns(_ number: Int) -> Bool { (number % devices) % lanes == lane }

    /// The lowest own number that is not below `number`; nil where the lane has no devices.
    package func first(from number: Int) -> Int? {
        guard lane < devices else { return nil }
        var number = number
        while !owns(number) { number += 1 }
        return number
    }

    /// The devices' numbers in the run, rising.
    package var deviceIndices: [Int] { Array(stride(from: lane, to: devices, by: lanes)) }

    /// Where a bundle's device stands in ``deviceIndices``.
    package func position(of number: Int) -> Int { (number % devices) / lanes }

    /// This lane's part of something that all lanes share out.
    package func share(of total: Int) -> Int {
        total / lanes + (lane < total % lanes ? 1 : 0)
    }
}

/// The part of a schedule that belongs to one lane.
package struct LaneArrivals: Sendable {
    private var schedule: ArrivalSchedule
    private let partition: LanePartition
    private let origin: Int64
    private let until: Int64
    private let bundlesMax: Int
    private var number = -1
    /// Nil after the last one; the time is the run's.
    package private(set) var next: (number: Int, time: Int64)?

    /// - Parameters:
    ///   - origin: the run's time at which the schedule begins.
    ///   - until: nothing is due from then on.
    package init(
        _ schedule: ArrivalSchedule, partition: LanePartition, origin: Int64, until: Int64,
        bundlesMax: Int
    ) {
        self.schedule = schedule
        self.partition = partition
        self.origin = origin
        self.until = until
        self.bundlesMax = bundlesMax
        advance()
    }

    package mutating func advance() {
        repeat {
            number += 1
            let time = origin + schedule.next()
            guard number < bundlesMax, time < until else {
                next = nil
                return
            }
            next = (number, time)
        } while !partition.owns(number)
    }
}

import Foundation
import WaybillThreads

/// The stretch of a run that counts: what is confirmed outside of it is left out.
struct Stretch: Sendable {
    let from: UInt64
    let until: UInt64

    /// After a third of a second in which memory, files and threads come to be.
    init(seconds: Double) {
        from = Deadline.now.nanoseconds + 300_000_000
        until = from + UInt64(seconds * 1e9)
    }
}

/// Latencies of one sender, in nanoseconds.
struct Latencies: Sendable {
    private(set) var values: [UInt64] = []

    mutating func add(from began: UInt64, to ended: UInt64, in stretch: Stretch) {
        if ended >= stretch.from, ended <= stretch.until { values.append(ended - began) }
    }

    mutating func add(_ other: Latencies) {
        values += other.values
    }
}

/// One line of what was measured.
enum Figures {
    static func print(_ latencies: Latencies, seconds: Double) throws {
        let sorted = latencies.values.sorted()
        func quantile(_ part: Double) -> Double {
            sorted.isEmpty ? 0 : Double(sorted[Int(part * Double(sorted.count - 1))]) / 1000
        }
        try print([
            "confirmed": Double(sorted.count), "seconds": seconds, "p50_us": quantile(0.5),
            "p99_us": quantile(0.99), "cpu_seconds": cpuSeconds(),
        ])
    }

    static func print(_ values: [String: Double]) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        FileHandle.standardOutput.write(try encoder.encode(values) + Data("\n".utf8))
    }

    /// Of the whole process so far.
    static func cpuSeconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}

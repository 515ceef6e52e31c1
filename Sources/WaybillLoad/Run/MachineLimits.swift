internal import Foundation
internal import Synchronization
internal import WaybillOpening
internal import WaybillThreads

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Darwin
#endif

/// What the machine itself can do: the limits beside which a server's figures mean something.
package struct MachineLimits: Codable, Sendable, Equatable {
    /// Keys of parts, derived in the vector lanes that the server uses, on one core.
    package var derivationsPerSecond: Double
    /// The same on all cores at once.
    package var derivationsPerSecondAllCores: Double
    /// Median time of `fdatasync` after appending 4 KiB, microseconds.
    package var medianSyncMicroseconds: Double

    enum CodingKeys: String, CodingKey {
        case derivationsPerSecond = "derivations_per_second"
        case derivationsPerSecondAllCores = "derivations_per_second_all_cores"
        case medianSyncMicroseconds = "median_sync_us"
    }

    /// Computes and writes for about five seconds; blocks, so call it on no event loop.
    ///
    /// - Parameter directory: on the disk in question; a file is written there and removed.
    package static func measure(directory: String) throws -> MachineLimits {
        MachineLimits(
            derivationsPerSecond: try derivations(threads: 1),
            derivationsPerSecondAllCores: try derivations(
                threads: ProcessInfo.processInfo.activeProcessorCount),
            medianSyncMicroseconds: try medianSync(directory: directory))
    }

    private static let measuredTime = Duration.seconds(2)
    private static let batchCount = 64
    private static let syncCount = 1000

    private static func derivations(threads count: Int) throws -> Double {
        let total = Mutex(0.0)
        let threads = try (0..<count).map { number in
            try NamedThread(name: "limit-\(number)") {
                let inputs = (0..<batchCount).map { index in
                    (
                        password: [UInt8](repeating: 65, count: 43),
                        salt: [UInt8](repeating: UInt8(truncatingIfNeeded: index), count: 16)
                    )
                }
                let start = ContinuousClock.now
                var done = 0
                while ContinuousClock.now - start < measuredTime {
                    done += PartKeys.derive(inputs).count
                }
                let elapsed = (ContinuousClock.now - start) / .seconds(1)
                total.withLock { $0 += Double(done) / elapsed }
            }
        }
        for thread in threads { thread.join() }
        return total.withLock { $0 }
    }

    private static func medianSync(directory: String) throws -> Double {
        let path = directory + "/sync-probe-\(getpid())"
        let file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw MachineLimitsError.file(path, errno: errno) }
        defer {
            close(file)
            unlink(path)
        }
        let page = [UInt8](repeating: 0, count: 4096)
        var times: [Double] = []
        for _ in 0..<syncCount {
            let written = page.withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
            let start = ContinuousClock.now
            #if canImport(Glibc)
                let status = fdatasync(file)
            #else
                let status = fsync(file)
            #endif
            guard written == page.count, status == 0 else {
                throw MachineLimitsError.file(path, errno: errno)
            }
            times.append((ContinuousClock.now - start) / .microseconds(1))
        }
        return times.sorted()[syncCount / 2]
    }
}

/// Why a limit could not be measured.
package enum MachineLimitsError: Error, Sendable, CustomStringConvertible {
    case file(String, errno: Int32)

    package var description: String {
        switch self {
        case .file(let path, let number): "\(path) cannot be written (errno \(number))"
        }
    }
}

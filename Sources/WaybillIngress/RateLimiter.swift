internal import Synchronization
internal import WaybillThreads

/// Token buckets by key: each key has its own, and one that is full again is forgotten.
///
/// Spread over locks, so that requests of different devices seldom meet.
final class RateLimiter<Key: Hashable & Sendable>: Sendable {
    private struct Shard {
        var buckets: [Key: TokenBucket] = [:]
        /// Looked through for full ones when it has grown to this.
        var sweepAt = RateLimiter.sweepMin
    }

    /// A lock of its own for each shard.
    private final class Lane: Sendable {
        let shard = Mutex(Shard())
    }

    private let rate: Rate
    private let lanes: [Lane]
    /// Buckets that a lane keeps at most; over it the fullest ones cannot be told apart, and all of
    /// the lane's are forgotten.
    private let laneMax: Int

    private static var sweepMin: Int { 256 }

    /// - Parameter keysMax: keys that are remembered at once, about.
    init(_ rate: Rate, keysMax: Int = 1_000_000) {
        self.rate = rate
        laneMax = max(1, keysMax / 16)
        lanes = (0..<16).map { _ in Lane() }
    }

    /// - Returns: nil when there was enough, else the seconds until there will be.
    func take(_ count: Int = 1, of key: Key, at now: Deadline = .now) -> Int? {
        guard !rate.isUnlimited else { return nil }
        return update(key, at: now) { $0.take(count, of: rate, at: now) }
    }

    /// As long as anything is left, takes all that is asked for.
    ///
    /// - Returns: nil when there was something, else the seconds until there will be.
    func takeOnCredit(_ count: Int, of key: Key, at now: Deadline = .now) -> Int? {
        guard !rate.isUnlimited else { return nil }
        return update(key, at: now) { $0.takeOnCredit(count, of: rate, at: now) }
    }

    /// Takes without asking.
    func charge(_ count: Int, to key: Key, at now: Deadline = .now) {
        guard !rate.isUnlimited, count > 0 else { return }
        update(key, at: now) { $0.charge(count) }
    }

    /// Whether there is one left, without taking it.
    func check(_ key: Key, at now: Deadline = .now) -> Int? {
        guard !rate.isUnlimited else { return nil }
        return lane(of: key).shard.withLock { shard in
            guard var bucket = shard.buckets[key] else { return nil }
            return bucket.take(1, of: rate, at: now)
        }
    }

    /// Keys that are remembered now.
    var count: Int {
        lanes.reduce(0) { sum, lane in sum + lane.shard.withLock { $0.buckets.count } }
    }

    @discardableResult
    private func update<Value: Sendable>(
        _ key: Key, at now: Deadline, _ body: (inout TokenBucket) -> Value
    ) -> Value {
        lane(of: key).shard.withLock { shard in
            if shard.buckets.count >= shard.sweepAt { sweep(&shard, at: now) }
            return body(&shard.buckets[key, default: TokenBucket(rate, at: now)])
        }
    }

    private func sweep(_ shard: inout Shard, at now: Deadline) {
        shard.buckets = shard.buckets.filter { entry in
            var bucket = entry.value
            return !bucket.isFull(rate, at: now)
        }
        if shard.buckets.count >= laneMax { shard.buckets = [:] }
        shard.sweepAt = min(laneMax, max(Self.sweepMin, shard.buckets.count * 2))
    }

    private func lane(of key: Key) -> Lane {
        lanes[Int(truncatingIfNeeded: UInt(bitPattern: key.hashValue)) & 15]
    }
}

internal import WaybillThreads

/// How fast something may happen, and how much of it at once.
package struct Rate: Sendable, Equatable {
    /// 0 for no limit.
    package var perSecond: Int
    package var burst: Int

    package init(perSecond: Int, burst: Int) {
        self.perSecond = perSecond
        self.burst = burst
    }

    package var isUnlimited: Bool { perSecond <= 0 }
}

/// What is left of a rate: full at first, refilled evenly, exact to the nanosecond.
struct TokenBucket: Sendable {
    /// Billionths of one token: whole nanoseconds times whole tokens a second.
    private var level: Int
    private var filledAt: Deadline

    private static let unit = 1_000_000_000

    init(_ rate: Rate, at now: Deadline) {
        level = Self.capacity(rate)
        filledAt = now
    }

    /// Takes what is asked for if it is there.
    ///
    /// - Returns: nil when it was, else the seconds until it will be, at least 1.
    mutating func take(_ count: Int, of rate: Rate, at now: Deadline) -> Int? {
        refill(rate, at: now)
        let wanted = count * Self.unit
        guard level < wanted else {
            level -= wanted
            return nil
        }
        return Self.seconds(for: wanted - level, rate)
    }

    /// Takes more than there is as long as there is anything: the debt is paid before the next one.
    ///
    /// - Returns: nil when there was something, else the seconds until there will be, at least 1.
    mutating func takeOnCredit(_ count: Int, of rate: Rate, at now: Deadline) -> Int? {
        refill(rate, at: now)
        guard level > 0 else { return Self.seconds(for: Self.unit - level, rate) }
        charge(count)
        return nil
    }

    /// Takes without asking; a debt has a bottom.
    mutating func charge(_ count: Int) {
        let cost = count.multipliedReportingOverflow(by: Self.unit)
        level = cost.overflow ? Self.bottom : max(Self.bottom, level - cost.partialValue)
    }

    private static let bottom = -(1 << 60)

    /// Full again: as good as new, and need not be remembered.
    mutating func isFull(_ rate: Rate, at now: Deadline) -> Bool {
        refill(rate, at: now)
        return level == Self.capacity(rate)
    }

    private mutating func refill(_ rate: Rate, at now: Deadline) {
        guard filledAt < now else { return }
        let passed = Int(clamping: now.nanoseconds - filledAt.nanoseconds)
        filledAt = now
        let gained = passed.multipliedReportingOverflow(by: rate.perSecond)
        let sum = level.addingReportingOverflow(gained.partialValue)
        let capacity = Self.capacity(rate)
        level = gained.overflow || sum.overflow ? capacity : min(capacity, sum.partialValue)
    }

    private static func capacity(_ rate: Rate) -> Int { max(1, rate.burst) * unit }

    private static func seconds(for missing: Int, _ rate: Rate) -> Int {
        let perSecond = max(1, rate.perSecond).multipliedReportingOverflow(by: unit)
        guard !perSecond.overflow else { return 1 }
        return max(1, (missing + perSecond.partialValue - 1) / perSecond.partialValue)
    }
}

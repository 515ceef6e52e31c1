/// Waiting times between tries: full jitter under a ceiling that doubles.
///
/// A pure value: the caller sleeps. Source: "Exponential Backoff And Jitter", AWS Architecture Blog.
package struct Backoff: Sendable {
    /// The first ceiling.
    package let base: Duration
    /// No ceiling goes beyond this.
    package let ceiling: Duration
    /// How many times ``next(using:)`` was asked since the start or the last ``reset()``.
    package private(set) var tries = 0

    package init(base: Duration = .milliseconds(100), ceiling: Duration = .seconds(30)) {
        self.base = base
        self.ceiling = ceiling
    }

    /// The next waiting time: evenly distributed from half the current ceiling up to it.
    ///
    /// The lower half is left out so that a dead neighbour is never asked in a tight loop.
    package mutating func next(using generator: inout some RandomNumberGenerator) -> Duration {
        let doublings = min(tries, 30)
        tries += 1
        let limit = min(base * (1 << doublings), ceiling)
        return limit * Double.random(in: 0.5...1, using: &generator)
    }

    /// The next waiting time, from the system's random numbers.
    package mutating func next() -> Duration {
        var generator = SystemRandomNumberGenerator()
        return next(using: &generator)
    }

    /// Starts again at the first ceiling.
    package mutating func reset() {
        tries = 0
    }
}

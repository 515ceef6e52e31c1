/// Looks for the highest rate at which all objectives are met: steps up until one is not, then halves
/// the gap between the best good rate and the lowest bad one.
///
/// A pure state machine: ask ``next``, run a step at that rate, tell ``record(rate:isMet:)``.
package struct CapacitySearch: Sendable, Equatable {
    /// Bundles a second.
    package private(set) var bestGood: Double?
    package private(set) var lowestBad: Double?
    private let firstRate: Double
    private let factor: Double
    /// The search ends when the gap is at most this share of the good rate.
    private let precision: Double
    /// A rate below this is called hopeless.
    private static let lowestRate = 0.1

    /// - Parameters:
    ///   - firstRate: bundles a second, over 0.
    ///   - factor: over 1; between the steps up, and down when the first step is bad.
    ///   - precision: over 0.
    package init(firstRate: Double, factor: Double = 1.5, precision: Double = 0.05) {
        precondition(firstRate > 0 && factor > 1 && precision > 0)
        self.firstRate = firstRate
        self.factor = factor
        self.precision = precision
    }

    /// The rate to try now; nil when the search is over.
    package var next: Double? {
        switch (bestGood, lowestBad) {
        case (nil, nil): firstRate
        case (let good?, nil): good * factor
        case (nil, let bad?): bad / factor >= Self.lowestRate ? bad / factor : nil
        case (let good?, let bad?):
            bad - good <= precision * good ? nil : (good * bad).squareRoot()
        }
    }

    /// A step over: `rate` is what ``next`` gave.
    package mutating func record(rate: Double, isMet: Bool) {
        if isMet {
            bestGood = max(bestGood ?? rate, rate)
        } else {
            lowestBad = min(lowestBad ?? rate, rate)
        }
    }
}

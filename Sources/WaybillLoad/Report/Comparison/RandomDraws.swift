internal import Foundation

/// Random numbers of the distributions that resampling needs, from one seed.
struct RandomDraws {
    private var generator: SeededGenerator
    private var spareNormal: Double?

    init(seed: UInt64, purpose: UInt64) {
        generator = SeededGenerator(seed: seed, purpose: purpose)
    }

    /// At least 0, less than 1.
    mutating func unit() -> Double { generator.unit() }

    /// At least 0, less than `count`.
    mutating func index(below count: Int) -> Int {
        // Off by at most count / 2^53 from even, far below what resampling can show.
        min(count - 1, Int(generator.unit() * Double(count)))
    }

    /// Mean 0 and deviation 1 (polar method of Marsaglia and Bray).
    mutating func normal() -> Double {
        if let spare = spareNormal {
            spareNormal = nil
            return spare
        }
        while true {
            let x = 2 * unit() - 1
            let y = 2 * unit() - 1
            let square = x * x + y * y
            guard square < 1, square > 0 else { continue }
            let factor = (-2 * log(square) / square).squareRoot()
            spareNormal = y * factor
            return x * factor
        }
    }

    /// Of scale 1 (Marsaglia and Tsang, "A simple method for generating gamma variables", 2000).
    ///
    /// - Parameter shape: at least 1.
    mutating func gamma(_ shape: Double) -> Double {
        let d = shape - 1.0 / 3
        let c = 1 / (9 * d).squareRoot()
        while true {
            let x = normal()
            let root = 1 + c * x
            guard root > 0 else { continue }
            let v = root * root * root
            let u = 1 - unit()
            if log(u) < 0.5 * x * x + d - d * v + d * log(v) { return d * v }
        }
    }

    /// Between 0 and 1; both shapes at least 1.
    mutating func beta(_ first: Double, _ second: Double) -> Double {
        let x = gamma(first)
        return x / (x + gamma(second))
    }

    /// How many of `count` tries hit, each with that probability.
    ///
    /// Few hits are counted along their gaps; else Hörmann's transformed rejection ("The generation
    /// of binomial random variates", 1993, BTRS).
    mutating func binomial(_ count: Int, _ probability: Double) -> Int {
        if count == 0 || probability <= 0 { return 0 }
        if probability >= 1 { return count }
        if probability > 0.5 { return count - binomial(count, 1 - probability) }
        return Double(count) * probability < 10
            ? rare(count, probability) : frequent(count, probability)
    }

    private mutating func rare(_ count: Int, _ probability: Double) -> Int {
        let scale = log1p(-probability)
        var tries = 0.0
        var hits = 0
        while true {
            tries += (log(1 - unit()) / scale).rounded(.down) + 1
            if tries > Double(count) { return hits }
            hits += 1
        }
    }

    private mutating func frequent(_ count: Int, _ probability: Double) -> Int {
        let n = Double(count)
        let deviation = (n * probability * (1 - probability)).squareRoot()
        let b = 1.15 + 2.53 * deviation
        let a = -0.0873 + 0.0248 * b + 0.01 * probability
        let c = n * probability + 0.5
        let easy = 0.92 - 4.2 / b
        let odds = probability / (1 - probability)
        let alpha = (2.83 + 5.1 / b) * deviation
        let mode = ((n + 1) * probability).rounded(.down)
        while true {
            let u = unit() - 0.5
            var v = unit()
            let distance = 0.5 - abs(u)
            let k = ((2 * a / distance + b) * u + c).rounded(.down)
            if distance >= 0.07, v <= easy { return Int(k) }
            if k < 0 || k > n { continue }
            v = log(v * alpha / (a / (distance * distance) + b))
            let bound =
                (mode + 0.5) * log((mode + 1) / (odds * (n - mode + 1)))
                + (n + 1) * log((n - mode + 1) / (n - k + 1))
                + (k + 0.5) * log(odds * (n - k + 1) / (k + 1))
                + Self.stirlingTail(mode) + Self.stirlingTail(n - mode) - Self.stirlingTail(k)
                - Self.stirlingTail(n - k)
            if v <= bound { return Int(k) }
        }
    }

    /// What Stirling's formula leaves of log(k!), by its series where that is exact enough.
    private static func stirlingTail(_ k: Double) -> Double {
        if k <= 9 { return smallTails[Int(k)] }
        let square = (k + 1) * (k + 1)
        return (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 / square) / square) / (k + 1)
    }

    /// log(k!) - [log √(2π) + (k + ½)·log(k + 1) - (k + 1)] for k from 0 to 9.
    private static let smallTails: [Double] = (0...9).map { k in
        let factorial = k < 2 ? 1 : (2...k).reduce(1.0) { $0 * Double($1) }
        let next = Double(k + 1)
        return log(factorial)
            - (0.5 * log(2 * Double.pi) + (Double(k) + 0.5) * log(next) - next)
    }
}

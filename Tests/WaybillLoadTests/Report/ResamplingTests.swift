import Foundation
import Testing

@testable import WaybillLoad

/// The random numbers and the samples drawn with them, against what theory says of them.
@Suite struct ResamplingTests {
    private func moments(_ values: [Double]) -> (mean: Double, variance: Double) {
        let mean = values.reduce(0, +) / Double(values.count)
        return (
            mean, values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count - 1)
        )
    }

    @Test(arguments: [
        (10, 0.05), (20, 0.5), (40, 0.3), (1000, 0.004), (1000, 0.2), (1000, 0.93),
        (5_000_000, 0.37), (1, 0.5),
    ])
    func binomialHasItsMeanAndVariance(count: Int, probability: Double) {
        var draws = RandomDraws(seed: 3, purpose: 1)
        let sample = (0..<20_000).map { _ in draws.binomial(count, probability) }
        #expect(sample.allSatisfy { (0...count).contains($0) })
        let (mean, variance) = moments(sample.map(Double.init))
        let expected = Double(count) * probability * (1 - probability)
        #expect(abs(mean - Double(count) * probability) < 4.5 * (expected / 20_000).squareRoot())
        #expect(abs(variance / expected - 1) < 0.06)
    }

    /// Each algorithm against the exact probabilities.
    @Test(arguments: [(20, 0.2), (60, 0.3), (60, 0.7)])
    func binomialHasItsProbabilities(count: Int, probability: Double) {
        var draws = RandomDraws(seed: 4, purpose: 1)
        let tries = 40_000
        var seen = [Int](repeating: 0, count: count + 1)
        for _ in 0..<tries { seen[draws.binomial(count, probability)] += 1 }
        var (chi, cells) = (0.0, 0)
        var exact = pow(1 - probability, Double(count))
        for hits in 0...count {
            let expected = exact * Double(tries)
            if expected >= 5 {
                chi += pow(Double(seen[hits]) - expected, 2) / expected
                cells += 1
            }
            exact *= Double(count - hits) / Double(hits + 1) * probability / (1 - probability)
        }
        // Five deviations above the mean of the chi-square distribution.
        #expect(chi < Double(cells) + 5 * (2 * Double(cells)).squareRoot())
    }

    @Test func certainAndImpossibleNeedNoDraw() {
        var draws = RandomDraws(seed: 1, purpose: 1)
        #expect(draws.binomial(7, 1) == 7)
        #expect(draws.binomial(7, 0) == 0)
        #expect(draws.binomial(0, 0.5) == 0)
    }

    @Test(arguments: [(1.0, 1.0), (3, 8), (990, 11), (50, 1)])
    func betaHasItsMeanAndVariance(first: Double, second: Double) {
        var draws = RandomDraws(seed: 5, purpose: 2)
        let (mean, variance) = moments((0..<20_000).map { _ in draws.beta(first, second) })
        let sum = first + second
        let expected = first * second / (sum * sum * (sum + 1))
        #expect(abs(mean - first / sum) < 4.5 * (expected / 20_000).squareRoot())
        #expect(abs(variance / expected - 1) < 0.08)
    }

    /// A quantile by the shortcut is distributed as one of samples that were really drawn.
    @Test(arguments: [0.5, 0.9, 0.97])
    func quantilesAreThoseOfSamplesDrawnInFull(share: Double) {
        let histogram = HistogramCounts(
            SampleReport.latency("x", [1, 1, 2, 3, 3, 3, 4, 5, 5, 6, 7, 8, 8, 9, 12, 15, 20, 40]))
        let all = zip(histogram.values, histogram.counts).flatMap {
            Array(repeating: $0, count: $1)
        }
        let quick = Resampling(count: 20_000, seed: 9).quantiles(share, of: histogram, purpose: 1)
        var random = SampleRandom(seed: 8)
        let full = (0..<20_000).map { _ in
            let drawn = all.map { _ in all[Int(random.unit() * Double(all.count))] }.sorted()
            return drawn[histogram.rank(of: share) - 1]
        }
        for value in histogram.values {
            let left = quick.count { $0 <= value }
            let right = full.count { $0 <= value }
            #expect(abs(left - right) < 500, "at \(value): \(left) and \(right) of 20,000")
        }
    }

    @Test func meansOfAHistogramVaryAsTheoryTellsThem() {
        var random = SampleRandom(seed: 2)
        let values = (0..<3000).map { _ in exp(random.normal()) * (random.unit() < 0.01 ? 50 : 1) }
        let histogram = HistogramCounts(SampleReport.latency("x", values))
        let means = Resampling(count: 1500, seed: 1).means(of: histogram, purpose: 4)
        let (mean, variance) = moments(means)
        let expected = moments(values)
        #expect(abs(mean / expected.mean - 1) < 0.02)
        #expect(abs(variance / (expected.variance / 3000) - 1) < 0.15)
    }

    @Test func blocksKeepWhatBelongsTogether() {
        var random = SampleRandom(seed: 6)
        var (value, values) = (0.0, [Double]())
        for _ in 0..<900 {
            value = 0.7 * value + random.normal()
            values.append(100 + value)
        }
        let variance = moments(Resampling(count: 1000, seed: 1).means(of: values, purpose: 1))
            .variance
        // Of a mean of 900 such values: 1 / (1 - 0.7)² / 900. Drawn one by one: a sixth of it.
        let expected = 1 / (0.3 * 0.3) / 900
        #expect((0.5...1.7).contains(variance / expected), "\(variance / expected)")
    }

    @Test func theSameSeedGivesTheSameSamples() {
        let histogram = HistogramCounts(SampleReport.latency("x", [1, 2, 3, 4, 5]))
        let one = Resampling(count: 50, seed: 1)
        let other = Resampling(count: 50, seed: 2)
        #expect(one.means(of: histogram, purpose: 1) == one.means(of: histogram, purpose: 1))
        #expect(one.means(of: histogram, purpose: 1) != one.means(of: histogram, purpose: 2))
        #expect(one.means(of: histogram, purpose: 1) != other.means(of: histogram, purpose: 1))
    }
}

internal import Foundation

/// What a figure might as well have been: values of it in samples drawn again from what was seen.
///
/// Efron's bootstrap. Everything comes from one seed, so that two calls give the same interval.
struct Resampling {
    let count: Int
    let seed: UInt64

    /// Means of a series whose neighbours resemble each other.
    ///
    /// Moving blocks (Künsch, 1989) of about √n values, so that what belongs together is drawn
    /// together. Few blocks make the spread look too small; it is widened by the loss of a degree
    /// of freedom and by what Student's distribution is wider than the normal one.
    ///
    /// - Parameter values: at least two.
    func means(of values: [Double], purpose: UInt64) -> [Double] {
        var draws = RandomDraws(seed: seed, purpose: purpose)
        let length = Self.blockLength(values.count)
        var sums = [0.0]
        for value in values { sums.append((sums.last ?? 0) + value) }
        let starts = values.count - length + 1
        let last = values.count % length
        let full = values.count / length
        var means = (0..<count).map { _ in
            var sum = 0.0
            for _ in 0..<full {
                let start = draws.index(below: starts)
                sum += sums[start + length] - sums[start]
            }
            if last > 0 {
                let start = draws.index(below: starts)
                sum += sums[start + last] - sums[start]
            }
            return sum / Double(values.count)
        }
        // Values at both ends lie in fewer blocks: the resampled means are moved back.
        let centre = means.reduce(0, +) / Double(means.count)
        let mean = (sums.last ?? 0) / Double(values.count)
        let widening = Self.widening(blocks: Double(values.count) / Double(length))
        for index in means.indices { means[index] = mean + (means[index] - centre) * widening }
        return means
    }

    static func blockLength(_ count: Int) -> Int {
        max(1, Int(Double(count).squareRoot().rounded()))
    }

    /// For the difference of two means, each of that many independent blocks.
    private static func widening(blocks: Double) -> Double {
        let freedom = 2 * (blocks - 1)
        let student = 1 + (1.96 * 1.96 + 1) / (4 * freedom)
        return (blocks / (blocks - 1)).squareRoot() * student
    }

    /// A quantile of as many values drawn again from the histogram.
    ///
    /// The value of rank r among n draws is the one at a share of the histogram that follows
    /// Beta(r, n - r + 1): exactly what drawing all n would give, in one draw.
    func quantiles(_ share: Double, of histogram: HistogramCounts, purpose: UInt64) -> [Double] {
        var draws = RandomDraws(seed: seed, purpose: purpose)
        let rank = histogram.rank(of: share)
        let cumulated = histogram.cumulated
        return (0..<count).map { _ in
            let place = draws.beta(Double(rank), Double(histogram.total - rank + 1))
            let index = Self.firstIndex(in: cumulated, above: place * Double(histogram.total))
            return histogram.values[index]
        }
    }

    private static func firstIndex(in cumulated: [Int], above place: Double) -> Int {
        var (low, high) = (0, cumulated.count - 1)
        while low < high {
            let middle = (low + high) / 2
            if Double(cumulated[middle]) > place { high = middle } else { low = middle + 1 }
        }
        return low
    }

    /// Means of as many values drawn again from the histogram: counts of its buckets drawn from the
    /// multinomial distribution, one bucket after the other.
    func means(of histogram: HistogramCounts, purpose: UInt64) -> [Double] {
        var draws = RandomDraws(seed: seed, purpose: purpose)
        let groups = Self.groups(histogram)
        return (0..<count).map { _ in
            var rest = histogram.total
            var uncounted = histogram.total
            var sum = 0.0
            for group in groups {
                let drawn = draws.binomial(rest, Double(group.count) / Double(uncounted))
                sum += Double(drawn) * group.value
                rest -= drawn
                uncounted -= group.count
                if rest == 0 { break }
            }
            return sum / Double(histogram.total)
        }
    }

    private static let groupsMax = 128

    /// Neighbouring buckets taken together by their mean: as many as hold 1/128 of all values, and
    /// apart again where values grow by more than 2 %, so that no rare and slow one is averaged away.
    private static func groups(_ histogram: HistogramCounts) -> [(value: Double, count: Int)] {
        let share = max(1, histogram.total / groupsMax)
        var groups: [(value: Double, count: Int)] = []
        var (sum, count, low) = (0.0, 0, 0.0)
        for (value, bucket) in zip(histogram.values, histogram.counts) {
            if count > 0, count + bucket > share || value > low * 1.02 {
                groups.append((sum / Double(count), count))
                (sum, count) = (0, 0)
            }
            if count == 0 { low = value }
            sum += value * Double(bucket)
            count += bucket
        }
        if count > 0 { groups.append((sum / Double(count), count)) }
        return groups
    }
}

/// What a histogram of the report counted, checked and in order.
struct HistogramCounts {
    /// Rising; upper ends in milliseconds.
    private(set) var values: [Double] = []
    /// As many, all above 0.
    private(set) var counts: [Int] = []
    private(set) var total = 0

    /// Leaves out what is no bucket: a report from elsewhere may hold anything.
    init(_ latency: LoadReport.Latency) {
        let buckets = latency.buckets.filter {
            $0.count == 2 && $0[0].isFinite && $0[0] >= 0 && $0[1] >= 1 && $0[1] < 1e12
        }
        for bucket in buckets.sorted(by: { $0[0] < $1[0] }) {
            let count = Int(bucket[1])
            if values.last == bucket[0] {
                counts[counts.count - 1] += count
            } else {
                values.append(bucket[0])
                counts.append(count)
            }
            total += count
        }
    }

    /// Weighted by counts; nil when nothing was counted.
    var mean: Double? {
        guard total > 0 else { return nil }
        return zip(values, counts).reduce(0) { $0 + $1.0 * Double($1.1) } / Double(total)
    }

    /// The rank that stands for a share: the smallest that has at least that share of all values at
    /// or below it; from 1.
    func rank(of share: Double) -> Int {
        max(1, min(total, Int((share * Double(total)).rounded(.up))))
    }

    /// Counts up to and with each bucket.
    var cumulated: [Int] {
        var sum = 0
        return counts.map {
            sum += $0
            return sum
        }
    }

    /// Nil when nothing was counted.
    func quantile(_ share: Double) -> Double? {
        guard total > 0 else { return nil }
        let rank = rank(of: share)
        var below = 0
        for (value, count) in zip(values, counts) {
            below += count
            if below >= rank { return value }
        }
        return values.last
    }
}

internal import Foundation

/// Where values lie along an axis, and which of them are named.
enum AxisScale: Sendable, Equatable {
    case linear(low: Double, high: Double)
    case logarithmic(low: Double, high: Double)
    /// Shares below 1, each further nine as long as the one before; up to `1 - 10^-nines`.
    case nines(Double)

    struct Tick: Equatable {
        var value: Double
        /// Empty for a line without a name.
        var label: String
    }

    /// 0 at the beginning of the axis to 1 at its end; values outside lie on the ends.
    func place(_ value: Double) -> Double {
        let share: Double =
            switch self {
            case .linear(let low, let high): (value - low) / (high - low)
            case .logarithmic(let low, let high):
                value > 0 ? log(value / low) / log(high / low) : 0
            case .nines(let nines): -log10(max(1 - value, 1e-15)) / nines
            }
        return share.isFinite ? min(max(share, 0), 1) : 0
    }

    /// From 0 to a round figure above all values.
    ///
    /// - Parameter isBinary: figures are round in KiB, MiB and so on.
    static func linear(above values: some Sequence<Double>, isBinary: Bool = false) -> AxisScale {
        let top = values.max() ?? 0
        guard top > 0 else { return .linear(low: 0, high: 1) }
        let step = roundStep(top / 5, isBinary: isBinary)
        return .linear(low: 0, high: (top / step).rounded(.up) * step)
    }

    /// From a power of ten, or twice or five times one, to another, around all positive values.
    static func logarithmic(around values: some Sequence<Double>) -> AxisScale {
        // What lies outside is no latency, and would leave no room for those that are.
        let positive = values.filter { $0 >= 1e-9 && $0 <= 1e15 }
        guard let low = positive.min(), let high = positive.max() else {
            return .logarithmic(low: 1, high: 10)
        }
        let bottom = roundBelow(low)
        let top = roundAbove(high)
        return .logarithmic(low: bottom, high: top > bottom * 1.5 ? top : bottom * 10)
    }

    /// - Parameters:
    ///   - most: more names than this would touch each other.
    ///   - isBinary: figures are round in KiB, MiB and so on.
    ///   - name: of one value.
    func ticks(most: Int, isBinary: Bool = false, name: (Double) -> String) -> [Tick] {
        switch self {
        case .linear(let low, let high):
            let step = Self.roundStep((high - low) / Double(max(1, most)), isBinary: isBinary)
            let first = (low / step).rounded(.up)
            let count = Int(((high / step + 1e-9).rounded(.down) - first)) + 1
            return (0..<max(0, count)).map {
                let value = (first + Double($0)) * step
                return Tick(value: value, label: name(value))
            }
        case .logarithmic(let low, let high): return Self.decades(low, high, most, name)
        case .nines(let nines):
            let named: [(Double, String)] = [
                (0, "0 %"), (0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"),
                (0.9999, "99.99 %"), (0.99999, "99.999 %"), (0.999999, "99.9999 %"),
            ]
            return named.filter { -log10(1 - $0.0) <= nines + 1e-9 }.map {
                Tick(value: $0.0, label: $0.1)
            }
        }
    }

    private static func decades(
        _ low: Double, _ high: Double, _ most: Int, _ name: (Double) -> String
    ) -> [Tick] {
        let span = log10(high / low)
        let named: [Double] = span * 3 <= Double(most) ? [1, 2, 5] : [1]
        let stride = max(1, Int((span / Double(max(1, most))).rounded(.up)))
        var ticks: [Tick] = []
        let first = Int(log10(low).rounded(.down)) - 1
        let last = Int(log10(high).rounded(.up)) + 1
        for exponent in first...last {
            for digit in 1...9 {
                let value = Double(digit) * pow(10, Double(exponent))
                guard value >= low * 0.999_999, value <= high * 1.000_001 else { continue }
                let isNamed =
                    named.contains(Double(digit)) && (exponent - first) % stride == 0
                if isNamed || stride == 1 {
                    ticks.append(Tick(value: value, label: isNamed ? name(value) : ""))
                }
            }
        }
        return ticks
    }

    /// 1, 2 or 5 times a power of ten, at least `step`; of KiB, MiB and so on where binary.
    static func roundStep(_ step: Double, isBinary: Bool = false) -> Double {
        guard step > 0, step.isFinite else { return 1 }
        var unit = 1.0
        while isBinary, step > unit * 500 { unit *= 1024 }
        return roundAbove(step / unit) * unit
    }

    private static func roundAbove(_ value: Double) -> Double {
        let decade = pow(10, log10(value).rounded(.down))
        return [1, 2, 5].map { $0 * decade }.first { $0 >= value * 0.999_999 } ?? 10 * decade
    }

    private static func roundBelow(_ value: Double) -> Double {
        let decade = pow(10, log10(value).rounded(.down))
        return [5, 2].map { $0 * decade }.first { $0 <= value * 1.000_001 } ?? decade
    }
}

extension AxisScale {
    /// Ticks of an axis of seconds, at whole parts of minutes and hours.
    static func timeTicks(from low: Double, to high: Double, most: Int) -> [Tick] {
        let steps: [Double] = [
            1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400,
        ]
        let wanted = (high - low) / Double(max(1, most))
        let step = steps.first { $0 >= wanted } ?? (wanted / 86_400).rounded(.up) * 86_400
        var ticks: [Tick] = []
        var value = (low / step).rounded(.up) * step
        while value <= high + step * 1e-9 {
            ticks.append(Tick(value: value, label: clock(value, withSeconds: step < 60)))
            value += step
        }
        return ticks
    }

    /// `0`, `30 s`, `1:30`, `5 min`, `1:05 h`.
    static func clock(_ seconds: Double, withSeconds: Bool = true) -> String {
        guard abs(seconds) < 1e9 else { return FigureText.number(seconds) + " s" }
        let whole = Int(abs(seconds).rounded())
        let sign = seconds < 0 && whole != 0 ? "−" : ""
        if whole == 0 { return "0" }
        func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
        if whole >= 3600 {
            let tail = withSeconds ? ":" + two(whole % 60) : ""
            return "\(sign)\(whole / 3600):\(two(whole / 60 % 60))\(tail) h"
        }
        if !withSeconds, whole % 60 == 0 { return "\(sign)\(whole / 60) min" }
        return whole < 60 ? "\(sign)\(whole) s" : "\(sign)\(whole / 60):\(two(whole % 60))"
    }
}

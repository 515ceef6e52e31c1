import Testing

@testable import WaybillLoad

@Suite struct AxisScaleTests {
    @Test func beginsAtZeroAndEndsAtARoundFigure() {
        #expect(AxisScale.linear(above: [3, 1270]) == .linear(low: 0, high: 1500))
        #expect(AxisScale.linear(above: [0, 0]) == .linear(low: 0, high: 1))
        #expect(AxisScale.linear(above: []) == .linear(low: 0, high: 1))
        let binary = AxisScale.linear(above: [279 * 1_048_576], isBinary: true)
        #expect(binary == .linear(low: 0, high: 300 * 1_048_576))
        let names = binary.ticks(most: 6, isBinary: true, name: FigureText.bytes).map { $0.label }
        #expect(names == ["0 B", "50 MiB", "100 MiB", "150 MiB", "200 MiB", "250 MiB", "300 MiB"])
    }

    @Test func logarithmicScalesHoldAllValues() {
        #expect(AxisScale.logarithmic(around: [0, 3, 700]) == .logarithmic(low: 2, high: 1000))
        #expect(AxisScale.logarithmic(around: [5]) == .logarithmic(low: 5, high: 50))
        #expect(AxisScale.logarithmic(around: []) == .logarithmic(low: 1, high: 10))
        let scale = AxisScale.logarithmic(low: 1, high: 100)
        #expect(scale.place(10) == 0.5)
        #expect(scale.place(0) == 0)
        #expect(scale.place(1e9) == 1)
        let named = scale.ticks(most: 6) { FigureText.number($0) }.filter { !$0.label.isEmpty }
        #expect(named.map { $0.label } == ["1", "2", "5", "10", "20", "50", "100"])
    }

    @Test func eachNineIsAsLong() {
        let scale = AxisScale.nines(4)
        for (share, place) in [(0.0, 0.0), (0.9, 0.25), (0.99, 0.5), (0.9999, 1), (1, 1)] {
            #expect(abs(scale.place(share) - place) < 1e-9)
        }
        #expect(
            scale.ticks(most: 5) { "\($0)" }.map { $0.label }
                == ["0 %", "50 %", "90 %", "99 %", "99.9 %", "99.99 %"])
    }

    @Test func timesAreNamedAtWholeParts() {
        let short = AxisScale.timeTicks(from: -15, to: 312, most: 12)
        #expect(short.map { $0.value } == stride(from: 0, through: 300, by: 30).map { $0 })
        let long = AxisScale.timeTicks(from: 0, to: 14_400, most: 8)
        #expect(long.map { $0.label }.prefix(4) == ["0", "30 min", "1:00 h", "1:30 h"])
    }

    @Test func noScaleOfAnyValuesIsWithoutTicks() {
        var random = SampleRandom(seed: 5)
        for _ in 0..<2000 {
            let low = Double(sign: .plus, exponent: Int(random.unit() * 60) - 30, significand: 1.3)
            let values = [low, low * (1 + random.unit() * 1000)]
            for scale in [AxisScale.linear(above: values), .logarithmic(around: values)] {
                let ticks = scale.ticks(most: 6) { FigureText.number($0) }
                let named = ticks.filter { !$0.label.isEmpty }
                #expect((1...12).contains(named.count), "\(values)")
                #expect(ticks.allSatisfy { (0...1).contains(scale.place($0.value)) })
                #expect(scale.place(values[0]) <= scale.place(values[1]))
            }
        }
    }
}

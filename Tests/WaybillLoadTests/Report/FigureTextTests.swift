import Testing

@testable import WaybillLoad

@Suite struct FigureTextTests {
    @Test(arguments: [
        (0.0, "0"), (0.01234, "0.0123"), (1.0, "1"), (1.5, "1.5"), (12.345, "12.3"),
        (999.6, "1,000"), (1_234_567, "1,234,567"), (-2.5, "−2.5"), (.nan, "–"),
    ])
    func writesThreeDigits(value: Double, text: String) {
        #expect(FigureText.number(value) == text)
    }

    @Test(arguments: [
        (0, "0 ms"), (0.85, "850 µs"), (0.9994, "999 µs"), (0.9996, "1 ms"), (12.34, "12.3 ms"),
        (1234, "1.23 s"), (90_000, "90 s"), (120_000, "2 min"), (302_000, "5 min 2 s"),
        (3_720_000, "1 h 2 min"),
    ])
    func writesLatencies(value: Double, text: String) {
        #expect(FigureText.milliseconds(value) == text)
    }

    @Test(arguments: [
        (0.0, "0 B"), (999, "999 B"), (1024, "1 KiB"), (314_572_800, "300 MiB"),
        (1_610_612_736, "1.5 GiB"), (3e12, "2.73 TiB"),
    ])
    func writesBytes(value: Double, text: String) {
        #expect(FigureText.bytes(value) == text)
    }

    @Test(arguments: [
        (0.0123, "+1.2 %"), (-0.004, "−0.4 %"), (0, "0.0 %"), (-0.0001, "0.0 %"), (1.5, "+150 %"),
    ])
    func writesChanges(value: Double, text: String) {
        #expect(FigureText.change(value) == text)
    }

    @Test(arguments: [
        (0, "0"), (45, "45 s"), (90, "1:30"), (-15, "−15 s"), (3905, "1:05:05 h"),
    ])
    func writesTimesOfAnAxis(value: Double, text: String) {
        #expect(AxisScale.clock(value) == text)
    }
}

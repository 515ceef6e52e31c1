import Testing

@testable import WaybillLoad

@Suite struct SeriesThinningTests {
    private func line(_ values: [Double?]) -> Chart.Line {
        Chart.Line(
            name: "", style: Chart.Style(colour: 1),
            points: values.enumerated().map { Chart.Line.Point(x: Double($0), y: $1) })
    }

    private func outline(_ values: [Double?], columns: Int) -> Chart.Line.Outline {
        line(values).outlined(columns: columns) { $0 / Double(values.count) }
    }

    @Test func fewPointsStayAsTheyAre() {
        let few = line([1, 2, nil, 4])
        #expect(few.outlined(columns: 2) { $0 / 4 } == Chart.Line.Outline(points: few.points))
    }

    @Test func noPeakIsLost() {
        var values: [Double?] = Array(repeating: 5, count: 10_000)
        values[3333] = 900
        values[7777] = -3
        let outline = outline(values, columns: 100)
        #expect(outline.points.count == 100)
        #expect(outline.envelope.map { $0.high }.max() == 900)
        #expect(outline.envelope.map { $0.low }.min() == -3)
        #expect(outline.envelope.count { $0.low == 5 && $0.high == 5 } == 98)
        #expect(outline.points[0].y == 5)
        #expect(outline.points[33].y == 5 + 895 / 100.0)
    }

    @Test func columnsWithoutAValueBreakTheLine() {
        var values: [Double?] = Array(repeating: 5, count: 1000)
        for index in 300..<500 { values[index] = nil }
        values[700] = nil
        let outline = outline(values, columns: 10)
        #expect(outline.points.map { $0.y == nil } == (0..<10).map { $0 == 3 || $0 == 4 })
        #expect(outline.envelope.count == 8)
    }
}

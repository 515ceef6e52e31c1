import Testing

@testable import WaybillLoad

@Suite struct MarkLabelsTests {
    private func places(_ values: [(Double, String)]) -> [MarkLabels.Place] {
        values.enumerated().map { MarkLabels.Place(x: $1.0, number: $0 + 1, text: $1.1) }
    }

    @Test func namesAllWhereThereIsRoom() {
        let marks = places([(100, "kill-server"), (120, "scale"), (500, "edge")])
        let labels = MarkLabels(marks, right: 900, rows: 4, numbersOnly: false)
        #expect(labels.labels.map { $0.text } == ["1 kill-server", "2 scale", "3 edge"])
        #expect(labels.labels.map { $0.row } == [0, 1, 0])
        #expect(labels.rows == 2)
    }

    @Test func numbersStandInForTextsWithoutRoom() {
        let marks = places((0..<6).map { (100 + Double($0) * 20, "a text of some length") })
        let labels = MarkLabels(marks, right: 900, rows: 3, numbersOnly: false)
        #expect(labels.labels.count == 6)
        #expect(labels.labels.contains { $0.text == "6" || $0.text.hasPrefix("6 ") })
        #expect(labels.labels.contains { !$0.text.contains(" ") })
        let numbers = MarkLabels(marks, right: 900, rows: 3, numbersOnly: true)
        #expect(numbers.labels.map { $0.text } == ["1", "2", "3", "4", "5", "6"])
    }

    @Test func cutsLongTexts() throws {
        let marks = places([(10, String(repeating: "x", count: 300))])
        let label = try #require(
            MarkLabels(marks, right: 900, rows: 3, numbersOnly: false).labels.first)
        #expect(label.text.hasSuffix("…"))
        #expect(label.text.count < 40)
    }

    @Test func withoutMarksThereAreNoRows() {
        #expect(MarkLabels([], right: 900, rows: 3, numbersOnly: false).rows == 0)
    }

    @Test(arguments: UInt64(1)...60)
    func nothingLiesOnAnythingElse(seed: UInt64) {
        var random = SampleRandom(seed: seed)
        let count = Int(random.unit() * 60)
        let xs = (0..<count).map { _ in 60 + random.unit() * 840 }.sorted()
        let marks = places(
            xs.map { ($0, String(repeating: "m", count: 1 + Int(random.unit() * 40))) })
        let placed = MarkLabels(marks, right: 905, rows: 4, numbersOnly: seed % 3 == 0)
        #expect(count == 0 || !placed.labels.isEmpty)
        for label in placed.labels {
            let end = label.x + Double(label.text.count) * MarkLabels.characterWidth
            #expect(label.x >= 0 && end <= 905.001)
            #expect(label.row < placed.rows)
            for other in placed.labels where other.mark != label.mark {
                let otherEnd = other.x + Double(other.text.count) * MarkLabels.characterWidth
                if other.row == label.row {
                    #expect(end <= other.x || otherEnd <= label.x, "texts")
                }
                // The other's line leads from its row down to the plot.
                if other.row <= label.row {
                    let line = marks[other.mark].x
                    #expect(line <= label.x || line >= end, "a line through a text")
                }
            }
        }
    }
}

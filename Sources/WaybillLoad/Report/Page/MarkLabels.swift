/// Labels above a plot, one row above the other, that touch neither each other nor the lines that
/// lead up to them.
struct MarkLabels {
    struct Label: Equatable {
        /// Its place in the list of marks.
        var mark: Int
        /// From the top.
        var row: Int
        var text: String
        /// Left end of the text.
        var x: Double
    }

    /// A mark to be named.
    struct Place {
        var x: Double
        var number: Int
        var text: String
    }

    let labels: [Label]
    /// How many rows are used.
    let rows: Int

    static let rowHeight = 15.0
    /// Of a letter of 11 pixels, a little more than the mean.
    static let characterWidth = 6.2
    private static let charactersMax = 34

    /// With texts where they find room, else with numbers; what finds none has no label.
    ///
    /// - Parameters:
    ///   - marks: by rising x.
    ///   - right: where the drawing ends.
    ///   - rows: at most.
    init(_ marks: [Place], right: Double, rows: Int, numbersOnly: Bool) {
        let texts = marks.map { mark in
            let text = mark.text.prefix(Self.charactersMax)
            return "\(mark.number) \(text)" + (text.count < mark.text.count ? "…" : "")
        }
        let numbers = marks.map { String($0.number) }
        let areFew = !numbersOnly && marks.count <= Self.textsMax
        labels =
            areFew
            ? Self.shortened(marks, texts, numbers, right: right, rows: rows)
            : Self.place(marks, numbers, right: right, rows: rows)
        self.rows = labels.map { $0.row + 1 }.max() ?? 0
    }

    /// More marks are named by their numbers alone.
    private static let textsMax = 40

    /// As many texts as find room together with all the numbers: whoever finds none becomes a
    /// number, then the one before it.
    private static func shortened(
        _ marks: [Place], _ texts: [String], _ numbers: [String], right: Double, rows: Int
    ) -> [Label] {
        var names = texts
        while true {
            let labels = place(marks, names, right: right, rows: rows)
            let placed = Set(labels.map { $0.mark })
            let isLong = marks.indices.map { names[$0] != numbers[$0] }
            guard let first = marks.indices.first(where: { !placed.contains($0) }),
                let next = marks[...first].indices.last(where: { isLong[$0] })
                    ?? isLong.firstIndex(of: true)
            else { return labels }
            names[next] = numbers[next]
        }
    }

    /// Each in the highest row from which the way down to the plot is free, so that no line to a
    /// later label crosses an earlier one.
    private static func place(_ marks: [Place], _ texts: [String], right: Double, rows: Int)
        -> [Label]
    {
        var ends = [Double](repeating: -.infinity, count: rows)
        var labels: [Label] = []
        for (index, mark) in marks.enumerated() {
            let width = Double(texts[index].count) * characterWidth
            let x = max(0, min(mark.x + 3, right - width))
            let row = (0..<rows).first { row in
                let isFree = ends[row...].allSatisfy { $0 + 4 <= min(x, mark.x) }
                // A label that was moved to the left must not lie on an earlier mark's line.
                return isFree
                    && labels.allSatisfy { $0.row > row || marks[$0.mark].x + 2 <= x }
            }
            guard let row else { continue }
            ends[row] = x + width
            labels.append(Label(mark: index, row: row, text: texts[index], x: x))
        }
        return labels
    }
}

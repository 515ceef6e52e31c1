extension Chart.Line {
    /// A line with no more points than a drawing can show, and how far its values reached.
    struct Outline: Equatable {
        var points: [Point]
        /// Lowest and highest value of each column of pixels; empty where all points are shown.
        var envelope: [Reach] = []

        struct Reach: Equatable {
            var x: Double
            var low: Double
            var high: Double
        }
    }

    /// All points where there is room; else the mean of each column of pixels with its lowest and
    /// highest value, so that no peak is lost. A column without a value breaks the line.
    ///
    /// - Parameter place: of an x on the axis, 0 to 1.
    func outlined(columns: Int, _ place: (Double) -> Double) -> Outline {
        guard points.count > columns * 2 else { return Outline(points: points) }
        var outline = Outline(points: [])
        var column: [Point] = []
        var current = -1
        for point in points {
            let next = Int(place(point.x) * Double(columns))
            if next != current {
                outline.add(column)
                column.removeAll(keepingCapacity: true)
                current = next
            }
            column.append(point)
        }
        outline.add(column)
        return outline
    }
}

extension Chart.Line.Outline {
    fileprivate mutating func add(_ column: [Chart.Line.Point]) {
        guard let first = column.first, let last = column.last else { return }
        let x = (first.x + last.x) / 2
        let values = column.compactMap { $0.y }
        guard let low = values.min(), let high = values.max() else {
            points.append(Chart.Line.Point(x: x, y: nil))
            return
        }
        points.append(
            Chart.Line.Point(x: x, y: values.reduce(0, +) / Double(values.count)))
        envelope.append(Reach(x: x, low: low, high: high))
    }
}

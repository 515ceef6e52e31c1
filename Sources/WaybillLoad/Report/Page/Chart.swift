/// A drawing with two axes: what is to be seen, not how large.
struct Chart {
    var title: String
    /// One sentence below the title.
    var note: String?
    var x: Axis
    var y: Axis
    var lines: [Line] = []
    var bars: [Bar] = []
    /// Shaded, with a word at the top: warm-up, waiting.
    var phases: [Phase] = []
    var marks: [Mark] = []

    struct Axis {
        var scale: AxisScale
        /// Quantity and unit.
        var title: String
        var kind: Kind

        enum Kind {
            case seconds, milliseconds, bytes, number, percent, nines
        }

        func name(_ value: Double) -> String {
            switch kind {
            case .seconds: AxisScale.clock(value)
            case .milliseconds: FigureText.milliseconds(value)
            case .bytes: FigureText.bytes(value)
            case .number: FigureText.short(value)
            case .percent, .nines: FigureText.percent(value)
            }
        }

        func ticks(most: Int) -> [AxisScale.Tick] {
            if kind == .seconds, case .linear(let low, let high) = scale {
                return AxisScale.timeTicks(from: low, to: high, most: most)
            }
            return scale.ticks(most: most, isBinary: kind == .bytes, name: name)
        }
    }

    struct Line {
        var name: String
        var style: Style
        /// By rising x; nil breaks the line.
        var points: [Point]
        /// Holds its value until the next point.
        var isStepped = false

        struct Point: Equatable {
            var x: Double
            var y: Double?
        }
    }

    /// Colours that the colour-blind can tell apart; dashes for what is the same in another way.
    struct Style: Equatable {
        /// 1 to 4.
        var colour: Int
        var isDashed = false

        var cssClass: String { "l s\(colour)" + (isDashed ? " dash" : "") }
    }

    struct Bar {
        var low: Double
        var high: Double
        var value: Double
        var style: Style
        var text: String
    }

    struct Phase {
        var start: Double
        var end: Double
        var name: String
    }

    /// Something that happened, with its number in the table of all.
    struct Mark {
        var number: Int
        var start: Double
        var end: Double?
        var text: String
    }

    /// Whether there is anything to be seen.
    var isEmpty: Bool {
        bars.isEmpty && lines.allSatisfy { line in line.points.allSatisfy { $0.y == nil } }
    }
}

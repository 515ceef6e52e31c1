/// A limit that a run must keep, such as `settle_p99<2s` or `lost==0`.
package struct Objective: Sendable, Equatable {
    /// As it was given.
    package let text: String
    package let figure: ObjectiveFigure
    package let relation: Relation
    /// In the figure's own unit (``ObjectiveFigure/Dimension``).
    package let limit: Double

    package enum Relation: String, Sendable, CaseIterable {
        case atMost = "<="
        case atLeast = ">="
        case equal = "=="
        case below = "<"
        case above = ">"

        /// Whether `value` stands in this relation to `limit`.
        package func holds(_ value: Double, _ limit: Double) -> Bool {
            switch self {
            case .atMost: value <= limit
            case .atLeast: value >= limit
            case .equal: value == limit
            case .below: value < limit
            case .above: value > limit
            }
        }
    }

    /// Reads `name op value[unit]`; spaces between these are no matter.
    ///
    /// - Throws: ``ReportFault/objective(_:_:)``, which lists what there is.
    package init(_ text: String) throws(ReportFault) {
        let compact = String(text.filter { $0 != " " })
        guard let start = compact.firstIndex(where: { "<>=".contains($0) }) else {
            throw .objective(text, "no relation; there are \(Self.relations)")
        }
        let name = String(compact[..<start])
        guard let figure = ObjectiveFigure(name) else {
            throw .objective(
                text,
                "no figure '\(name)'; there are \(ObjectiveFigure.listing)")
        }
        let rest = compact[start...]
        // The longer ones come first in the list.
        guard let relation = Relation.allCases.first(where: { rest.hasPrefix($0.rawValue) }) else {
            throw .objective(text, "no such relation; there are \(Self.relations)")
        }
        self.text = text
        self.figure = figure
        self.relation = relation
        limit = try Self.limit(rest.dropFirst(relation.rawValue.count), of: figure, in: text)
    }

    private static let relations = "<, <=, >, >=, =="

    private static func limit(
        _ value: Substring, of figure: ObjectiveFigure, in text: String
    ) throws(ReportFault) -> Double {
        let digits = value.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        guard let first = digits.first, let last = digits.last, first != ".", last != ".",
            let number = Double(digits), number.isFinite
        else { throw .objective(text, "no number after the relation") }
        let unit = String(value.dropFirst(digits.count))
        let units = figure.dimension.units
        guard let scale = units.first(where: { $0.name == unit })?.scale else {
            let names = units.map { $0.name.isEmpty ? "none" : $0.name }.joined(separator: ", ")
            throw .objective(
                text,
                unit.isEmpty
                    ? "\(figure.name) needs a unit: \(names)"
                    : "no unit '\(unit)' for \(figure.name); there are: \(names)")
        }
        return number * scale
    }
}

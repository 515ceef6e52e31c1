/// A table for people: columns aligned, cells made harmless for terminals.
struct TextTable {
    private var rows: [[String]]
    private let numericColumns: Set<Int>

    /// - Parameter numericColumns: aligned to the right.
    init(_ head: [String], numericColumns: Set<Int> = []) {
        rows = head.isEmpty ? [] : [head]
        self.numericColumns = numericColumns
    }

    mutating func add(_ cells: [String]) {
        rows.append(cells.map { HarmlessText.of($0) })
    }

    /// The lines without a line feed at the end.
    var text: String {
        var widths: [Int] = []
        for row in rows {
            for (column, cell) in row.enumerated() {
                if column == widths.count { widths.append(0) }
                widths[column] = max(widths[column], cell.count)
            }
        }
        return rows.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                if column > 0 { line += "  " }
                line += numericColumns.contains(column) ? padding + cell : cell + padding
            }
            while line.hasSuffix(" ") { line.removeLast() }
            return line
        }.joined(separator: "\n")
    }
}

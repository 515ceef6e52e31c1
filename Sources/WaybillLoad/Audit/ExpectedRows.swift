internal import WaybillModel

/// Which of the rows that had to be there were seen.
///
/// The rows themselves are made when they are compared, so that they may come in any order. What is
/// kept: a byte for each bundle, and a bit for each transaction of bundles of which some rows were
/// seen and some not.
struct ExpectedRows {
    private enum Progress: UInt8 {
        case none, partial, complete
    }

    private struct Partial {
        var seen: [UInt64]
        /// Rows that were not seen yet.
        var missing: Int

        init(_ counts: OutcomeCounts) {
            seen = Array(repeating: 0, count: (counts.total + 63) / 64)
            missing = counts.accepted
        }

        func contains(_ index: Int) -> Bool { seen[index / 64] >> (index % 64) & 1 == 1 }

        mutating func see(_ index: Int) {
            seen[index / 64] |= 1 << (index % 64)
            missing -= 1
        }
    }

    private let source: any ExpectationSource
    private var progress: [UInt8]
    private var partials: [Int: Partial] = [:]

    init(bundles: Int, source: any ExpectationSource) {
        self.source = source
        progress = Array(repeating: 0, count: bundles)
    }

    /// The row that transaction `index` of the bundle had to become; nil: none.
    func row(_ number: Int, index: Int) throws -> ExpectedRow? {
        index < 0 ? nil : try source.row(number, index: index)
    }

    func isSeen(_ number: Int, index: Int) -> Bool {
        switch Progress(rawValue: progress[number]) ?? .none {
        case .none: false
        case .partial: partials[number]?.contains(index) ?? false
        case .complete: true
        }
    }

    /// - Parameter index: of a transaction that has a row.
    mutating func see(_ number: Int, index: Int) throws {
        guard !isSeen(number, index: index) else { return }
        if progress[number] == Progress.none.rawValue {
            partials[number] = Partial(try counts(number))
            progress[number] = Progress.partial.rawValue
        }
        // In place: a large bundle's bits are not copied for each of its rows.
        partials[number]?.see(index)
        if partials[number]?.missing == 0 {
            progress[number] = Progress.complete.rawValue
            partials[number] = nil
        }
    }

    /// How many rows the bundle had to add, and those of them that were not seen.
    ///
    /// - Parameter mustBeThere: false: a bundle without any rows is in order.
    func missing(
        _ number: Int, mustBeThere: Bool
    ) throws -> (total: Int, rows: [ExpectedRow]) {
        if !mustBeThere, progress[number] == Progress.none.rawValue { return (0, []) }
        let counts = try counts(number)
        if progress[number] == Progress.complete.rawValue { return (counts.accepted, []) }
        let partial = partials[number]
        var rows: [ExpectedRow] = []
        for index in 0..<counts.total where !(partial?.contains(index) ?? false) {
            if let row = try source.row(number, index: index) { rows.append(row) }
        }
        return (counts.accepted, rows)
    }

    /// The digest says nothing of rows.
    private func counts(_ number: Int) throws -> OutcomeCounts {
        try source.expectation(number, digest: .zero)?.counts ?? OutcomeCounts()
    }
}

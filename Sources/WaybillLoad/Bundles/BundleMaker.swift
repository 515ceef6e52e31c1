package import WaybillModel

/// Makes bundles from their numbers, and says what must become of them.
///
/// Nothing is kept: the same number gives the same bytes and the same answers at any time, on any
/// thread, in any order.
package struct BundleMaker: Sendable {
    package let book: RecipeBook
    /// In the order of ``BundleRecipe/device``.
    package let devices: [LoadDevice]
    let lines = LineWriter()

    /// - Parameter devices: as many as the plan has.
    package init(book: RecipeBook, devices: [LoadDevice]) {
        precondition(devices.count == book.plan.devices)
        self.book = book
        self.devices = devices
    }

    /// The rows that must be there once the bundle is settled: those accepted, by rising index. None
    /// for a bundle with a fault.
    package func rows(_ number: Int) -> [ExpectedRow] {
        let recipe = book.recipe(number)
        guard recipe.fault == nil else { return [] }
        let shape = book.shape(recipe)
        var rows: [ExpectedRow] = []
        rows.reserveCapacity(shape.transactions)
        var writer = ByteWriter(capacity: shape.payloadBytes + 256)
        for index in 0..<shape.transactions {
            guard case .original = book.role(recipe, index) else { continue }
            let place = LoadID.Place(number: number, index: index)
            rows.append(row(book.sketch(place, shape), index: index, &writer))
        }
        return rows
    }

    /// The row of one transaction; nil if none must be there. Costs the same wherever it stands.
    package func row(_ place: LoadID.Place) -> ExpectedRow? {
        let recipe = book.recipe(place.number)
        let shape = book.shape(recipe)
        guard recipe.fault == nil, place.index < shape.transactions,
            case .original = book.role(recipe, place.index)
        else { return nil }
        var writer = ByteWriter(capacity: shape.payloadBytes + 256)
        return row(book.sketch(place, shape), index: place.index, &writer)
    }

    private func row(
        _ sketch: TransactionSketch, index: Int, _ writer: inout ByteWriter
    ) -> ExpectedRow {
        let content: ExpectedRow.Content
        if let contentType = sketch.contentType {
            content = .body(
                contentType: FieldValues.contentTypes[contentType], lines.payloads.body(sketch))
        } else {
            writer.removeAll()
            lines.payloads.append(sketch, to: &writer)
            content = .payload(writer.bytes())
        }
        return ExpectedRow(
            id: sketch.id, index: index, type: FieldValues.types[sketch.type],
            occurredAt: sketch.occurredAt, offsetMinutes: sketch.offsetMinutes,
            actor: sketch.actor.map { FieldValues.actors[$0] }, content: content)
    }

    /// What the bundle's receipt must say. A bundle that is refused when it is uploaded
    /// (``BundleFault/isRefused``) gets none: its expectation counts nothing and has no code.
    package func expectation(_ number: Int, digest: Digest256) -> Expectation {
        let recipe = book.recipe(number)
        var expectation = Expectation(
            counts: OutcomeCounts(), exceptions: [], quarantine: recipe.fault?.quarantine,
            digest: digest)
        guard recipe.fault == nil else { return expectation }
        let count = book.shape(recipe).transactions
        guard !book.hasOriginalsOnly else {
            expectation.counts.accepted = count
            return expectation
        }
        for index in 0..<count {
            switch book.role(recipe, index) {
            case .original: expectation.counts.accepted += 1
            case .repeated(let place):
                expectation.counts.duplicate += 1
                expectation.exceptions.append(
                    .init(
                        index: index, id: book.ids.transaction(place), outcome: .duplicate,
                        code: nil))
            case .conflicting(let place):
                expectation.counts.conflict += 1
                expectation.exceptions.append(
                    .init(
                        index: index, id: book.ids.transaction(place), outcome: .conflict,
                        code: nil))
            case .bad(let kind, let place):
                expectation.counts.rejected += 1
                expectation.exceptions.append(
                    .init(
                        index: index, id: kind.showsID ? book.ids.transaction(place) : nil,
                        outcome: .rejected, code: kind.code))
            }
        }
        return expectation
    }
}

extension BundleFault {
    /// What a received bundle with this fault is quarantined for; nil for one that is refused.
    package var quarantine: QuarantineCode? {
        switch self {
        case .wrongPassword, .flippedByte: .cannotOpen
        case .otherBundle, .miscounted: .bindingMismatch
        case .truncated, .notZip: nil
        }
    }
}

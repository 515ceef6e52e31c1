package import WaybillModel

/// What must become of bundles.
extension RecipeBook: ExpectationSource {
    package func number(of bundle: BundleID) -> Int? { ids.number(of: bundle) }

    package func number(of transaction: TransactionID) -> (number: Int, index: Int)? {
        ids.place(of: transaction).map { ($0.number, $0.index) }
    }

    /// The rows that must be there once the bundle is settled: those accepted, by rising index. None
    /// for a bundle with a fault.
    package func rows(_ number: Int) -> [ExpectedRow] {
        let recipe = self.recipe(number)
        guard recipe.fault == nil else { return [] }
        let shape = self.shape(recipe)
        var rows: [ExpectedRow] = []
        rows.reserveCapacity(shape.transactions)
        var writer = ByteWriter(capacity: shape.payloadBytes + 256)
        for index in 0..<shape.transactions {
            guard case .original = role(recipe, index) else { continue }
            let place = LoadID.Place(number: number, index: index)
            rows.append(row(sketch(place, shape), index: index, &writer))
        }
        return rows
    }

    /// The row of one transaction; nil if none must be there. Costs the same wherever it stands.
    package func row(_ place: LoadID.Place) -> ExpectedRow? {
        let recipe = self.recipe(place.number)
        let shape = self.shape(recipe)
        guard recipe.fault == nil, place.index < shape.transactions,
            case .original = role(recipe, place.index)
        else { return nil }
        var writer = ByteWriter(capacity: shape.payloadBytes + 256)
        return row(sketch(place, shape), index: place.index, &writer)
    }

    private func row(
        _ sketch: TransactionSketch, index: Int, _ writer: inout ByteWriter
    ) -> ExpectedRow {
        let content: ExpectedRow.Content
        if let contentType = sketch.contentType {
            content = .body(
                contentType: FieldValues.contentTypes[contentType], payloads.body(sketch))
        } else {
            writer.removeAll()
            payloads.append(sketch, to: &writer)
            content = .payload(writer.bytes())
        }
        return ExpectedRow(
            id: sketch.id, index: index, type: FieldValues.types[sketch.type],
            occurredAt: sketch.occurredAt, offsetMinutes: sketch.offsetMinutes,
            actor: sketch.actor.map { FieldValues.actors[$0] }, content: content)
    }

    /// What the bundle's receipt must say; nil for one that is refused when it is uploaded.
    package func expectation(_ number: Int, digest: Digest256) -> Expectation? {
        let recipe = self.recipe(number)
        if let fault = recipe.fault, fault.isRefused { return nil }
        var expectation = Expectation(
            counts: OutcomeCounts(), exceptions: [], quarantine: recipe.fault?.quarantine,
            digest: digest)
        guard recipe.fault == nil else { return expectation }
        let count = shape(recipe).transactions
        guard !hasOriginalsOnly else {
            expectation.counts.accepted = count
            return expectation
        }
        for index in 0..<count {
            switch role(recipe, index) {
            case .original: expectation.counts.accepted += 1
            case .repeated(let place):
                expectation.counts.duplicate += 1
                expectation.exceptions.append(
                    .init(
                        index: index, id: ids.transaction(place), outcome: .duplicate,
                        code: nil))
            case .conflicting(let place):
                expectation.counts.conflict += 1
                expectation.exceptions.append(
                    .init(
                        index: index, id: ids.transaction(place), outcome: .conflict,
                        code: nil))
            case .bad(let kind, let place):
                expectation.counts.rejected += 1
                expectation.exceptions.append(
                    .init(
                        index: index, id: kind.showsID ? ids.transaction(place) : nil,
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

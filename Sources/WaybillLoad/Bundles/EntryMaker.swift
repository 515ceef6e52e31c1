internal import WaybillModel

/// Writes the entries of a bundle: a header line and the lines of each part.
extension BundleMaker {
    /// One entry a part. Faults of the content are in it; those of the archive come when it is sealed.
    func entries(_ recipe: BundleRecipe, _ writer: inout ByteWriter) -> [[UInt8]] {
        let shape = book.shape(recipe)
        let parts = max(1, shape.parts)
        var index = 0
        return (1...parts).map { part in
            let count = shape.transactions / parts + (part <= shape.transactions % parts ? 1 : 0)
            writer.removeAll()
            appendHeader(recipe, part: part, of: parts, count: count, to: &writer)
            for _ in 0..<count {
                appendLine(recipe, shape, index, to: &writer)
                writer.append(UInt8(ascii: "\n"))
                index += 1
            }
            return writer.bytes()
        }
    }

    private func appendHeader(
        _ recipe: BundleRecipe, part: Int, of parts: Int, count: Int, to writer: inout ByteWriter
    ) {
        // The first part has at least as many lines as any other.
        let isMiscounted = recipe.fault == .miscounted && part == 1
        let number = recipe.fault == .otherBundle ? recipe.number + 1 : recipe.number
        writer.append(#"{"waybill":1,"bundle_id":""#)
        writer.append(book.bundleID(number))
        writer.append(#"","device_id":""#)
        writer.append(devices[recipe.device].deviceID)
        writer.append(#"","part":"#)
        writer.append(decimal: UInt64(part))
        writer.append(#","parts":"#)
        writer.append(decimal: UInt64(parts))
        writer.append(#","transactions":"#)
        writer.append(decimal: UInt64(count - (isMiscounted ? 1 : 0)))
        writer.append(#","device_seq":"#)
        writer.append(decimal: UInt64(recipe.sequence))
        writer.append(#","sealed_at":""#)
        writer.append(
            Array(
                Timestamp(microseconds: TransactionSketch.sealedAt(recipe.number)).description.utf8)
        )
        writer.append("\"}\n")
    }

    private func appendLine(
        _ recipe: BundleRecipe, _ shape: LoadPlan.BundleShape, _ index: Int,
        to writer: inout ByteWriter
    ) {
        let place = LoadID.Place(number: recipe.number, index: index)
        switch book.role(recipe, index) {
        case .original: lines.append(book.sketch(place, shape), to: &writer)
        case .repeated(let earlier):
            var generator = spelling(place)
            let sketch = sketch(earlier)
            if generator.next() & 3 == 0 {
                lines.append(sketch, to: &writer)
            } else {
                lines.appendRespelled(sketch, &generator, to: &writer)
            }
        case .conflicting(let earlier):
            var generator = spelling(place)
            lines.append(changed(sketch(earlier), &generator), to: &writer)
        case .bad(let kind, let bearing):
            var sketch = book.sketch(place, shape)
            sketch.id = book.ids.transaction(bearing)
            sketch.contentType = nil
            lines.append(kind, sketch, to: &writer)
        }
    }

    private func sketch(_ place: LoadID.Place) -> TransactionSketch {
        book.sketch(place, book.shape(book.recipe(place.number)))
    }

    private func spelling(_ place: LoadID.Place) -> SeededGenerator {
        SeededGenerator(
            seed: book.plan.seed, purpose: DrawPurpose.spelling,
            number: UInt64(place.number) << 20 | UInt64(place.index))
    }

    /// Other content under the same id: another type, instant, value or kind.
    private func changed(
        _ original: TransactionSketch, _ generator: inout SeededGenerator
    ) -> TransactionSketch {
        var sketch = original
        switch generator.next() & 3 {
        case 0: sketch.type = (sketch.type + 1) % FieldValues.types.count
        case 1:
            sketch.occurredAt += 1
            sketch.fractionDigits = 6
        case 2: sketch.shift = 1
        default: sketch.contentType = sketch.contentType == nil ? 0 : nil
        }
        return sketch
    }
}

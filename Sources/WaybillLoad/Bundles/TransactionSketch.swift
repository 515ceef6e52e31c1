internal import WaybillModel

/// All that a transaction is made of, drawn from its place; its text is written when it is wanted.
struct TransactionSketch: Sendable {
    var id: TransactionID
    /// Of ``FieldValues/types``.
    var type: Int
    /// Microseconds since 1970.
    var occurredAt: Int64
    /// Digits of the fraction as written, up to 9; those beyond microseconds are to be cut off.
    var fractionDigits: Int
    var offsetMinutes: Int
    /// Of ``FieldValues/actors``.
    var actor: Int?
    /// Of ``FieldValues/contentTypes``; nil for a payload.
    var contentType: Int?
    /// Of the payload's text or of the body.
    var byteCount: Int
    /// What the content is drawn from.
    var generator: SeededGenerator
    /// Makes the content another one without moving anything else in it.
    var shift = 0
    /// An ignored member stands in the line.
    var hasSurplus: Bool
    /// The line ends with a carriage return, which is white space.
    var hasCarriageReturn: Bool

    /// 2026-06-01T00:00:00Z.
    static let firstSecond: Int64 = 1_780_272_000
    /// Bundles are a second apart in a device's clock, for three years; then it begins anew.
    static let secondsMax = 100_000_000

    /// When a bundle was sealed, by its device's clock: microseconds since 1970.
    static func sealedAt(_ number: Int) -> Int64 {
        (firstSecond + Int64(number % secondsMax)) * 1_000_000
    }
}

extension RecipeBook {
    /// The transaction that stands at a place, if an original stands there.
    func sketch(_ place: LoadID.Place, _ shape: LoadPlan.BundleShape) -> TransactionSketch {
        var generator = SeededGenerator(
            seed: plan.seed, purpose: DrawPurpose.content,
            number: UInt64(place.number) << 20 | UInt64(place.index))
        let bits = generator.next()
        // Rising with the index, most with six decimals.
        var occurredAt =
            TransactionSketch.sealedAt(place.number) + Int64(place.index) * 1000
            + Int64(bits >> 48) % 1000
        let fractionDigits: Int
        switch bits & 15 {
        case 0:
            fractionDigits = 0
            occurredAt -= occurredAt % 1_000_000
        case 1:
            fractionDigits = 3
            occurredAt -= occurredAt % 1000
        case 2: fractionDigits = 9
        default: fractionDigits = 6
        }
        let isBody = plan.binaryShare > 0 && generator.unit() < plan.binaryShare
        return TransactionSketch(
            id: ids.transaction(place),
            type: Int(bits >> 4 & 0xff) % FieldValues.types.count, occurredAt: occurredAt,
            fractionDigits: fractionDigits,
            offsetMinutes: FieldValues.offsets[Int(bits >> 12 & 0xff) % FieldValues.offsets.count],
            actor: bits >> 20 & 1 == 0 ? Int(bits >> 21 & 0xff) % FieldValues.actors.count : nil,
            contentType: isBody
                ? Int(bits >> 29 & 0xff) % FieldValues.contentTypes.count : nil,
            byteCount: max(PayloadMaker.byteCountMin, shape.payloadBytes), generator: generator,
            hasSurplus: bits >> 37 & 31 == 0, hasCarriageReturn: bits >> 42 & 31 == 0)
    }
}

/// Writes payloads in the text that `jsonb` prints: members by their names' length and bytes, one
/// space after `:` and `,`, numbers as they are, and no escape that is not needed.
struct PayloadMaker: Sendable {
    /// A payload cannot be shorter.
    static let byteCountMin = 120
    private let words = WordTable()
    /// Payloads from this on have all members.
    private static let fullByteCountMin = 400

    init() {}

    /// Appends the payload's text: exactly ``TransactionSketch/byteCount`` bytes.
    func append(_ sketch: TransactionSketch, to writer: inout ByteWriter) {
        var generator = sketch.generator
        let end = writer.count + sketch.byteCount
        let bits = generator.next()
        let isFull = sketch.byteCount >= Self.fullByteCountMin
        let more = isFull ? generator.next() : 0
        writer.append(bits & 1 == 0 ? #"{"ok": true, "qty": "# : #"{"ok": false, "qty": "#)
        writer.append(decimal: bits >> 1 & 0xfff + UInt64(sketch.shift))
        if isFull { appendPlace(bits >> 13 & 3, more, to: &writer) }
        writer.append(#", "amount": "#)
        writer.append(scaled: Int(bits >> 32 & 0xf_ffff) - 0x8_0000, decimals: 2)
        if isFull {
            // Beyond what a double holds exactly.
            writer.append(#", "serial": "#)
            writer.append(decimal: 10_000_000_000_000_000_000 + more >> 4)
            writer.append(#", "größe": "#)
            writer.append(decimal: more >> 57)
        }
        writer.append(#", "remarks": ""#)
        words.append(end - writer.count - 2, from: &generator, to: &writer)
        writer.append(#""}"#)
        assert(writer.count == end)
    }

    private func appendPlace(_ kind: UInt64, _ bits: UInt64, to writer: inout ByteWriter) {
        writer.append(#", "site": {"lat": "#)
        writer.append(scaled: Int(bits & 0xfff_ffff) % 180_000_000 - 90_000_000, decimals: 6)
        writer.append(#", "lon": "#)
        writer.append(
            scaled: Int(bits >> 28 & 0x1fff_ffff) % 360_000_000 - 180_000_000, decimals: 6)
        switch kind {
        case 0: writer.append(#"}, "tags": [], "extra": null"#)
        case 1: writer.append(#"}, "tags": ["a", "ö", ""], "extra": {}"#)
        case 2: writer.append(#"}, "tags": [1, 2.50, true], "extra": {"a": [{"b": {}}]}"#)
        default:
            writer.append(
                #"}, "tags": ["urgent"], "extra": {"": 0, "B": [[]], "b": "\\", "é": -1}"#)
        }
    }

    /// The body's bytes.
    func body(_ sketch: TransactionSketch) -> [UInt8] {
        var generator = sketch.generator
        return [UInt8](unsafeUninitializedCapacity: sketch.byteCount) { buffer, count in
            var word: UInt64 = 0
            for index in 0..<sketch.byteCount {
                if index & 7 == 0 { word = generator.next() }
                buffer[index] = UInt8(truncatingIfNeeded: word >> UInt64(8 * (index & 7)))
            }
            buffer[0] ^= UInt8(truncatingIfNeeded: sketch.shift)
            count = sketch.byteCount
        }
    }
}

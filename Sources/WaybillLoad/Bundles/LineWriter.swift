internal import WaybillModel

/// Writes the lines of entries, without their line feeds.
struct LineWriter: Sendable {
    let payloads: PayloadMaker

    /// A transaction as its device wrote it.
    func append(_ sketch: TransactionSketch, to writer: inout ByteWriter) {
        writer.append(#"{"id":""#)
        writer.append(sketch.id)
        writer.append(#"","type":""#)
        writer.append(FieldValues.typeTexts[sketch.type])
        writer.append(#"","occurred_at":""#)
        appendTime(sketch, to: &writer)
        if let actor = sketch.actor {
            writer.append(#"","actor":""#)
            writer.append(FieldValues.actorTexts[actor])
        }
        if sketch.hasSurplus { writer.append(#"","app":"5.1.0"#) }
        if let contentType = sketch.contentType {
            writer.append(#"","content_type":""#)
            writer.append(FieldValues.contentTypeTexts[contentType])
            writer.append(#"","body":""#)
            writer.append(base64: payloads.body(sketch))
            writer.append(#""}"#)
        } else {
            writer.append(#"","payload":"#)
            payloads.append(sketch, to: &writer)
            writer.append("}")
        }
        if sketch.hasCarriageReturn { writer.append("\r") }
    }

    /// The same transaction spelled otherwise: other members' order, other white space, escapes where
    /// none are needed, the id in capitals, the instant under another offset.
    func appendRespelled(
        _ original: TransactionSketch, _ generator: inout SeededGenerator,
        to writer: inout ByteWriter
    ) {
        var sketch = original
        let bits = generator.next()
        sketch.offsetMinutes = FieldValues.offsets[Int(bits & 7)]
        // Fewer decimals would be another instant.
        if bits >> 3 & 1 == 0 { sketch.fractionDigits = 9 }
        writer.append("{\t")
        if sketch.contentType != nil {
            writer.append(#""body" :""#)
            writer.append(base64: payloads.body(sketch), escapesSlash: true)
            writer.append(#"", "#)
        } else {
            var canonical = ByteWriter(capacity: sketch.byteCount)
            payloads.append(sketch, to: &canonical)
            writer.append("\"p\\u0061yload\": ")
            Respelling(bits: bits >> 8).append(canonical.bytes(), to: &writer)
            writer.append(" ,")
        }
        writer.append("  \"occurred_at\"\t:\"")
        appendTime(sketch, to: &writer)
        writer.append(#"" , "type": ""#)
        writer.append(FieldValues.typeTexts[sketch.type])
        if let contentType = sketch.contentType {
            writer.append(#"","content_type" : ""#)
            writer.append(FieldValues.contentTypeTexts[contentType])
        }
        writer.append(#"", "#)
        if bits >> 4 & 1 == 0 { writer.append(#""actor":null,"#) }
        writer.append(#""id": ""#)
        writer.append(sketch.id, isUpperCase: bits >> 5 & 1 == 0)
        writer.append("\" }")
    }

    /// RFC 3339 without quotes.
    func appendTime(_ sketch: TransactionSketch, to writer: inout ByteWriter) {
        let second = Self.floor(sketch.occurredAt, by: 1_000_000)
        let fraction = Int(sketch.occurredAt - second * 1_000_000)
        appendSecond(second + Int64(sketch.offsetMinutes) * 60, to: &writer)
        switch sketch.fractionDigits {
        case 0: break
        case 3:
            writer.append(".")
            writer.append(fraction / 1000, digits: 3)
        case 9:
            writer.append(".")
            // The last digits are to be cut off, not rounded.
            writer.append(fraction * 1000 + 999, digits: 9)
        default:
            writer.append(".")
            writer.append(fraction, digits: 6)
        }
        guard sketch.offsetMinutes != 0 else {
            writer.append("Z")
            return
        }
        writer.append(UInt8(ascii: sketch.offsetMinutes < 0 ? "-" : "+"))
        writer.append(abs(sketch.offsetMinutes) / 60, digits: 2)
        writer.append(":")
        writer.append(abs(sketch.offsetMinutes) % 60, digits: 2)
    }

    /// `2026-06-01T00:00:00`.
    private func appendSecond(_ second: Int64, to writer: inout ByteWriter) {
        let day = Self.floor(second, by: 86_400)
        let time = Int(second - day * 86_400)
        // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
        let shifted = day + 719_468
        let era = Self.floor(shifted, by: 146_097)
        let dayOfEra = shifted - era * 146_097
        let year = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * year + year / 4 - year / 100)
        let march = (5 * dayOfYear + 2) / 153
        let month = march < 10 ? march + 3 : march - 9
        writer.append(Int(year + era * 400 + (month <= 2 ? 1 : 0)), digits: 4)
        writer.append("-")
        writer.append(Int(month), digits: 2)
        writer.append("-")
        writer.append(Int(dayOfYear - (153 * march + 2) / 5 + 1), digits: 2)
        writer.append("T")
        writer.append(time / 3600, digits: 2)
        writer.append(":")
        writer.append(time / 60 % 60, digits: 2)
        writer.append(":")
        writer.append(time % 60, digits: 2)
    }

    private static func floor(_ value: Int64, by unit: Int64) -> Int64 {
        value >= 0 ? value / unit : (value - unit + 1) / unit
    }
}

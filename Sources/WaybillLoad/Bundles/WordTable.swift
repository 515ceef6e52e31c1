/// Short texts that payloads and fields are made of, ready to be copied.
struct WordTable: Sendable {
    /// Slots of 16 bytes: a word with a space before it, as JSON text that PostgreSQL prints so too.
    private let slots: [UInt8]
    private let counts: [UInt8]
    static let slotCount = 16
    /// A power of two.
    static let wordCount = 64

    init() {
        var slots: [UInt8] = []
        var counts: [UInt8] = []
        for index in 0..<Self.wordCount {
            let word = Array((" " + Self.words[index % Self.words.count]).utf8)
            precondition(word.count <= Self.slotCount)
            counts.append(UInt8(word.count))
            slots += word + [UInt8](repeating: 0x20, count: Self.slotCount - word.count)
        }
        self.slots = slots
        self.counts = counts
    }

    /// Appends JSON string content of exactly `count` bytes.
    func append(
        _ count: Int, from generator: inout SeededGenerator, to writer: inout ByteWriter
    ) {
        let end = writer.count + count
        var bits = generator.next()
        var left = 10
        slots.withUnsafeBytes { slots in
            guard let base = slots.baseAddress else { return }
            counts.withUnsafeBufferPointer { counts in
                while true {
                    let word = Int(bits & 63)
                    let length = Int(counts[word])
                    guard writer.count + length <= end else { return }
                    writer.append(word: base + word * Self.slotCount, count: length)
                    bits >>= 6
                    left -= 1
                    if left == 0 {
                        bits = generator.next()
                        left = 10
                    }
                }
            }
        }
        while writer.count < end {
            writer.append(UInt8(ascii: "a") + UInt8(truncatingIfNeeded: bits % 26))
            bits /= 26
            if bits == 0 { bits = generator.next() }
        }
    }

    /// Controls are those that PostgreSQL writes back in the same way; a slash stands for itself.
    private static let words = [
        "visit", "wound", "dressing", "changed", "temperature", "normal", "patient", "reports",
        "no", "pain", "and", "the", "at", "door", "locked", "meter", "reading", "checked", "twice",
        "by", "route", "delayed", "snow", "bridge", "closed", "parcel", "left", "with",
        "neighbour", "signature", "refused", "see", "photo", "n/a", "ok", "100%", "it's", "<b>",
        "München", "Straße", "żółw", "naïve", "café", "東京", "здесь", "🚚", "👩\u{200d}🌾", "−4 °C",
        #"\"quoted\""#, #"back\\slash"#, #"line\nfeed"#, #"tab\tbed"#, #"\r\n"#, #"\b\f"#,
        #"\u0001"#, #"\u001f"#, "\u{7f}", "e\u{301}", "\u{fffd}", "\u{feff}", "{}", "[,]", ":",
        "null",
    ]
}

/// Values that fields are drawn from.
enum FieldValues {
    /// As they stand in JSON and in the row: nothing in them needs an escape.
    static let types: [String] = [
        "visit.completed", "visit.planned", "order.placed", "order.cancelled", "meter.read",
        "parcel.scanned", "parcel.delivered", "stock.counted", "route/leg.finished",
        "prüfung.abgeschlossen", "点検.完了", "t",
    ]
    static let actors: [String] = [
        "nurse-17", "nurse-4", "Zoë Ängström", "driver 0042", "m.müller@example.org", "山田太郎",
        "O'Brien", "inspector/7",
    ]
    static let contentTypes: [String] = [
        "image/png", "application/octet-stream", "text/plain; charset=utf-8", "application/cbor",
    ]
    static let typeTexts = types.map { Array($0.utf8) }
    static let actorTexts = actors.map { Array($0.utf8) }
    static let contentTypeTexts = contentTypes.map { Array($0.utf8) }
    /// Minutes east of UTC.
    static let offsets = [0, 60, 120, -300, 330, 345, -210, 840, -720, 765, 1, -1439]
}

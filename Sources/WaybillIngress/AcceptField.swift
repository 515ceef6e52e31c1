internal import HTTPTypes

/// What `Accept` says of the two forms in which receipts are sent (RFC 9110, section 12.5.1).
struct AcceptField {
    private struct Preference {
        /// 0 to 1; 0 means: not this one.
        var quality = 0.0
        /// 0 for no range that fits, 1 for `*/*`, 2 for `text/*`, 3 for the type itself.
        var exactness = 0
        /// Place in the field of the range that decides.
        var position = Int.max
    }

    private var events = Preference()
    private var json = Preference()

    init(_ fields: HTTPFields) {
        let ranges = fields[values: .accept].flatMap { $0.split(separator: ",") }
        for (position, range) in ranges.enumerated() {
            let parts = range.split(separator: ";").map { $0.filter { !$0.isWhitespace } }
            guard let type = parts.first?.lowercased() else { continue }
            let quality = Self.quality(parts.dropFirst())
            Self.note(type, quality, position, of: "text", "event-stream", in: &events)
            Self.note(type, quality, position, of: "application", "json", in: &json)
        }
    }

    /// Whether events are wanted rather than one answer: they are liked better, or as well and named
    /// more exactly or before. Without a wish, and with one that nothing here fits, it is one answer.
    var prefersEvents: Bool {
        guard events.quality > 0 else { return false }
        if events.quality != json.quality { return events.quality > json.quality }
        if events.exactness != json.exactness { return events.exactness > json.exactness }
        return events.position < json.position
    }

    private static func note(
        _ range: String, _ quality: Double, _ position: Int, of type: String, _ subtype: String,
        in preference: inout Preference
    ) {
        let exactness: Int
        switch range {
        case "\(type)/\(subtype)": exactness = 3
        case "\(type)/*": exactness = 2
        case "*/*", "*": exactness = 1
        default: return
        }
        guard exactness > preference.exactness else { return }
        preference = Preference(quality: quality, exactness: exactness, position: position)
    }

    /// The weight; 1 without one, and 0 for one that cannot be read.
    private static func quality(_ parameters: ArraySlice<String>) -> Double {
        guard let weight = parameters.last(where: { $0.lowercased().hasPrefix("q=") }) else {
            return 1
        }
        guard let value = Double(weight.dropFirst(2)), (0...1).contains(value) else { return 0 }
        return value
    }
}

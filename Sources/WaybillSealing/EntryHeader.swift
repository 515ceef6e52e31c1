/// The first line of an entry, which binds it to its bundle, device and part.
package struct EntryHeader: Sendable, Equatable {
    /// Lower case with hyphens.
    package var bundleID: String
    /// Lower case with hyphens.
    package var deviceID: String
    /// Counted from 1.
    package var part: Int
    package var parts: Int
    /// The lines after this one in this part.
    package var transactions: Int
    /// From 1, up by one for each bundle of the device; nil when the device does not count.
    package var deviceSequence: Int64?
    /// RFC 3339 with offset.
    package var sealedAt: String

    package init(
        bundleID: String, deviceID: String, part: Int = 1, parts: Int = 1, transactions: Int,
        deviceSequence: Int64? = nil, sealedAt: String
    ) {
        self.bundleID = bundleID
        self.deviceID = deviceID
        self.part = part
        self.parts = parts
        self.transactions = transactions
        self.deviceSequence = deviceSequence
        self.sealedAt = sealedAt
    }

    /// The line's JSON with its line feed.
    package func line() -> [UInt8] {
        var text = #"{"waybill":1,"bundle_id":"# + Self.quoted(bundleID)
        text += #","device_id":"# + Self.quoted(deviceID)
        text += #","part":\#(part),"parts":\#(parts),"transactions":\#(transactions)"#
        if let deviceSequence { text += #","device_seq":\#(deviceSequence)"# }
        text += #","sealed_at":"# + Self.quoted(sealedAt) + "}\n"
        return Array(text.utf8)
    }

    private static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\":
                quoted += "\\"
                quoted.unicodeScalars.append(scalar)
            case "\u{0}"..."\u{1f}":
                let digits = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}

/// A tenant's name on the wire: `[a-z0-9][a-z0-9-]{0,62}`.
package struct TenantSlug: Hashable, Sendable, CustomStringConvertible {
    package let text: String

    /// Nil unless the text has the form of a slug.
    package init?(_ text: some StringProtocol) {
        guard (1...63).contains(text.utf8.count), text.utf8.first != UInt8(ascii: "-"),
            text.utf8.allSatisfy({ byte in
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                    || byte == UInt8(ascii: "-")
            })
        else { return nil }
        self.text = String(text)
    }

    package var description: String { text }
}

extension TenantSlug: Codable {
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let slug = TenantSlug(try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(
                in: container, debugDescription: "a tenant is [a-z0-9][a-z0-9-]{0,62}")
        }
        self = slug
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }
}

/// A tenant's key in the database; never shown outside.
package struct TenantID: Hashable, Sendable, Comparable, CustomStringConvertible {
    package let number: Int32

    package init(_ number: Int32) {
        self.number = number
    }

    package var description: String { String(number) }

    package static func < (left: TenantID, right: TenantID) -> Bool {
        left.number < right.number
    }
}

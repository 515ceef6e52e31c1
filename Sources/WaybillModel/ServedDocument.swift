/// A text compiled into the program and served as it is.
package struct ServedDocument: Sendable {
    package let bytes: [UInt8]
    /// Of `Content-Type`.
    package let mediaType: String
    /// Of `ETag`, quotes included: other bytes, another tag.
    package let tag: String

    package init(bytes: [UInt8], mediaType: String) {
        self.bytes = bytes
        self.mediaType = mediaType
        tag = "\"\(Digest256.of(bytes).description.prefix(32))\""
    }

    /// Whether a client with this `If-None-Match` has the document already (RFC 9110, section
    /// 13.1.2: tags are compared weakly).
    package func isKnown(to condition: String?) -> Bool {
        guard let condition else { return false }
        if condition == "*" { return true }
        return condition.split(separator: ",").contains { entry in
            let given = entry.drop { $0 == " " }
            let strong = given.hasPrefix("W/") ? given.dropFirst(2) : given
            return strong.prefix { $0 != " " } == tag
        }
    }
}

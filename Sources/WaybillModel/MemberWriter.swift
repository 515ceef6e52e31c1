/// Writes the members of one JSON object, in the order given: RFC 8785 wants that of their names.
package struct MemberWriter {
    private var output: [UInt8]
    private var isFirst = true

    /// - Parameter capacity: about how many bytes there will be.
    package init(capacity: Int = 128) {
        output = []
        output.reserveCapacity(capacity)
        output.append(UInt8(ascii: "{"))
    }

    package mutating func text(_ name: String, _ value: String) {
        begin(name)
        CanonicalJSON.appendString(value, to: &output)
    }

    package mutating func number(_ name: String, _ value: Int64) {
        raw(name, String(value))
    }

    /// - Parameter value: JSON.
    package mutating func raw(_ name: String, _ value: String) {
        begin(name)
        output.append(contentsOf: value.utf8)
    }

    mutating func exceptions(_ exceptions: [ReceiptException]) {
        begin("exceptions")
        output.append(UInt8(ascii: "["))
        for (index, exception) in exceptions.enumerated() {
            if index > 0 { output.append(UInt8(ascii: ",")) }
            output.append(contentsOf: Self.encode(exception))
        }
        output.append(UInt8(ascii: "]"))
    }

    /// The object's text.
    package mutating func finish() -> [UInt8] {
        output.append(UInt8(ascii: "}"))
        return output
    }

    private mutating func begin(_ name: String) {
        if !isFirst { output.append(UInt8(ascii: ",")) }
        isFirst = false
        CanonicalJSON.appendString(name, to: &output)
        output.append(UInt8(ascii: ":"))
    }

    private static func encode(_ exception: ReceiptException) -> [UInt8] {
        var members = MemberWriter()
        switch exception {
        case .one(let index, let id, let outcome, let code, let detail):
            if let code { members.text("code", code) }
            if let detail { members.text("detail", detail) }
            if let id {
                members.text("id", id.description)
            } else {
                members.raw("id", "null")
            }
            members.number("index", Int64(index))
            members.text("outcome", outcome.rawValue)
        case .run(let from, let count, let outcome, let code):
            if let code { members.text("code", code) }
            members.number("count", Int64(count))
            members.number("from", Int64(from))
            members.text("outcome", outcome.rawValue)
        }
        return members.finish()
    }
}

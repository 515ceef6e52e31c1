package import WaybillModel

/// Finds members in the server's JSON answers without building trees: the receipts go on as they
/// stand, and of the rest a few values are needed.
///
/// In a string every quotation mark is escaped, so a member's name with its marks and a colon cannot
/// occur in one. The server's texts have no white space there; other writers' are followed too.
package enum AnswerText {
    /// The raw value of the first member `name`, a string without its marks; nil where it is missing.
    package static func value(
        of name: StaticString, in text: ArraySlice<UInt8>
    ) -> ArraySlice<UInt8>? {
        guard var position = valueStart(of: name, in: text) else { return nil }
        if text[position] == UInt8(ascii: "\"") {
            let start = position + 1
            position = start
            while position < text.endIndex, text[position] != UInt8(ascii: "\"") {
                position += text[position] == UInt8(ascii: "\\") ? 2 : 1
            }
            return position < text.endIndex ? text[start..<position] : nil
        }
        let start = position
        while position < text.endIndex, !isEnd(text[position]) { position += 1 }
        return text[start..<position]
    }

    package static func integer(of name: StaticString, in text: ArraySlice<UInt8>) -> Int64? {
        value(of: name, in: text).flatMap { Int64(String(decoding: $0, as: UTF8.self)) }
    }

    package static func string(of name: StaticString, in text: ArraySlice<UInt8>) -> String? {
        value(of: name, in: text).map { String(decoding: $0, as: UTF8.self) }
    }

    /// The objects of the array that is the first member `name`; nil where there is none, or the text
    /// ends in it.
    package static func objects(
        of name: StaticString, in text: ArraySlice<UInt8>
    ) -> [ArraySlice<UInt8>]? {
        guard var position = valueStart(of: name, in: text),
            text[position] == UInt8(ascii: "[")
        else { return nil }
        var found: [ArraySlice<UInt8>] = []
        var depth = 1
        var start = position
        position += 1
        while position < text.endIndex {
            switch text[position] {
            case UInt8(ascii: "\""):
                position += 1
                while position < text.endIndex, text[position] != UInt8(ascii: "\"") {
                    position += text[position] == UInt8(ascii: "\\") ? 2 : 1
                }
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                if depth == 1 { start = position }
                depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                if depth == 0 { return found }
                if depth == 1 { found.append(text[start...position]) }
            default: break
            }
            position += 1
        }
        return nil
    }

    private static func isEnd(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: ",") || byte == UInt8(ascii: "}") || byte == UInt8(ascii: "]")
            || byte <= 0x20
    }

    /// Where the value of the first member `name` begins.
    private static func valueStart(of name: StaticString, in text: ArraySlice<UInt8>) -> Int? {
        let length = name.utf8CodeUnitCount
        return text.withUnsafeBufferPointer { bytes -> Int? in
            var position = 0
            while position + length + 2 < bytes.count {
                guard bytes[position] == UInt8(ascii: "\""),
                    bytes[position + length + 1] == UInt8(ascii: "\""),
                    (0..<length).allSatisfy({ bytes[position + 1 + $0] == name.utf8Start[$0] }),
                    let start = afterColon(bytes, position + length + 2)
                else {
                    position += 1
                    continue
                }
                return text.startIndex + start
            }
            return nil
        }
    }

    private static func afterColon(
        _ bytes: UnsafeBufferPointer<UInt8>, _ position: Int
    ) -> Int? {
        var position = position
        var colons = 0
        while position < bytes.count {
            if bytes[position] == UInt8(ascii: ":"), colons == 0 {
                colons = 1
            } else if bytes[position] > 0x20 {
                return colons == 1 ? position : nil
            }
            position += 1
        }
        return nil
    }
}

/// The answer to `GET /v1/receipts`.
package struct ReceiptPage: Sendable {
    package struct Item: Sendable {
        package var sequence: Int64
        /// The server's time; nil where it cannot be read.
        package var settledAt: Timestamp?
        /// As it stood in the answer.
        package var bytes: ArraySlice<UInt8>
    }

    package var items: [Item]

    /// Nil where the answer is not a page of receipts.
    package init?(_ body: [UInt8]) {
        guard let objects = AnswerText.objects(of: "receipts", in: body[...]) else { return nil }
        items = []
        items.reserveCapacity(objects.count)
        for object in objects {
            guard let sequence = AnswerText.integer(of: "seq", in: object) else { return nil }
            let time = AnswerText.string(of: "settled_at", in: object)
            items.append(
                Item(
                    sequence: sequence, settledAt: time.flatMap { Timestamp(rfc3339: $0) },
                    bytes: object))
        }
    }
}

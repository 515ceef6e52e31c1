internal import SegmentedLog

extension FieldWriter {
    /// A text with its length in front, or that there is none; what is beyond 65,534 bytes is left out.
    mutating func text(_ text: String?) {
        guard let text else { return integer(Self.noText) }
        let bytes = text.utf8.prefix(Int(Self.noText) - 1)
        integer(UInt16(bytes.count))
        raw(bytes)
    }

    fileprivate static let noText: UInt16 = 0xffff
}

extension FieldReader {
    /// Nil at the end of the bytes, a nil inside for no text.
    mutating func text() -> String?? {
        guard let count = integer(UInt16.self) else { return nil }
        if count == FieldWriter.noText { return .some(nil) }
        guard let bytes = raw(Int(count)) else { return nil }
        return .some(String(decoding: bytes, as: UTF8.self))
    }
}

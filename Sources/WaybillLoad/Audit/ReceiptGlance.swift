package import WaybillModel

/// What the run must know of a receipt at once, read without building trees; it proves nothing.
///
/// The audit reads the same bytes strictly, after the measured time.
package struct ReceiptGlance: Sendable, Equatable {
    package var sequence: Int64
    package var bundleID: BundleID
    package var isSettled: Bool
    /// All zero for a quarantined bundle.
    package var counts = OutcomeCounts()
    package var supersedes: Int64?

    /// Nil where a member is missing or the bytes are no JSON object.
    package init?(_ bytes: UnsafeRawBufferPointer) {
        var sequence: Int64?
        var bundleID: BundleID?
        var state: Bool?
        var counts = OutcomeCounts()
        var supersedes: Int64?
        var scan = MemberScan(bytes)
        let isWhole = scan.members { name, value in
            switch name {
            case "seq": sequence = value.integer
            case "bundle_id": bundleID = value.plainText.flatMap { BundleID(ascii: $0) }
            case "state": state = value.is("settled")
            case "supersedes": supersedes = value.integer
            case "counts":
                var inner = MemberScan(value)
                return inner.members { name, value in
                    let count = Int(value.integer ?? 0)
                    switch name {
                    case "accepted": counts.accepted = count
                    case "duplicate": counts.duplicate = count
                    case "rejected": counts.rejected = count
                    case "conflict": counts.conflict = count
                    default: break
                    }
                    return true
                }
            default: break
            }
            return true
        }
        guard isWhole, let sequence, sequence > 0, let bundleID, let state else { return nil }
        self.sequence = sequence
        self.bundleID = bundleID
        isSettled = state
        self.counts = counts
        self.supersedes = supersedes
    }

    /// Where each receipt of a page (`{"receipts":[…],…}`) begins and ends; nil for other bytes.
    package static func documents(inPage bytes: UnsafeRawBufferPointer) -> [Range<Int>]? {
        var found: [Range<Int>]?
        var scan = MemberScan(bytes)
        let isWhole = scan.members { name, value in
            guard name == "receipts" else { return true }
            var inner = MemberScan(value)
            var ranges: [Range<Int>] = []
            let base = value.startOffset(in: bytes)
            let isWhole = inner.elements { range in
                ranges.append(range.lowerBound + base..<range.upperBound + base)
            }
            found = ranges
            return isWhole
        }
        return isWhole ? found : nil
    }
}

/// Goes over the members of one JSON object without judging what they hold.
struct MemberScan {
    private let bytes: UnsafeRawBufferPointer
    private var index = 0

    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    /// Calls `body` with each member's name and the bytes of its value.
    ///
    /// - Returns: false unless the bytes are one whole object and `body` always said true.
    mutating func members(
        _ body: (_ name: String, _ value: UnsafeRawBufferPointer) -> Bool
    ) -> Bool {
        guard take("{") else { return false }
        if take("}") { return isAtEnd }
        repeat {
            skipSpace()
            let start = index
            guard skipString(), index - start >= 2 else { return false }
            let name = String(decoding: bytes[start + 1..<index - 1], as: UTF8.self)
            guard take(":"), let value = skipValue(),
                body(name, UnsafeRawBufferPointer(rebasing: bytes[value]))
            else { return false }
        } while take(",")
        return take("}") && isAtEnd
    }

    /// Calls `body` with the range of each element of one array.
    mutating func elements(_ body: (Range<Int>) -> Void) -> Bool {
        guard take("[") else { return false }
        if take("]") { return isAtEnd }
        repeat {
            guard let value = skipValue() else { return false }
            body(value)
        } while take(",")
        return take("]") && isAtEnd
    }

    private mutating func skipValue() -> Range<Int>? {
        skipSpace()
        let start = index
        var depth = 0
        repeat {
            guard index < bytes.count else { return nil }
            switch bytes[index] {
            case UInt8(ascii: "\""):
                guard skipString() else { return nil }
                continue
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
            case UInt8(ascii: ","), UInt8(ascii: ":"), 0x20, 0x09, 0x0a, 0x0d: break
            default:
                // A number or a word: all of it, so that each turn goes on by a byte at least.
                repeat { index += 1 } while index < bytes.count && !Self.ends(bytes[index])
                continue
            }
            index += 1
        } while depth > 0
        return depth == 0 && index > start ? start..<index : nil
    }

    /// What a number or a word ends before.
    private static func ends(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: ","), UInt8(ascii: ":"), UInt8(ascii: "{"), UInt8(ascii: "}"),
            UInt8(ascii: "["), UInt8(ascii: "]"), UInt8(ascii: "\""), 0x20, 0x09, 0x0a, 0x0d:
            true
        default: false
        }
    }

    private mutating func skipString() -> Bool {
        guard index < bytes.count, bytes[index] == UInt8(ascii: "\"") else { return false }
        index += 1
        while index < bytes.count {
            switch bytes[index] {
            case UInt8(ascii: "\""):
                index += 1
                return true
            case UInt8(ascii: "\\"): index += 2
            default: index += 1
            }
        }
        return false
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        skipSpace()
        guard index < bytes.count, bytes[index] == UInt8(ascii: character) else { return false }
        index += 1
        return true
    }

    private var isAtEnd: Bool {
        mutating get {
            skipSpace()
            return index == bytes.count
        }
    }

    private mutating func skipSpace() {
        while index < bytes.count {
            switch bytes[index] {
            case 0x20, 0x09, 0x0a, 0x0d: index += 1
            default: return
            }
        }
    }
}

extension UnsafeRawBufferPointer {
    /// A whole number in decimal; nil for anything else.
    fileprivate var integer: Int64? {
        Int64(String(decoding: self, as: UTF8.self))
    }

    /// What stands between the quotes of a string without escapes.
    fileprivate var plainText: UnsafeRawBufferPointer? {
        guard count >= 2, first == UInt8(ascii: "\""), last == UInt8(ascii: "\"") else {
            return nil
        }
        return UnsafeRawBufferPointer(rebasing: self[1..<count - 1])
    }

    fileprivate func `is`(_ text: String) -> Bool {
        plainText.map { $0.elementsEqual(text.utf8) } ?? false
    }

    fileprivate func startOffset(in whole: UnsafeRawBufferPointer) -> Int {
        guard let start = baseAddress, let origin = whole.baseAddress else { return 0 }
        return start - origin
    }
}

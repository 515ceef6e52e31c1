/// Reads one line of strict JSON in one pass and leaves the line's canonical form behind.
///
/// Canonical form, equal for equal values and for no others: `n`, `t`, `f`; `s`, length in four
/// bytes, UTF-8; a number as `d0` or `d`, sign, power of ten in eight bytes, count of digits in
/// four, digits without zeros at either end; `[` elements `]`; `{` members `}`, each a key as a
/// string and its value, sorted by the key's length and bytes.
@safe struct LineScanner: ~Copyable {
    enum Kind { case string, number, object, array, boolean, null }

    /// A member of the line's object.
    struct Member {
        /// The canonical key.
        let key: Range<Int>
        /// The value's text in the line.
        let text: Range<Int>
        /// The canonical value.
        let value: Range<Int>
        let kind: Kind

        /// A string whose text, between its quotes, is its content: an escape is always longer.
        var isPlainString: Bool { kind == .string && text.count - 2 == value.count - 5 }
    }

    /// A member of an object within the line, in canonical form: its key, then its value.
    struct Span {
        let start: Int
        let keyEnd: Int
        let end: Int
    }

    var canonical = CanonicalBuffer()
    /// Members of the line's object that were read completely, also when the scan failed later.
    private(set) var members: [Member] = []
    /// The first fault that does not end the scan: the JSON is well-formed, but not acceptable.
    var weakness: LineFault?
    var position = 0
    private(set) var end = 0
    private var spans: [Span] = []
    private var sorted = CanonicalBuffer()
    /// Valid during `scan` only.
    private var start: UnsafePointer<UInt8>?
    private let depthMax: Int

    init(depthMax: Int) {
        self.depthMax = depthMax
    }

    /// Scans a whole line, whose bytes must stay in place during the call.
    mutating func scan(_ line: UnsafeRawBufferPointer) -> LineFault? {
        canonical.removeAll()
        members.removeAll(keepingCapacity: true)
        spans.removeAll(keepingCapacity: true)
        weakness = nil
        position = 0
        end = line.count
        unsafe start = line.baseAddress?.assumingMemoryBound(to: UInt8.self)
        defer { unsafe start = nil }
        do throws(LineFault) {
            try scanLine()
        } catch {
            guard case .json = error.code, unsafe !Self.isUTF8(line) else { return error }
            return LineFault(.utf8, "the line is not UTF-8")
        }
        return weakness
    }

    /// The byte at an offset below `end`.
    func byte(at offset: Int) -> UInt8 {
        assert(offset >= 0 && offset < end)
        // `scan` has set the pointer; without a line `end` is 0 and nothing asks.
        return unsafe start.unsafelyUnwrapped[offset]
    }

    /// Eight bytes from an offset at most `end - 8`.
    func word(at offset: Int) -> UInt64 {
        assert(offset >= 0 && offset + 8 <= end)
        return unsafe UnsafeRawPointer(start.unsafelyUnwrapped)
            .loadUnaligned(fromByteOffset: offset, as: UInt64.self)
    }

    mutating func appendText(_ range: Range<Int>) {
        guard !range.isEmpty else { return }
        assert(range.lowerBound >= 0 && range.upperBound <= end)
        unsafe canonical.append(start.unsafelyUnwrapped + range.lowerBound, count: range.count)
    }

    mutating func note(_ fault: LineFault) {
        if weakness == nil { weakness = fault }
    }

    private static func isUTF8(_ line: UnsafeRawBufferPointer) -> Bool {
        unsafe String(validating: line, as: UTF8.self) != nil
    }
}

// Structure.
extension LineScanner {
    private mutating func scanLine() throws(LineFault) {
        skipSpace()
        guard position < end else { throw LineFault(.json, "the line is empty") }
        guard byte(at: position) == UInt8(ascii: "{") else {
            throw LineFault(.json, "the line is not a JSON object")
        }
        try scanObject(depth: 1)
        skipSpace()
        guard position == end else { throw LineFault(.json, "text follows the object") }
    }

    private mutating func skipSpace() {
        while position < end {
            switch byte(at: position) {
            case 0x20, 0x09, 0x0a, 0x0d: position += 1
            default: return
            }
        }
    }

    private mutating func scanValue(depth: Int) throws(LineFault) -> Kind {
        guard position < end else { throw LineFault(.json, "a value is missing") }
        switch byte(at: position) {
        case UInt8(ascii: "\""):
            position += 1
            try scanString()
            return .string
        case UInt8(ascii: "{"):
            try scanObject(depth: depth)
            return .object
        case UInt8(ascii: "["):
            try scanArray(depth: depth)
            return .array
        case UInt8(ascii: "t"):
            try scanWord("true")
            return .boolean
        case UInt8(ascii: "f"):
            try scanWord("false")
            return .boolean
        case UInt8(ascii: "n"):
            try scanWord("null")
            return .null
        default:
            try scanNumber()
            return .number
        }
    }

    private mutating func scanWord(_ word: StaticString) throws(LineFault) {
        let count = word.utf8CodeUnitCount
        guard end - position >= count,
            (0..<count).allSatisfy({ unsafe byte(at: position + $0) == word.utf8Start[$0] })
        else { throw LineFault(.json, "a value is not JSON") }
        canonical.append(byte(at: position))
        position += count
    }

    private mutating func scanArray(depth: Int) throws(LineFault) {
        guard depth <= depthMax else { throw LineFault(.tooDeep, "the JSON is nested too deep") }
        canonical.append(UInt8(ascii: "["))
        position += 1
        skipSpace()
        if position < end, byte(at: position) == UInt8(ascii: "]") {
            position += 1
        } else {
            repeat {
                skipSpace()
                _ = try scanValue(depth: depth + 1)
                skipSpace()
            } while try !isLast(closing: UInt8(ascii: "]"))
        }
        canonical.append(UInt8(ascii: "]"))
    }

    private mutating func scanObject(depth: Int) throws(LineFault) {
        guard depth <= depthMax else { throw LineFault(.tooDeep, "the JSON is nested too deep") }
        canonical.append(UInt8(ascii: "{"))
        position += 1
        let first = spans.count
        skipSpace()
        if position < end, byte(at: position) == UInt8(ascii: "}") {
            position += 1
        } else {
            repeat {
                skipSpace()
                try scanMember(depth: depth)
                skipSpace()
            } while try !isLast(closing: UInt8(ascii: "}"))
            sortMembers(from: first, isLine: depth == 1)
            spans.removeSubrange(first...)
        }
        canonical.append(UInt8(ascii: "}"))
    }

    private mutating func scanMember(depth: Int) throws(LineFault) {
        guard position < end, byte(at: position) == UInt8(ascii: "\"") else {
            throw LineFault(.json, "a member has no name")
        }
        position += 1
        let keyStart = canonical.count
        try scanString()
        let keyEnd = canonical.count
        skipSpace()
        guard position < end, byte(at: position) == UInt8(ascii: ":") else {
            throw LineFault(.json, "a member has no colon")
        }
        position += 1
        skipSpace()
        let valueStart = position
        let kind = try scanValue(depth: depth + 1)
        spans.append(Span(start: keyStart, keyEnd: keyEnd, end: canonical.count))
        if depth == 1 {
            members.append(
                Member(
                    key: keyStart..<keyEnd, text: valueStart..<position,
                    value: keyEnd..<canonical.count, kind: kind))
        }
    }

    private mutating func isLast(closing: UInt8) throws(LineFault) -> Bool {
        guard position < end else { throw LineFault(.json, "the line is cut off") }
        let next = byte(at: position)
        guard next == closing || next == UInt8(ascii: ",") else {
            throw LineFault(.json, "a comma is missing")
        }
        position += 1
        return next == closing
    }
}

// Order of members.
extension LineScanner {
    /// Finds duplicate keys and brings the members into canonical order; those of the line itself
    /// stay where they are.
    private mutating func sortMembers(from first: Int, isLine: Bool) {
        let base = unsafe UnsafeRawPointer(canonical.base)
        func order(_ left: Span, _ right: Span) -> Int {
            // With three bytes of both keys behind their lengths, mostly all is said.
            if left.keyEnd - left.start >= 8, right.keyEnd - right.start >= 8 {
                let first = unsafe UInt64(
                    bigEndian: (base + left.start).loadUnaligned(as: UInt64.self))
                let second = unsafe UInt64(
                    bigEndian: (base + right.start).loadUnaligned(as: UInt64.self))
                if first != second { return first < second ? -1 : 1 }
            }
            // A key begins with its length, so the shorter common part decides unless equal.
            let count = min(left.keyEnd - left.start, right.keyEnd - right.start)
            return unsafe Int(compare(base + left.start, base + right.start, count))
        }
        var isAscending = true
        var index = first + 1
        while index < spans.count {
            if order(spans[index - 1], spans[index]) >= 0 {
                isAscending = false
                break
            }
            index += 1
        }
        guard !isAscending else { return }
        let objectStart = spans[first].start
        if spans.count - first <= 16 {
            insertionSort(from: first, by: order)
        } else {
            spans[first...].sort { order($0, $1) < 0 }
        }
        for index in first + 1..<spans.count where order(spans[index - 1], spans[index]) == 0 {
            note(LineFault(.duplicateKey, "an object has a key twice"))
        }
        guard !isLine else { return }
        sorted.removeAll()
        for span in spans[first...] {
            unsafe sorted.append(base + span.start, count: span.end - span.start)
        }
        canonical.replace(at: objectStart, with: sorted)
    }

    private mutating func insertionSort(from first: Int, by order: (Span, Span) -> Int) {
        for index in first + 1..<spans.count {
            let span = spans[index]
            var place = index
            while place > first, order(span, spans[place - 1]) < 0 {
                spans[place] = spans[place - 1]
                place -= 1
            }
            spans[place] = span
        }
    }
}

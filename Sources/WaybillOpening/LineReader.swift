/// Reads an entry line by line: first its header, which must fit the delivery, then transactions.
///
/// Memory is that of a few lines, whatever the entry's size. Calls block and compute as those of
/// the opener do. One thread at a time.
package final class LineReader {
    /// Known after the first call of `open` or `next`.
    package private(set) var header = ParsedHeader(transactions: 0)

    private let opener: PartOpener
    private let binding: ExpectedBinding
    private let limits: OpeningLimits
    private var reader: TransactionReader
    private var hasHeader = false
    /// Lines after the header that were read so far.
    private var lineCount = 0
    /// Inflated bytes from the last reads; those before `position` are used up.
    private var buffer: [UInt8] = []
    private var position = 0
    private var isAtEnd = false

    private static let chunkCount = 256 << 10

    package init(
        opener: PartOpener, binding: ExpectedBinding, limits: OpeningLimits, hasher: ContentHasher
    ) {
        self.opener = opener
        self.binding = binding
        self.limits = limits
        reader = TransactionReader(depthMax: limits.depthMax, hasher: hasher)
    }

    /// The next lines: at least one, up to `maxLines`, and no more once `maxBytes` are reached;
    /// none at the end.
    ///
    /// The first call reads the header as well. Throws `.headerInvalid` or `.bindingMismatch` for
    /// a header that is none, does not fit or counts other lines than there are; and what the
    /// opener throws. Nothing of a part should be kept before the end was reached without error.
    package func next(maxLines: Int, maxBytes: Int) throws(OpeningError) -> [EntryLine] {
        var lines: [EntryLine] = []
        _ = try read(maxLines: maxLines, maxBytes: maxBytes) { lines.append($0) }
        return lines
    }

    /// As ``next(maxLines:maxBytes:)``, but hands over line by line, and says how many there were.
    package func read(
        maxLines: Int, maxBytes: Int, _ take: (EntryLine) -> Void
    ) throws(OpeningError) -> Int {
        try open()
        var count = 0
        var byteCount = 0
        while count < max(1, maxLines), byteCount < maxBytes || count == 0 {
            guard let line = try nextLine() else {
                guard lineCount == header.transactions else {
                    throw .bindingMismatch(
                        "the header's transactions counts more lines than there are")
                }
                break
            }
            guard lineCount < header.transactions else {
                throw .bindingMismatch(
                    "the header's transactions counts fewer lines than there are")
            }
            let result =
                line.isOverlong
                ? reader.readOverlong(line.text, line.range) : reader.read(line.text, line.range)
            take(EntryLine(index: lineCount, result: result, text: line.text, range: line.range))
            lineCount += 1
            count += 1
            byteCount += line.range.count
        }
        return count
    }

    /// Reads the header if it has not been read; throws as the first call of `next` does.
    package func open() throws(OpeningError) {
        guard !hasHeader else { return }
        try readHeader()
        hasHeader = true
    }

    private func readHeader() throws(OpeningError) {
        guard let line = try nextLine() else { throw .headerInvalid("the entry is empty") }
        guard !line.isOverlong else { throw .headerInvalid("the line is over the limit") }
        let bytes = line.text[line.range]
        guard !bytes.starts(with: [0xef, 0xbb, 0xbf]) else {
            throw .headerInvalid("the entry begins with a byte order mark")
        }
        header = try HeaderReader.read(bytes, binding: binding, depthMax: limits.depthMax)
    }

    private struct RawLine {
        /// What holds the line.
        let text: [UInt8]
        let range: Range<Int>
        let isOverlong: Bool
    }

    /// The next line without its line feed; nil at the end. The last line feed is optional.
    private func nextLine() throws(OpeningError) -> RawLine? {
        var searched = 0
        while true {
            if let count = lineFeed(from: position + searched) {
                let start = position
                position += searched + count + 1
                return rawLine(from: start, count: searched + count)
            }
            let rest = buffer.count - position
            if rest > limits.recordBytesMax {
                let text = buffer
                let range = position..<position + limits.recordBytesMax
                try skipToLineFeed()
                return RawLine(text: text, range: range, isOverlong: true)
            }
            searched = rest
            if isAtEnd {
                guard rest > 0 else { return nil }
                let start = position
                position = buffer.count
                return rawLine(from: start, count: rest)
            }
            try refill(keeping: rest)
        }
    }

    private func rawLine(from start: Int, count: Int) -> RawLine {
        let kept = min(count, limits.recordBytesMax)
        return RawLine(text: buffer, range: start..<start + kept, isOverlong: count > kept)
    }

    private func lineFeed(from start: Int) -> Int? {
        unsafe buffer.withUnsafeBytes { bytes in
            unsafe lineFeedOffset(in: UnsafeRawBufferPointer(rebasing: bytes[start...]))
        }
    }

    /// Reads on, at least doubling what is kept, so that a long line is copied few times.
    private func refill(keeping rest: Int) throws(OpeningError) {
        buffer = try opener.read(
            upTo: max(Self.chunkCount, rest), after: buffer[buffer.count - rest..<buffer.count])
        position = 0
        isAtEnd = buffer.count == rest
    }

    private func skipToLineFeed() throws(OpeningError) {
        while true {
            try refill(keeping: 0)
            if let count = lineFeed(from: 0) {
                position = count + 1
                return
            }
            if isAtEnd { return }
            position = buffer.count
        }
    }
}

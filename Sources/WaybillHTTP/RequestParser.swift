package import NIOCore

/// Cuts a connection's bytes into requests: heads, pieces of bodies, ends.
///
/// Strict and without a network; never looks at a body's bytes, and copies none.
package struct RequestParser {
    package enum Part: Equatable {
        case head(RequestHead)
        case body(ByteBuffer)
        case end
    }

    private enum Phase {
        case head
        case counted(Int)
        case chunkSize
        case chunk(Int)
        case chunkEnd
        case trailers
        /// The request is complete; its end was not handed out yet.
        case complete
    }

    private let limits: ConnectionLimits
    private let scheme: String
    private var phase = Phase.head
    private var buffer = ByteBuffer()
    private var scan = LineScan()
    private var emptyLines = 0
    /// Bytes of chunk extensions in this body.
    private var extensionBytes = 0

    /// An empty line or two before a request are left out (RFC 9112, section 2.2).
    private static let emptyLinesMax = 2
    private static let extensionBytesMax = 1 << 10
    private static let sizeDigitsMax = 16

    package init(limits: ConnectionLimits, scheme: String) {
        self.limits = limits
        self.scheme = scheme
    }

    /// Bytes that wait to be looked at.
    package var pendingBytes: Int { buffer.readableBytes }

    package mutating func append(_ bytes: ByteBuffer) {
        if buffer.readableBytes == 0 {
            buffer = bytes
        } else {
            buffer.discardReadBytes()
            buffer.writeImmutableBuffer(bytes)
        }
    }

    /// The next part; nil until there are more bytes.
    ///
    /// - Throws: a fault, after which nothing more can be read.
    package mutating func next() throws(RequestFault) -> Part? {
        while true {
            switch phase {
            case .head:
                return try head().map { .head($0) }
            case .counted(let count):
                guard let piece = take(count) else { return nil }
                phase =
                    piece.readableBytes == count ? .complete : .counted(count - piece.readableBytes)
                return .body(piece)
            case .chunkSize:
                guard let size = try chunkSize() else { return nil }
                scan = LineScan()
                phase = size == 0 ? .trailers : .chunk(size)
            case .chunk(let count):
                guard let piece = take(count) else { return nil }
                phase =
                    piece.readableBytes == count ? .chunkEnd : .chunk(count - piece.readableBytes)
                return .body(piece)
            case .chunkEnd:
                guard try lineEnd() else { return nil }
                phase = .chunkSize
            case .trailers:
                guard try trailers() else { return nil }
                phase = .complete
            case .complete:
                phase = .head
                scan = LineScan()
                emptyLines = 0
                extensionBytes = 0
                if buffer.readableBytes == 0 { buffer = ByteBuffer() }
                return .end
            }
        }
    }

    private mutating func head() throws(RequestFault) -> RequestHead? {
        while buffer.readableBytes > 0 {
            guard canBegin else { throw .requestLine }
            switch find(mayBeEmpty: false) {
            case .incomplete: return nil
            case .fault(let fault): throw fault
            case .leadingEmptyLine:
                emptyLines += 1
                guard emptyLines <= Self.emptyLinesMax else { throw .requestLine }
                buffer.moveReaderIndex(forwardBy: 2)
                scan = LineScan()
            case .end(let end):
                return try read(end)
            }
        }
        return nil
    }

    private mutating func read(_ end: Int) throws(RequestFault) -> RequestHead {
        let scheme = scheme
        let result = buffer.withUnsafeReadableBytes { bytes in
            Result { () throws(RequestFault) -> RequestHead in
                var reader = HeadReader(
                    UnsafeRawBufferPointer(rebasing: bytes[..<end]), scheme: scheme)
                return try reader.read()
            }
        }
        let head = try result.get()
        buffer.moveReaderIndex(forwardBy: end)
        switch head.framing {
        case .none: phase = .complete
        case .length(let count): phase = .counted(count)
        case .chunked: phase = .chunkSize
        }
        return head
    }

    /// Whether the first bytes can begin a request at all: a TLS hello cannot.
    private var canBegin: Bool {
        guard let first: UInt8 = buffer.getInteger(at: buffer.readerIndex) else { return true }
        return Octets.isToken(first) || first == Octets.carriageReturn
    }

    private mutating func find(mayBeEmpty: Bool) -> LineScan.Outcome {
        var scan = scan
        let outcome = buffer.withUnsafeReadableBytes { bytes in
            scan.find(
                in: bytes, mayBeEmpty: mayBeEmpty, linesMax: limits.fieldsMax + 1,
                bytesMax: limits.headBytesMax)
        }
        self.scan = scan
        return outcome
    }

    // MARK: Chunks

    private mutating func take(_ count: Int) -> ByteBuffer? {
        let available = min(count, buffer.readableBytes)
        guard available > 0 else { return nil }
        return buffer.readSlice(length: available)
    }

    /// The size in a chunk's first line; nil until the line is complete.
    private mutating func chunkSize() throws(RequestFault) -> Int? {
        let view = buffer.readableBytesView
        let lineMax = Self.sizeDigitsMax + Self.extensionBytesMax + 2
        guard let lineFeed = view.prefix(lineMax).firstIndex(of: Octets.lineFeed) else {
            guard view.count < lineMax, canBeSize(view) else { throw .chunk }
            return nil
        }
        let line = view[..<lineFeed]
        guard line.last == Octets.carriageReturn else { throw .chunk }
        var size = 0
        var digits = 0
        var rest = line.dropLast()
        while let byte = rest.first, let digit = Octets.hexadecimalDigit(byte) {
            digits += 1
            guard digits <= Self.sizeDigitsMax, size < 1 << 58 else { throw .chunk }
            size = size << 4 | digit
            rest.removeFirst()
        }
        guard digits > 0, rest.isEmpty || rest.first == UInt8(ascii: ";"),
            rest.allSatisfy(Octets.isValue)
        else { throw .chunk }
        extensionBytes += rest.count
        guard extensionBytes <= Self.extensionBytesMax else { throw .chunk }
        buffer.moveReaderIndex(to: lineFeed + 1)
        return size
    }

    /// Whether an incomplete line can still become a size: nobody waits for one that cannot.
    private func canBeSize(_ view: ByteBufferView) -> Bool {
        let digits = view.prefix { Octets.hexadecimalDigit($0) != nil }
        guard digits.count <= Self.sizeDigitsMax else { return false }
        let rest = view.dropFirst(digits.count)
        guard let next = rest.first else { return true }
        guard !digits.isEmpty, next == UInt8(ascii: ";") || next == Octets.carriageReturn else {
            return false
        }
        return rest.dropLast().allSatisfy(Octets.isValue)
    }

    /// Takes CR LF; false until both are there.
    private mutating func lineEnd() throws(RequestFault) -> Bool {
        let index = buffer.readerIndex
        guard let first: UInt8 = buffer.getInteger(at: index) else { return false }
        guard first == Octets.carriageReturn else { throw .chunk }
        guard let second: UInt8 = buffer.getInteger(at: index + 1) else { return false }
        guard second == Octets.lineFeed else { throw .chunk }
        buffer.moveReaderIndex(forwardBy: 2)
        return true
    }

    /// Takes the trailer section, which is checked and dropped; false until it is complete.
    ///
    /// - Throws: ``RequestFault/lateDigest`` for what must not be dropped.
    private mutating func trailers() throws(RequestFault) -> Bool {
        guard buffer.readableBytes > 0 else { return false }
        switch find(mayBeEmpty: true) {
        case .incomplete, .leadingEmptyLine: return false
        case .fault(let fault): throw fault
        case .end(let end):
            let fault = buffer.withUnsafeReadableBytes { bytes in
                bytes[..<(end - 2)].split(separator: Octets.lineFeed).lazy
                    .compactMap(Self.fault(of:)).first
            }
            if let fault { throw fault }
            buffer.moveReaderIndex(forwardBy: end)
            return true
        }
    }

    /// What is wrong with a trailer field.
    private static func fault(of line: Slice<UnsafeRawBufferPointer>) -> RequestFault? {
        let name = line.prefix(while: Octets.isToken)
        let rest = line.dropFirst(name.count)
        guard !name.isEmpty, rest.first == Octets.colon,
            rest.dropLast().allSatisfy(Octets.isValue)
        else { return .field }
        return HeadReader.isDigest(name) ? .lateDigest : nil
    }
}

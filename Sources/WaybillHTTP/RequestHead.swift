package import HTTPTypes

/// A request without its body, and how its body is framed.
package struct RequestHead: Sendable, Equatable {
    package enum Framing: Sendable, Equatable {
        case none
        case length(Int)
        case chunked
    }

    package var request: HTTPRequest
    package var framing: Framing
    /// Whether the sender wants to send another request on the connection.
    package var keepsAlive: Bool
    /// False for HTTP/1.0, which knows no chunks.
    package var isVersion11: Bool
}

/// Reads one complete head, strictly: what is not exactly RFC 9112 is refused, so that nobody in
/// front of this server can read the same bytes in another way.
struct HeadReader {
    private let bytes: UnsafeRawBufferPointer
    private let scheme: String

    private var fields = HTTPFields()
    private var host: String?
    private var contentLength: Int?
    private var isChunked = false
    private var wantsClose = false
    private var wantsKeepAlive = false

    /// - Parameter bytes: from the method to the empty line; each line is known to end with CR LF.
    init(_ bytes: UnsafeRawBufferPointer, scheme: String) {
        self.bytes = bytes
        self.scheme = scheme
    }

    mutating func read() throws(RequestFault) -> RequestHead {
        var lineStart = 0
        let requestLine = line(&lineStart)
        var fieldCount = 0
        while true {
            let field = line(&lineStart)
            if field.isEmpty { break }
            fieldCount += 1
            if fieldCount == 1 { fields.reserveCapacity(12) }
            try read(field)
        }
        return try finish(requestLine)
    }

    /// The line at an offset, without its end; moves the offset behind it.
    private func line(_ start: inout Int) -> Slice<UnsafeRawBufferPointer> {
        var end = start
        while end < bytes.count, bytes[end] != Octets.lineFeed { end += 1 }
        let line = bytes[start..<max(start, end - 1)]
        start = min(bytes.count, end + 1)
        return line
    }

    // MARK: The request line

    private mutating func finish(
        _ line: Slice<UnsafeRawBufferPointer>
    ) throws(RequestFault) -> RequestHead {
        guard let first = line.firstIndex(of: Octets.space),
            let last = line.lastIndex(of: Octets.space), first < last
        else { throw .requestLine }
        let isVersion11 = try Self.isVersion11(line[(last + 1)...])
        guard let method = method(line[..<first]) else { throw .requestLine }
        let target = line[(first + 1)..<last]
        guard !target.isEmpty, target.allSatisfy(Octets.isTarget) else { throw .target }
        guard host != nil || !isVersion11 else { throw .host }
        guard !isChunked || isVersion11 else { throw .transferEncoding }
        guard !isChunked || contentLength == nil else { throw .contentLength }
        let (authority, path) = try parse(target, method)
        // A client of HTTP/1.0 knows no `100 Continue` (RFC 9110, section 10.1.1).
        if !isVersion11 { fields[.expect] = nil }
        let framing: RequestHead.Framing =
            isChunked ? .chunked : contentLength.map { $0 == 0 ? .none : .length($0) } ?? .none
        return RequestHead(
            request: HTTPRequest(
                method: method, scheme: scheme, authority: authority ?? host, path: path,
                headerFields: fields),
            framing: framing, keepsAlive: !wantsClose && (isVersion11 || wantsKeepAlive),
            isVersion11: isVersion11)
    }

    private static func isVersion11(
        _ text: Slice<UnsafeRawBufferPointer>
    ) throws(RequestFault) -> Bool {
        if text.elementsEqual("HTTP/1.1".utf8) { return true }
        if text.elementsEqual("HTTP/1.0".utf8) { return false }
        throw text.starts(with: "HTTP/".utf8) ? .version : .requestLine
    }

    private func method(_ text: Slice<UnsafeRawBufferPointer>) -> HTTPRequest.Method? {
        if text.elementsEqual("POST".utf8) { return .post }
        if text.elementsEqual("GET".utf8) { return .get }
        guard text.count <= 32 else { return nil }
        return HTTPRequest.Method(String(decoding: text, as: UTF8.self))
    }

    /// A path as it is; of `http://host/path` host and path, since the target beats `Host`.
    private func parse(
        _ target: Slice<UnsafeRawBufferPointer>, _ method: HTTPRequest.Method
    ) throws(RequestFault) -> (authority: String?, path: String) {
        let text = String(decoding: target, as: UTF8.self)
        if target.first == UInt8(ascii: "/") { return (nil, text) }
        if text == "*", method == .options { return (nil, text) }
        if method == .connect, target.allSatisfy(Octets.isHost) { return (text, "/") }
        let lowercased = text.prefix(8).lowercased()
        let schemeLength =
            lowercased == "https://" ? 8 : lowercased.hasPrefix("http://") ? 7 : 0
        guard schemeLength > 0 else { throw .target }
        let rest = text.dropFirst(schemeLength)
        let authority = rest.prefix { $0 != "/" && $0 != "?" }
        guard !authority.isEmpty, authority.utf8.allSatisfy(Octets.isHost) else { throw .target }
        let path = rest[authority.endIndex...]
        return (String(authority), path.hasPrefix("/") ? String(path) : "/" + path)
    }

    // MARK: Fields

    private mutating func read(_ line: Slice<UnsafeRawBufferPointer>) throws(RequestFault) {
        guard let first = line.first else { return }
        if Octets.isBlank(first) { throw .foldedField }
        var colon = line.startIndex
        while colon < line.endIndex, Octets.isToken(line[colon]) { colon += 1 }
        guard colon > line.startIndex, colon < line.endIndex, line[colon] == Octets.colon else {
            throw .field
        }
        let name = line[..<colon]
        var value = line[(colon + 1)...]
        while let byte = value.first, Octets.isBlank(byte) { value.removeFirst() }
        while let byte = value.last, Octets.isBlank(byte) { value.removeLast() }
        guard value.allSatisfy(Octets.isValue) else { throw .field }
        switch name.count {
        case 4 where Octets.equal(name, "host"):
            try readHost(value)
            return
        case 7 where Octets.equal(name, "trailer"):
            guard !Self.announcesDigest(value) else { throw .lateDigest }
        case 10 where Octets.equal(name, "connection"): readConnection(value)
        case 14 where Octets.equal(name, "content-length"): try readLength(value)
        case 17 where Octets.equal(name, "transfer-encoding"):
            guard !isChunked, Octets.equal(value, "chunked") else { throw .transferEncoding }
            isChunked = true
        default: break
        }
        guard let known = FieldNames.find(name) else { throw .field }
        fields.append(HTTPField(name: known, value: String(decoding: value, as: UTF8.self)))
    }

    private mutating func readHost(_ value: Slice<UnsafeRawBufferPointer>) throws(RequestFault) {
        guard host == nil, value.allSatisfy(Octets.isHost) else { throw .host }
        host = String(decoding: value, as: UTF8.self)
    }

    private mutating func readLength(_ value: Slice<UnsafeRawBufferPointer>) throws(RequestFault) {
        guard contentLength == nil, !value.isEmpty, value.count <= 19 else { throw .contentLength }
        var length = 0
        for byte in value {
            guard let digit = Octets.digit(byte) else { throw .contentLength }
            let tens = length.multipliedReportingOverflow(by: 10)
            let sum = tens.partialValue.addingReportingOverflow(digit)
            guard !tens.overflow, !sum.overflow else { throw .contentLength }
            length = sum.partialValue
        }
        contentLength = length
    }

    /// Whether `Trailer` names a digest.
    private static func announcesDigest(_ value: Slice<UnsafeRawBufferPointer>) -> Bool {
        value.split(whereSeparator: { Octets.isBlank($0) || $0 == UInt8(ascii: ",") })
            .contains(where: isDigest)
    }

    /// Whether a field of this name is a digest that is to be checked.
    static func isDigest(_ name: Slice<UnsafeRawBufferPointer>) -> Bool {
        Octets.equal(name, "content-digest") || Octets.equal(name, "repr-digest")
    }

    private mutating func readConnection(_ value: Slice<UnsafeRawBufferPointer>) {
        for option in value.split(separator: UInt8(ascii: ",")) {
            let word = option.drop(while: Octets.isBlank)
            let end = word.lastIndex { !Octets.isBlank($0) }.map { $0 + 1 } ?? word.startIndex
            if Octets.equal(word[..<end], "close") { wantsClose = true }
            if Octets.equal(word[..<end], "keep-alive") { wantsKeepAlive = true }
        }
    }
}

/// Names that come with nearly every request, made once.
enum FieldNames {
    private static let common: [[(bytes: [UInt8], name: HTTPField.Name)]] = {
        var byLength = [[(bytes: [UInt8], name: HTTPField.Name)]](repeating: [], count: 32)
        for text in [
            "accept", "accept-encoding", "authorization", "connection", "content-digest",
            "content-encoding", "content-length", "content-type", "expect", "idempotency-key",
            "last-event-id", "repr-digest", "traceparent", "transfer-encoding", "upload-complete",
            "upload-length", "upload-offset", "user-agent", "waybill-epoch", "x-forwarded-for",
        ] {
            guard let name = HTTPField.Name(text) else { continue }
            byLength[text.utf8.count].append((Array(text.utf8), name))
        }
        return byLength
    }()

    static func find(_ name: Slice<UnsafeRawBufferPointer>) -> HTTPField.Name? {
        if name.count < common.count {
            for entry in common[name.count]
            where zip(name, entry.bytes).allSatisfy({ Octets.lower($0) == $1 }) {
                return entry.name
            }
        }
        return HTTPField.Name(String(decoding: name, as: UTF8.self))
    }
}

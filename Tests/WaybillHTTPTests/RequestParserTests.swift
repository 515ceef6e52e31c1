import HTTPTypes
import NIOCore
import Testing
import WaybillHTTP

/// What a parser makes of some bytes: the parts, and the fault that ended it.
private struct Reading: Equatable {
    var heads: [RequestHead] = []
    var body: [UInt8] = []
    var endCount = 0
    var fault: RequestFault?

    init(_ text: String, limits: ConnectionLimits = ConnectionLimits(), pieceBytes: Int = .max) {
        self.init(Array(text.utf8), limits: limits, pieceBytes: pieceBytes)
    }

    init(_ bytes: [UInt8], limits: ConnectionLimits = ConnectionLimits(), pieceBytes: Int = .max) {
        var parser = RequestParser(limits: limits, scheme: "http")
        var rest = bytes[...]
        do {
            repeat {
                parser.append(ByteBuffer(bytes: rest.prefix(pieceBytes)))
                rest = rest.dropFirst(pieceBytes)
                while let part = try parser.next() {
                    switch part {
                    case .head(let head): heads.append(head)
                    case .body(let piece): body += Array(piece.readableBytesView)
                    case .end: endCount += 1
                    }
                }
            } while !rest.isEmpty
        } catch {
            fault = error
        }
    }
}

@Suite struct RequestParserTests {
    private static func request(_ fields: String, body: String = "") -> String {
        "POST /v1/bundles HTTP/1.1\r\nHost: a.example\r\n\(fields)\r\n\(body)"
    }

    @Test func readsARequestWithItsBody() throws {
        let reading = Reading(
            Self.request("content-LENGTH:  5 \r\nX-Odd: a\tb, \u{e9}\r\n", body: "hello"))
        let head = try #require(reading.heads.first)
        #expect(head.request.method == .post)
        #expect(head.request.path == "/v1/bundles")
        #expect(head.request.authority == "a.example")
        #expect(head.request.headerFields[.contentLength] == "5")
        #expect(head.request.headerFields.count == 2)
        #expect(head.framing == .length(5))
        #expect(head.keepsAlive && head.isVersion11)
        #expect(reading.body == Array("hello".utf8))
        #expect(reading.endCount == 1)
        #expect(reading.fault == nil)
    }

    /// What would be dropped unchecked is refused: announced at once, else where it comes.
    @Test func takesNoDigestInATrailer() {
        for name in ["Content-Digest", "repr-digest"] {
            let announced = Reading(
                Self.request("Transfer-Encoding: chunked\r\nTrailer: X-A,\t\(name)\r\n"))
            #expect(announced.fault == .lateDigest)
            #expect(announced.heads.isEmpty)
            let sent = Reading(
                Self.request(
                    "Transfer-Encoding: chunked\r\n",
                    body: "1\r\na\r\n0\r\nX-A: 1\r\n\(name): sha-256=:AA==:\r\n\r\n"))
            #expect(sent.fault == .lateDigest)
            #expect(sent.endCount == 0)
        }
        let other = Reading(
            Self.request(
                "Transfer-Encoding: chunked\r\nTrailer: X-Digest\r\n",
                body: "1\r\na\r\n0\r\nX-Digest: 1\r\n\r\n"))
        #expect(other.fault == nil)
        #expect(other.endCount == 1)
    }

    @Test func readsChunksAndDropsTrailers() {
        let reading = Reading(
            Self.request(
                "Transfer-Encoding: Chunked\r\n",
                body: "5;a=b\r\nhello\r\n00A\r\n0123456789\r\n0\r\nX-Trailer: 1\r\n\r\n"))
        #expect(reading.heads.first?.framing == .chunked)
        #expect(reading.body == Array("hello0123456789".utf8))
        #expect(reading.endCount == 1)
        #expect(reading.fault == nil)
    }

    @Test(arguments: [1, 2, 3, 7, 64])
    func anyCutOfTheBytesReadsTheSame(pieceBytes: Int) {
        let text =
            Self.request("Content-Length: 3\r\n", body: "abc") + "\r\n"
            + "GET /v1/device?a=b HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n"
            + Self.request("Transfer-Encoding: chunked\r\n", body: "2\r\nde\r\n0\r\n\r\n")
        let whole = Reading(text)
        #expect(whole.heads.count == 3)
        #expect(whole.endCount == 3)
        #expect(whole.body == Array("abcde".utf8))
        #expect(whole.heads.map(\.keepsAlive) == [true, false, true])
        #expect(Reading(text, pieceBytes: pieceBytes) == whole)
    }

    /// Content-Length with Transfer-Encoding; two lengths; `+5`, `0x5`, `-1`, 2^64; `chunked,
    /// identity`, `xchunked`, chunked twice: refused, and so is what looks like them.
    @Test(arguments: [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", RequestFault.contentLength),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", .contentLength),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", .contentLength),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", .contentLength),
        ("Content-Length: 5, 5\r\n", .contentLength),
        ("Content-Length: +5\r\n", .contentLength), ("Content-Length: 0x5\r\n", .contentLength),
        ("Content-Length: -1\r\n", .contentLength), ("Content-Length:\r\n", .contentLength),
        ("Content-Length: 5 5\r\n", .contentLength),
        ("Content-Length: 18446744073709551616\r\n", .contentLength),
        ("Content-Length: 9223372036854775808\r\n", .contentLength),
        ("Transfer-Encoding: chunked, identity\r\n", .transferEncoding),
        ("Transfer-Encoding: xchunked\r\n", .transferEncoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", .transferEncoding),
        ("Transfer-Encoding: chunked, chunked\r\n", .transferEncoding),
        ("Transfer-Encoding: gzip, chunked\r\n", .transferEncoding),
        ("Transfer-Encoding: identity\r\n", .transferEncoding),
        ("Transfer-Encoding:\r\n", .transferEncoding),
        ("Transfer-Encoding: \u{b}chunked\r\n", .field),
        ("Transfer-Encoding : chunked\r\n", .field), ("X y: 1\r\n", .field), (": 1\r\n", .field),
        ("X\r\n", .field), ("X: a\0b\r\n", .field), ("X: a\rb\r\n", .field),
        ("X: \u{7f}\r\n", .field),
        ("X: a\r\n b\r\n", .foldedField), ("X: a\r\n\tb\r\n", .foldedField),
        ("X: a\n", .lineEnd), ("Host: b\r\n", .host), ("host: a.example\r\n", .host),
        ("X\u{e9}: 1\r\n", .field),
    ])
    func refusesAmbiguousHeads(fields: String, fault: RequestFault) {
        for pieceBytes in [Int.max, 1] {
            let reading = Reading(Self.request(fields, body: "hello"), pieceBytes: pieceBytes)
            #expect(reading.fault == fault)
            #expect(reading.heads.isEmpty)
        }
    }

    @Test(arguments: [
        ("GET / HTTP/1.1\r\n\r\n", RequestFault.host),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", .host),
        ("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", .host),
        ("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", .host),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", .transferEncoding),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", .version),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", .version),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", .requestLine),
        ("GET /\r\nHost: a\r\n\r\n", .requestLine), ("GET\r\n\r\n", .requestLine),
        ("G\u{e9}T / HTTP/1.1\r\nHost: a\r\n\r\n", .requestLine),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", .target),
        ("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", .target),
        ("GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", .target),
        ("GET v1 HTTP/1.1\r\nHost: a\r\n\r\n", .target),
        ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", .target),
        ("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", .target),
        ("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", .target),
        ("\u{16}\u{3}\u{1}", .requestLine), ("\r\n\r\n\r\nGET", .requestLine),
        ("GET / HTTP/1.1\nHost: a\n\n", .lineEnd), ("\nGET / HTTP/1.1\r\n", .requestLine),
    ])
    func refusesOtherRequestLines(text: String, fault: RequestFault) {
        #expect(Reading(text).fault == fault)
    }

    /// chunk size `0x`, `-1`, 17 digits, bare LF, huge extensions: refused at the first byte that
    /// cannot be right.
    @Test(arguments: [
        "0x5\r\nhello\r\n", "-1\r\n", "+5\r\n", "00000000000000005\r\nhello\r\n",
        "fffffffffffffffff\r\n", "ffffffffffffffff\r\n", "5\nhello\r\n", "5\r\nhello\n",
        "5\r\nhello!\r\n", "\r\n", " 5\r\n", "5 \r\nhello\r\n", "5;a\0b\r\nhello\r\n", ";a\r\n",
        "5\r\rhello", "0\r\nX: 1\n\r\n", "0\r\nX y\r\n\r\n",
    ])
    func refusesMalformedChunks(chunks: String) {
        let whole = Reading(Self.request("Transfer-Encoding: chunked\r\n", body: chunks))
        #expect(whole.heads.count == 1)
        #expect(whole.endCount == 0)
        #expect(whole.fault != nil)
        let cut = Reading(
            Self.request("Transfer-Encoding: chunked\r\n", body: chunks), pieceBytes: 1)
        #expect(cut.fault == whole.fault)
    }

    @Test func refusesHugeChunkExtensionsInOneAndInMany() {
        let head = "Transfer-Encoding: chunked\r\n"
        let fits = "1;" + String(repeating: "x", count: 1023) + "\r\na\r\n"
        #expect(Reading(Self.request(head, body: fits)).fault == nil)
        let over = "1;" + String(repeating: "x", count: 1024) + "\r\na\r\n"
        #expect(Reading(Self.request(head, body: over)).fault == .chunk)
        let many = String(repeating: "1;abcdefgh\r\na\r\n", count: 200)
        #expect(Reading(Self.request(head, body: many)).fault == .chunk)
        let endless = "1;" + String(repeating: "x", count: 5000)
        #expect(Reading(Self.request(head, body: endless)).fault == .chunk)
    }

    /// 257 headers, 100 KiB header: too large, at n - 1, n, n + 1.
    @Test func limitsFieldsAndBytesOfTheHead() {
        func fields(_ count: Int) -> String {
            // `Host` is one of them.
            (1..<count).map { "X-\($0): y\r\n" }.joined()
        }
        for (count, fault) in [(255, nil), (256, nil), (257, RequestFault.tooManyFields)] {
            #expect(Reading(Self.request(fields(count))).fault == fault)
            #expect(Reading(Self.request(fields(count)), pieceBytes: 1).fault == fault)
        }
        let empty = Self.request("X: \r\n").utf8.count
        for (extra, fault) in [(-1, nil), (0, nil), (1, RequestFault.headTooLarge)] {
            let filler = String(repeating: "y", count: 16_384 - empty + extra)
            #expect(Reading(Self.request("X: \(filler)\r\n")).fault == fault)
        }
        let endless = "GET /" + String(repeating: "a", count: 100 << 10)
        #expect(Reading(endless, pieceBytes: 1000).fault == .headTooLarge)
        let trailer = "0\r\nX: " + String(repeating: "a", count: 100 << 10)
        let reading = Reading(Self.request("Transfer-Encoding: chunked\r\n", body: trailer))
        #expect(reading.fault == .headTooLarge)
    }

    @Test func theTargetOfAbsoluteFormBeatsTheHost() throws {
        for (target, authority, path) in [
            ("http://h:1/v1/device?x", "h:1", "/v1/device?x"), ("HTTPS://h", "h", "/"),
            ("http://h?x=1", "h", "/?x=1"), ("//v1/device", "a", "//v1/device"),
            ("/v1/%2e%2e", "a", "/v1/%2e%2e"),
        ] {
            let head = try #require(
                Reading("GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n").heads.first)
            #expect(head.request.authority == authority)
            #expect(head.request.path == path)
        }
        #expect(Reading("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").heads.count == 1)
        #expect(Reading("CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n").heads.count == 1)
    }

    @Test func anOldVersionEndsTheConnectionUnlessItAsks() {
        let heads =
            Reading(
                "GET / HTTP/1.0\r\n\r\nGET / HTTP/1.0\r\nConnection: x, Keep-Alive\r\n\r\n"
            ).heads
        #expect(heads.map(\.keepsAlive) == [false, true])
        #expect(heads.map(\.isVersion11) == [false, false])
    }

    /// Whatever bytes come, reading ends, and no cut of them changes what was read.
    @Test func mutatedRequestsNeverReadDifferentlyInPieces() {
        var random = SystemRandomNumberGenerator()
        let seed = UInt64.random(in: 0...UInt64.max, using: &random)
        let generator = Generator(state: seed)
        let samples = [
            Self.request("Content-Length: 5\r\nX: y\r\n", body: "hello"),
            Self.request(
                "Transfer-Encoding: chunked\r\n", body: "5;q\r\nhello\r\n0\r\nA: b\r\n\r\n"),
        ]
        for _ in 0..<5000 {
            var bytes = Array(samples[Int(generator.next() % 2)].utf8)
            for _ in 0...(generator.next() % 3) {
                let index = Int(generator.next() % UInt64(bytes.count))
                switch generator.next() % 3 {
                case 0: bytes[index] = UInt8(truncatingIfNeeded: generator.next())
                case 1: bytes.remove(at: index)
                default: bytes.insert("\r\n :;\0\t5"[generator], at: index)
                }
            }
            let whole = Reading(bytes)
            let cut = Reading(bytes, pieceBytes: 1 + Int(generator.next() % 9))
            #expect(whole == cut, "seed \(seed), \(bytes)")
        }
    }
}

/// SplitMix64.
private final class Generator {
    private var state: UInt64

    init(state: UInt64) {
        self.state = state
    }

    func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }
}

extension String {
    fileprivate subscript(_ generator: Generator) -> UInt8 {
        let bytes = Array(utf8)
        return bytes[Int(generator.next() % UInt64(bytes.count))]
    }
}

import Testing
import WaybillLoad
import WaybillModel

@Suite struct ResponseParserTests {
    private static func parse(
        _ pieces: [some Sequence<UInt8>]
    ) -> (parser: ResponseParser, progress: ResponseParser.Progress) {
        var parser = ResponseParser()
        var progress = ResponseParser.Progress.needsMore
        for piece in pieces {
            progress = Array(piece).withUnsafeBytes { parser.feed($0) }
            if progress != .needsMore { break }
        }
        return (parser, progress)
    }

    private static func parse(_ text: String) -> (
        parser: ResponseParser, progress: ResponseParser.Progress
    ) { parse([text.utf8]) }

    /// Answer, status, `Retry-After`, whether it closes, body.
    static let answers: [(String, Int, Int?, Bool, String)] = [
        ("HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\n\r\nhello", 202, nil, false, "hello"),
        ("HTTP/1.1 204 No Content\r\n\r\n", 204, nil, false, ""),
        ("HTTP/1.1 200 \r\ncontent-LENGTH:0\r\n\r\n", 200, nil, false, ""),
        (
            "HTTP/1.1 503 Busy\r\nRetry-After:  30 \r\nConnection: Close\r\n"
                + "Content-Length: 2\r\n\r\n{}", 503, 30, true, "{}"
        ),
        (
            "HTTP/1.1 503 Busy\r\nRetry-After: Sat, 21 Nov 2026 13:00:00 GMT\r\n"
                + "Content-Length: 0\r\n\r\n", 503, nil, false, ""
        ),
        (
            "HTTP/1.1 104 Upload\r\nContent-Length: 9\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
                + "HTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nx", 201, nil, false, "x"
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                + "3\r\nabc\r\nA;name=\"v\"\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n", 200, nil,
            false,
            "abc0123456789"
        ),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, nil, true, "ok"),
        (
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", 200, nil,
            false, "ok"
        ),
    ]

    @Test(arguments: answers)
    func readsAnAnswerWholeAndCutAnywhere(
        _ answer: (text: String, status: Int, retryAfter: Int?, closes: Bool, body: String)
    ) {
        let bytes = Array(answer.text.utf8)
        for cut in 0...bytes.count {
            let (parser, progress) = Self.parse([bytes[..<cut], bytes[cut...]])
            #expect(progress == .complete(surplus: 0), "cut at \(cut)")
            #expect(parser.status == answer.status)
            #expect(parser.retryAfter == answer.retryAfter)
            #expect(parser.closes == answer.closes)
            #expect(String(decoding: parser.body, as: UTF8.self) == answer.body)
        }
        let (parser, progress) = Self.parse(bytes.map { [$0] })
        #expect(progress == .complete(surplus: 0))
        #expect(String(decoding: parser.body, as: UTF8.self) == answer.body)
    }

    @Test(arguments: answers)
    func isNotDoneBeforeTheLastByte(
        _ answer: (text: String, status: Int, retryAfter: Int?, closes: Bool, body: String)
    ) {
        let bytes = Array(answer.text.utf8)
        for end in 0..<bytes.count {
            var (parser, progress) = Self.parse([bytes[..<end]])
            #expect(progress == .needsMore, "\(end) bytes")
            let isWhole = parser.finish()
            #expect(!isWhole)
        }
    }

    @Test func anAnswerWithoutLengthEndsWithTheConnection() {
        var (parser, progress) = Self.parse("HTTP/1.1 200 OK\r\n\r\nsome text")
        #expect(progress == .needsMore)
        let isWhole = parser.finish()
        #expect(isWhole)
        #expect(parser.closes)
        #expect(String(decoding: parser.body, as: UTF8.self) == "some text")
    }

    @Test(arguments: [
        "HELO\r\n", "HTTP/2.0 200 OK\r\n", "HTTP/1.1 20x OK\r\n", "HTTP/1.1 099 OK\r\n",
        "HTTP/1.1 101 Switching\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1e3\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n",
    ])
    func refusesWhatIsNoAnswer(_ text: String) {
        #expect(Self.parse(text).progress == .malformed)
    }

    @Test func refusesAHeadWithoutEnd() {
        let line = "X: " + String(repeating: "y", count: 1000) + "\r\n"
        let head = "HTTP/1.1 200 OK\r\n" + String(repeating: line, count: 70)
        #expect(Self.parse(head).progress == .malformed)
    }

    @Test func tellsBytesAfterTheAnswer() {
        let (_, progress) = Self.parse("HTTP/1.1 204 No Content\r\n\r\nHTTP")
        #expect(progress == .complete(surplus: 4))
    }

    @Test func readsTheNextAnswerAfterAReset() {
        var parser = ResponseParser()
        for status in [503, 202] {
            parser.reset()
            let text =
                status == 503
                ? "HTTP/1.1 503 B\r\nRetry-After: 3\r\nContent-Length: 1\r\n\r\nb"
                : "HTTP/1.1 202 A\r\nContent-Length: 2\r\n\r\nok"
            let progress = Array(text.utf8).withUnsafeBytes { parser.feed($0) }
            #expect(progress == .complete(surplus: 0))
            #expect(parser.status == status)
        }
        #expect(parser.retryAfter == nil)
        #expect(parser.body == Array("ok".utf8))
    }
}

@Suite struct AnswerTextTests {
    private func bytes(_ text: String) -> ArraySlice<UInt8> { Array(text.utf8)[...] }

    @Test func findsValuesWhateverTheWhiteSpace() {
        for text in [
            #"{"a":1,"code":"disk_full","n":-7}"#, "{ \"n\" : -7 ,\n\"code\" :\t\"disk_full\" }",
        ] {
            #expect(AnswerText.string(of: "code", in: bytes(text)) == "disk_full")
            #expect(AnswerText.integer(of: "n", in: bytes(text)) == -7)
            #expect(AnswerText.value(of: "missing", in: bytes(text)) == nil)
        }
    }

    @Test func isNotMisledByTextInStrings() {
        let text = bytes(#"{"detail":"\"code\":\"fake\", [{","x":"code","code":"real"}"#)
        #expect(AnswerText.string(of: "code", in: text) == "real")
    }

    @Test func splitsReceiptsAndKeepsTheirBytes() throws {
        let first =
            #"{"seq":1,"settled_at":"2026-11-21T03:00:00.000001Z","exceptions":[{"id":"]}"}]}"#
        let second = #"{"detail":"a \" ] } quote","seq":2,"settled_at":"later"}"#
        let page = try #require(
            ReceiptPage(Array(#"{"receipts":[\#(first), \#(second)],"last":2}"#.utf8)))
        #expect(page.items.map { String(decoding: $0.bytes, as: UTF8.self) } == [first, second])
        #expect(page.items.map(\.sequence) == [1, 2])
        #expect(page.items[0].settledAt?.microseconds == 1_795_230_000_000_001)
        #expect(page.items[1].settledAt == nil)
    }

    @Test(arguments: [
        "", "{}", #"{"receipts":"#, #"{"receipts":[{"seq":1}"#, #"{"receipts":[{"number":1}]}"#,
        #"{"receipts":{}}"#, #"{"receipts":[{"seq":"x}]}"#,
    ])
    func refusesWhatIsNoPage(_ text: String) {
        #expect(ReceiptPage(Array(text.utf8)) == nil)
    }

    @Test func anEmptyPageHasNoItems() throws {
        let page = try #require(ReceiptPage(Array(#"{"receipts":[],"last":0}"#.utf8)))
        #expect(page.items.isEmpty)
    }
}

import Testing

@testable import WaybillOpening

/// A line that is rejected, by name.
struct LineCase: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let code: String?
    let line: [UInt8]

    init(_ name: String, _ code: String?, _ line: String) {
        self.init(name, code, Array(line.utf8))
    }

    init(_ name: String, _ code: String?, _ line: [UInt8]) {
        testDescription = name
        self.code = code
        self.line = line
    }

    /// A line with a sound rest.
    static func payload(_ text: String, _ code: String?) -> LineCase {
        LineCase("payload \(text.prefix(40))", code, Sample.line(payload: text))
    }

    static func replacing(
        _ name: String, _ code: String?, _ part: String, _ replacement: String
    ) -> LineCase {
        LineCase(name, code, Sample.line().replacing(part, with: replacement))
    }
}

@Suite struct LineRuleTests {
    static let json: [LineCase] =
        [
            "", "nul", "truefalse", "NaN", "Infinity", "-", "01", "-01", "1.", ".5", "+1", "1e",
            "1e+",
            "0x1", "[1,]", "[,1]", "[1 2]", "{\"a\"}", "{\"a\":}", "{a:1}", "{\"a\":1,}", "'a'",
            "\"\\x\"", "\"\\u12g4\"", "\"\t\"", "\"\u{1}\"", "[", "{", "\"", "1//", "]",
        ].map { .payload($0, "invalid_json") } + [
            LineCase("not JSON", "invalid_json", "hello"),
            LineCase("a list", "invalid_json", "[]"),
            LineCase("a number", "invalid_json", "1"),
            LineCase("two objects", "invalid_json", Sample.line() + Sample.line()),
            LineCase("cut off", "invalid_json", String(Sample.line().dropLast())),
            LineCase("zero bytes", "invalid_json", [0, 0, 0]),
            LineCase("a byte order mark", "invalid_json", "\u{feff}" + Sample.line()),
        ]

    static let strings: [LineCase] = [
        .payload("{\"a\":1,\"a\":1}", "duplicate_key"),
        .payload("{\"a\":1,\"\\u0061\":2}", "duplicate_key"),
        .payload("[{\"b\":{\"a\":1,\"c\":2,\"a\":3}}]", "duplicate_key"),
        .payload(
            "{" + (0..<40).map { "\"k\($0 % 39)\":0" }.joined(separator: ",") + "}",
            "duplicate_key"),
        .payload("{\"\":1,\"\":2}", "duplicate_key"),
        .replacing("a member twice", "duplicate_key", "{\"id\"", "{\"type\":\"t\",\"id\""),
        .replacing("another twice", "duplicate_key", "{\"id\"", "{\"x\":1,\"x\":1,\"id\""),
        .payload("\"\\u0000\"", "unstorable"),
        .payload("{\"\\u0000\":1}", "unstorable"),
        .payload("\"\\ud800\"", "unstorable"),
        .payload("\"\\udc00\"", "unstorable"),
        .payload("\"\\ud800\\u0041\"", "unstorable"),
        .payload("\"\\ud83d\\ude00\"", nil),
        .payload("1e999", "unstorable"), .payload("-1e309", "unstorable"),
        .payload("1.7976931348623159e308", "unstorable"),
        .payload("1.7976931348623157e308", nil), .payload("4.9e-324", nil),
        .payload("1e-400", "unstorable"), .payload("2e-324", "unstorable"), .payload("0e999", nil),
        .payload("0." + String(repeating: "0", count: 16_383), nil),
        .payload("0." + String(repeating: "0", count: 16_384), "unstorable"),
        .payload("1e99999999999999999999", "unstorable"),
        .payload(String(repeating: "9", count: 400), "unstorable"),
        LineCase("UTF-8: lone byte", "invalid_utf8", bytes([0xff])),
        LineCase("UTF-8: overlong", "invalid_utf8", bytes([0xc0, 0x80])),
        LineCase("UTF-8: surrogate", "invalid_utf8", bytes([0xed, 0xa0, 0x80])),
        LineCase("UTF-8: over U+10FFFF", "invalid_utf8", bytes([0xf4, 0x90, 0x80, 0x80])),
        LineCase("UTF-8: cut", "invalid_utf8", bytes([0xe2, 0x82])),
        LineCase("UTF-8: outside of strings", "invalid_utf8", [0xff]),
        LineCase("UTF-8: all lengths", nil, bytes(Array("é€😀".utf8))),
        .payload(nested(127), nil), .payload(nested(128), "too_deep"),
        .payload(nested(10_000), "too_deep"),
    ]

    static let members: [LineCase] = [
        .replacing("id missing", "invalid_id", "\"id\"", "\"di\""),
        .replacing("id no UUID", "invalid_id", "0190163d", "0190163"),
        .replacing("id with braces", "invalid_id", "\"0190163d", "\"{0190163d"),
        .replacing("id with a wrong digit", "invalid_id", "0190163d", "0190163g"),
        .replacing("id a number", "invalid_id", "\"" + Sample.id(1) + "\"", "7"),
        .replacing("id in capitals", nil, "0190163d", "0190163D"),
        .replacing("type missing", "invalid_type", "\"type\"", "\"typ\""),
        .replacing("type empty", "invalid_type", "\"t\"", "\"\""),
        .replacing("type null", "invalid_type", "\"t\"", "null"),
        .replacing("type a tab", "invalid_type", "\"t\"", "\"\\t\""),
        .replacing("type a null", "unstorable", "\"t\"", "\"\\u0000\""),
        .replacing("type with U+001F", "invalid_type", "\"t\"", "\"a\\u001f\""),
        .replacing("type with U+007F", "invalid_type", "\"t\"", "\"a\u{7f}\""),
        .replacing("type with U+0080", "invalid_type", "\"t\"", "\"a\u{80}\""),
        .replacing("type with U+0085", "invalid_type", "\"t\"", "\"\u{85}\""),
        .replacing("type with U+009F", "invalid_type", "\"t\"", "\"\u{9f}b\""),
        .replacing("type with U+009F escaped", "invalid_type", "\"t\"", "\"\\u009f\""),
        .replacing("type with U+00A0", nil, "\"t\"", "\"\u{a0}\""),
        .replacing("type with U+0120", nil, "\"t\"", "\"\u{120}\""),
        .replacing("type of one space", nil, "\"t\"", "\" \""),
        .replacing(
            "type with an emoji counts as one", nil, "\"t\"",
            "\"" + String(repeating: "😀", count: 128) + "\""),
        .replacing("type of 128", nil, "\"t\"", "\"" + characters(128) + "\""),
        .replacing("type of 129", "invalid_type", "\"t\"", "\"" + characters(129) + "\""),
        .replacing("payload missing", "invalid_body", "payload", "paylod"),
        .replacing("both", "invalid_body", "{}", "{},\"body\":\"\",\"content_type\":\"a\""),
        .replacing(
            "content_type besides payload", "invalid_body", "{}", "{},\"content_type\":\"a\""),
        body("\"\"", "\"image/png\"", nil), body("\"AA==\"", "\"image/png\"", nil),
        body("\"AAA=\"", "\"a\"", nil), body("\"AAAA\"", "\"a\"", nil),
        body("\"AA\"", "\"a\"", "invalid_body"), body("\"AB==\"", "\"a\"", "invalid_body"),
        body("\"A===\"", "\"a\"", "invalid_body"), body("\"====\"", "\"a\"", "invalid_body"),
        body("\"AA=A\"", "\"a\"", "invalid_body"), body("\"AA_-\"", "\"a\"", "invalid_body"),
        body("\"AA\\n==\"", "\"a\"", "invalid_body"), body("null", "\"a\"", "invalid_body"),
        body("\"\"", "\"\"", "invalid_body"), body("\"\"", "7", "invalid_body"),
        body("\"\"", "\"\\u0007\"", "invalid_body"),
        body("\"\"", "\"" + characters(255) + "\"", nil),
        body("\"\"", "\"" + characters(256) + "\"", "invalid_body"),
        .replacing("actor", nil, "{}", "{},\"actor\":\"" + characters(128) + "\""),
        .replacing(
            "actor of 129", "invalid_json", "{}", "{},\"actor\":\"" + characters(129) + "\""),
        .replacing("actor null counts as absent", nil, "{}", "{},\"actor\":null"),
        .replacing("actor a number", "invalid_json", "{}", "{},\"actor\":7"),
        .replacing("others ignored", nil, "{}", "null,\"payloads\":[1],\"\":{}"),
    ]

    private static func nested(_ depth: Int) -> String {
        String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    }

    private static func characters(_ count: Int) -> String { String(repeating: "é", count: count) }

    private static func bytes(_ content: [UInt8]) -> [UInt8] {
        let line = Array(Sample.line(payload: "\"").utf8)
        return line.dropLast() + content + Array("\"}".utf8)
    }

    private static func body(_ body: String, _ contentType: String, _ code: String?) -> LineCase {
        .replacing(
            "body \(body) of \(contentType.prefix(20))", code, "\"payload\":{}",
            "\"body\":\(body),\"content_type\":\(contentType)")
    }

    @Test(arguments: json + strings + members)
    func judgesTheLine(example: LineCase) throws {
        #expect(try Sample.result(example.line).code == example.code)
    }

    @Test(arguments: [
        ("2026-11-21T03:00:00Z", Int64?(1_795_230_000_000_000), 0),
        ("2026-11-21t03:00:00z", 1_795_230_000_000_000, 0),
        ("2026-11-21T04:30:00+01:30", 1_795_230_000_000_000, 90),
        ("2026-11-20T22:00:00-05:00", 1_795_230_000_000_000, -300),
        ("2026-11-21T03:00:00.1234569Z", 1_795_230_000_123_456, 0),
        ("2026-11-21T03:00:00.5Z", 1_795_230_000_500_000, 0),
        ("1969-12-31T23:59:59.999999Z", -1, 0),
        // Truncated, also before 1970: the earlier microsecond.
        ("1969-12-31T23:59:59.9999999Z", -1, 0), ("1969-12-31T23:59:58.0000019Z", -1_999_999, 0),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000_000, 0),
        ("2016-12-31T15:59:60.5-08:00", 1_483_228_800_500_000, -480),
        ("2017-01-01T00:29:60+00:30", 1_483_228_800_000_000, 30),
        ("2016-06-30T23:59:60Z", 1_467_331_200_000_000, 0),
        ("2016-07-01T01:59:60+02:00", 1_467_331_200_000_000, 120),
        ("2016-06-30T19:59:60-04:00", 1_467_331_200_000_000, -240),
        ("2016-12-30T23:59:60Z", nil, 0), ("2016-12-01T23:59:60Z", nil, 0),
        ("2016-07-01T12:34:60Z", nil, 0), ("2016-06-30T23:59:60-04:00", nil, 0),
        ("2016-06-30 23:59:60Z", 1_467_331_200_000_000, 0), ("2016-06-30_23:59:60Z", nil, 0),
        ("2016-12-31T23:58:60Z", nil, 0), ("2016-12-31T23:59:60+01:00", nil, 0),
        ("9999-12-31T23:59:60Z", nil, 0),
        ("2026-11-21T03:00:00+23:59", 1_795_143_660_000_000, 1439),
        ("2026-11-21T03:00:00-23:59", 1_795_316_340_000_000, -1439),
        ("2026-11-21T03:00:00-00:00", 1_795_230_000_000_000, 0),
        ("2026-11-21T03:00:00+00:60", nil, 0), ("2026-11-21T03:00:00-24:00", nil, 0),
        ("9999-12-31T23:59:59-00:01", nil, 0), ("-001-01-01T00:00:00Z", nil, 0),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000_000, 0),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000_000, 0),
        ("9999-12-31T23:59:59Z", 253_402_300_799_000_000, 0),
        ("0000-01-01T00:00:00Z", nil, 0), ("10000-01-01T00:00:00Z", nil, 0),
        ("0001-01-01T00:00:00+00:01", nil, 0), ("2026-11-21T03:00:00", nil, 0),
        ("2026-11-21", nil, 0), ("2026-11-21T03:00Z", nil, 0), ("2026-13-01T00:00:00Z", nil, 0),
        ("2025-02-29T00:00:00Z", nil, 0), ("2026-11-21T24:00:00Z", nil, 0),
        ("2026-11-21T03:60:00Z", nil, 0), ("2026-11-21T03:00:61Z", nil, 0),
        ("2026-11-21T03:00:00.Z", nil, 0), ("2026-11-21T03:00:00+0100", nil, 0),
        ("2026-11-21T03:00:00+24:00", nil, 0), ("2026-11-21T03:00:00Z ", nil, 0), ("", nil, 0),
    ])
    func readsTheTime(text: String, microseconds: Int64?, offset: Int16) throws {
        let line = Sample.line().replacing("2026-11-21T03:00:00Z", with: text)
        let result = try Sample.result(Array(line.utf8))
        #expect(result.transaction?.occurredAtMicroseconds == microseconds)
        #expect(result.transaction?.offsetMinutes == (microseconds == nil ? nil : offset))
        #expect(result.code == (microseconds == nil ? "invalid_time" : nil))
    }

    @Test func oneBadLineSpoilsNoOther() throws {
        let bad = (Self.json + Self.strings + Self.members).filter { $0.code != nil }
        var entry = Sample.header(transactions: 2 * bad.count)
        for (index, example) in bad.enumerated() {
            entry += example.line + [10] + Array(Sample.line(index).utf8) + [10]
        }
        let lines = try Sample.lines(of: entry)
        for (index, example) in bad.enumerated() {
            #expect(lines[2 * index].result.code == example.code)
            #expect(lines[2 * index].raw.elementsEqual(example.line))
            let good = try #require(lines[2 * index + 1].result.transaction)
            #expect(good.idLow == 0xaea5_0000_0000_0000 + UInt64(index))
        }
    }

    @Test func givesTheIDOfARejectedLineIfItCanBeRead() throws {
        for text in ["NaN", "{\"a\":1,\"a\":1}", "\"\\u0000\""] {
            let result = try Sample.result(Array(Sample.line(5, payload: text).utf8))
            #expect(result.rejectedID?[15] == 5)
        }
        #expect(try Sample.result(Array("{\"id\":7,".utf8)).rejectedID == nil)
    }

    @Test func keepsTheBodysBytesTypeAndActor() throws {
        let line = Sample.line().replacing(
            "\"payload\":{}",
            with: #""body":"AAEC/w==","content_type":"image\/png","actor":"\u0041nn""#)
        let transaction = try #require(try Sample.result(Array(line.utf8)).transaction)
        guard case .body(let contentType, let bytes) = transaction.content else {
            Issue.record("not a body")
            return
        }
        #expect(contentType == "image/png")
        #expect(bytes == [0, 1, 2, 255])
        #expect(transaction.actor == "Ann")
    }
}

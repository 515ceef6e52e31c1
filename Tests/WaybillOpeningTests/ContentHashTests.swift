import ArchiveTesting
import Testing

@testable import WaybillOpening

@Suite struct ContentHashTests {
    private func hash(_ line: String) throws -> [UInt8] {
        let result = try Sample.result(Array(line.utf8))
        return try #require(result.transaction, "\(result.code ?? "")").contentHash
    }

    private func hash(payload: String) throws -> [UInt8] {
        try hash(Sample.line(payload: payload))
    }

    @Test(arguments: [
        ("1.0", "1"), ("10e-1", "1"), ("1E0", "1"), ("0.1e+1", "1"), ("-0", "0"), ("-0.0e5", "0"),
        ("100", "1e2"), ("0.00120", "12e-4"), ("-12.50", "-125e-1"),
        ("{\"a\":1,\"b\":2}", "{ \"b\" : 2.0,\t\"a\" : 1 }"),
        ("{\"bb\":1,\"a\":{\"d\":[],\"c\":{}}}", "{\"a\":{\"c\":{},\"d\":[]},\"bb\":1}"),
        ("\"\\u0041\\/\\n\"", "\"A/\\u000a\""), ("\"\\ud83d\\ude00\"", "\"😀\""),
        ("{\"\\u0061\":1}", "{\"a\":1}"), ("[ 1 , 2 ]", "[1,2]"), ("\"é\"", "\"\\u00E9\""),
    ])
    func isEqualForEqualValues(left: String, right: String) throws {
        #expect(try hash(payload: left) == hash(payload: right))
    }

    @Test(arguments: [
        ("1", "2"), ("1", "-1"), ("1", "10"), ("1", "\"1\""), ("0", "null"), ("0", "false"),
        ("true", "false"), ("[]", "{}"), ("[]", "null"), ("[1,2]", "[2,1]"), ("[12]", "[1,2]"),
        ("[[1],2]", "[[1,2]]"), ("{\"a\":1}", "{\"a\":2}"), ("{\"a\":1}", "{\"b\":1}"),
        ("{\"a\":1,\"b\":2}", "{\"a\":2,\"b\":1}"), ("{\"a\":{\"b\":1}}", "{\"a\":{},\"b\":1}"),
        ("\"ab\"", "\"a\""), ("\"\"", "null"), ("\"A\"", "\"a\""), ("[\"a\",\"b\"]", "[\"ab\"]"),
        ("0.1", "0.10000000000000001"), ("9007199254740993", "9007199254740992"),
        ("\"é\"", "\"e\u{301}\""),
    ])
    func isAnotherForOtherValues(left: String, right: String) throws {
        #expect(try hash(payload: left) != hash(payload: right))
    }

    @Test func dependsOnTypeInstantAndContentAlone() throws {
        let line = Sample.line()
        let plain = try hash(line)
        #expect(try hash(line.replacing("03:00:00Z", with: "04:00:00+01:00")) == plain)
        #expect(try hash(line.replacing(Sample.id(1), with: Sample.id(2))) == plain)
        #expect(try hash(line.replacing("{}}", with: "{},\"actor\":\"x\",\"y\":1}")) == plain)
        #expect(try hash(line.replacing("\"t\"", with: "\"u\"")) != plain)
        #expect(try hash(line.replacing("00Z", with: "00.000001Z")) != plain)
    }

    @Test func ofABodyDependsOnContentTypeAndBytes() throws {
        func body(_ contentType: String, _ text: String) throws -> [UInt8] {
            try hash(
                Sample.line().replacing(
                    "\"payload\":{}",
                    with: "\"content_type\":\"\(contentType)\",\"body\":\"\(text)\""))
        }
        #expect(try body("a", "AAAA") == body("\\u0061", "AAAA"))
        #expect(try body("a", "AAAA") != body("b", "AAAA"))
        #expect(try body("a", "AAAA") != body("a", "AAA="))
        #expect(try body("a", "") != hash(payload: "\"\""))
    }

    @Test func isHMACOverTheWrittenForm() {
        // HMAC-SHA256 with key 20 × 0x0b over: 1, "j", length 1, "t", 0, length 1, "n".
        let hasher = ContentHasher(key: [UInt8](repeating: 0x0b, count: 20))
        let hash = hasher.hash(type: "t", microseconds: 0, canonicalPayload: [0x6e])
        let text = hash.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        #expect(text == "7af396afde3655247dc0cd171b8c0cfa4fedcce1a2ed9dc432e210166f8922f2")
    }

    @Test func membersInAnyOrderAreEqual() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SeededGenerator(seed: seed)
        for count in [2, 3, 16, 17, 50] {
            let members = (0..<count).map { "\"k\($0 * 7919)\":{\"b\":\($0),\"a\":[\($0)]}" }
            let plain = try hash(payload: "{" + members.joined(separator: ",") + "}")
            let shuffled = members.shuffled(using: &random).joined(separator: ",")
            #expect(try hash(payload: "{" + shuffled + "}") == plain, "seed \(seed)")
        }
    }
}

extension ContentHasher {
    fileprivate func hash(
        type: String, microseconds: Int64, canonicalPayload: [UInt8]
    ) -> [UInt8] {
        Array(type.utf8).withUnsafeBytes { type in
            canonicalPayload.withUnsafeBytes { payload in
                hash(type: type, microseconds: microseconds, payload: payload).bytes
            }
        }
    }
}

import HTTPTypes
import Hummingbird
import HummingbirdTesting
import NIOCore
import Testing
import WaybillModel

@Suite struct RequestBodyTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let path: String
        let body: String
        let code: String
        let words: String
        var fields: HTTPFields = [:]

        var testDescription: String { "\(path) \(body)" }

        init(
            _ path: String, _ body: String, _ code: String, _ words: String = "",
            _ fields: HTTPFields = [:]
        ) {
            self.path = path
            self.body = body
            self.code = code
            self.words = words
            self.fields = fields
        }
    }

    private static let confirm = "receipts/confirm"
    private static let id = "0190163d-8694-739b-aea5-966c26f8ad91"

    private static func declaration(_ part: String, _ more: String = "") -> String {
        #"{"bundle_id":"\#(id)"\#(more),"parts":[\#(part)]}"#
    }

    static let cases = [
        Case(confirm, #"{"through":9223372036854775807}"#, "not_issued"),
        Case(confirm, #"{"through":9223372036854775808}"#, "not_issued"),
        Case(confirm, #"{"through":1000000000000000000000000000000}"#, "not_issued"),
        Case(confirm, #"{"through":1e30}"#, "not_issued"),
        Case(confirm, #"{"through":-9223372036854775809}"#, "invalid_request", "`through`"),
        Case(confirm, #"{"through":1.5}"#, "invalid_request", "`through` is not a whole number"),
        Case(confirm, #"{"through":"1"}"#, "invalid_request", "`through` is not a whole number"),
        Case(confirm, "{}", "invalid_request", "`through` is missing"),
        Case(confirm, #"{"through":1,"through":2}"#, "invalid_request", "twice"),
        Case(confirm, #"{"through":1,"x":{"a":1,"\u0061":2}}"#, "invalid_request", "twice"),
        Case(confirm, #"{"through":1"#, "invalid_request", "not JSON (byte 12)"),
        Case(confirm, #"{"through":01}"#, "invalid_request", "not JSON"),
        Case(confirm, #"{"through":1,}"#, "invalid_request", "not JSON"),
        Case(confirm, #"{"through":1,"x":"\ud800"}"#, "invalid_request", "not JSON"),
        Case(confirm, "[1]", "invalid_request", "not an object"),
        Case(
            confirm, #"{"through":0,"x":\#(String(repeating: "[", count: 1000))"#,
            "invalid_request", "too deeply"),
        Case(
            confirm, "{}", "unsupported_media_type", "Content-Encoding",
            [.contentEncoding: "gzip"]),
        Case(
            "enrollments", "{}", "unsupported_media_type", "Content-Encoding",
            [.contentEncoding: "gzip"]),
        Case("enrollments", #"{"code":"c"}"#, "invalid_request", "`name` is missing"),
        Case(
            "enrollments", #"{"code":"c","name":"n","request_id":"x"}"#, "invalid_request",
            "`request_id` is not a UUID"),
        Case(
            "bundles", declaration(#"{"size":1.5,"sha256":"x"}"#), "invalid_request",
            "`parts.0.size` is not a whole number"),
        Case(
            "bundles",
            declaration(
                #"{"size":1000000000000000000000000000000,"sha256":"\#(String(repeating: "0", count: 64))"}"#
            ), "too_large"),
        Case("bundles", declaration("7"), "invalid_request", "`parts.0` is not an object"),
        Case("bundles", declaration(#"{"size":1}"#), "invalid_request", "`parts.0.sha256`"),
        Case(
            "bundles", declaration(#"{"size":1,"sha256":""}"#, #","epoch":"1""#),
            "invalid_request", "`epoch`"),
    ]

    @Test(arguments: cases)
    func namesTheMemberAtFault(of one: Case) async throws {
        try await DeviceSide().run { client in
            var fields = DeviceSide.authorization
            fields[.contentType] = "application/json"
            for field in one.fields { fields[field.name] = field.value }
            let answer = try await client.execute(
                uri: "/v1/\(one.path)", method: .post, headers: fields,
                body: ByteBuffer(string: one.body))
            #expect(try answer.code() == one.code)
            #expect(answer.text.contains(one.words), "\(answer.text)")
        }
    }

    @Test func readsWhatJSONAllows() throws {
        let text =
            " {\"a\" : [ -0.5e+3 , true,false , null,{}, [] ] ,\"\\u00e4\\ud83d\\ude00\\n\":\"ä\"}\r\n"
        #expect(
            try JSONText(Array(text.utf8))
                == .object([
                    "a": .array([
                        .number("-0.5e+3"), .bool(true), .bool(false), .null, .object([:]),
                        .array([]),
                    ]), "ä😀\n": .string("ä"),
                ]))
    }

    @Test(arguments: [
        "", " ", "nul", "+1", ".5", "1.", "1e", "-", "NaN", "\"\u{1}\"", "\"a", "'a'", "{a:1}",
        "[1 2]", "{\"a\" 1}", "1 2", "\u{feff}1", "\"\\x\"", "\"\\u00g0\"", "\"\\udc00\"",
    ]) func refusesWhatItDoesNot(text: String) {
        #expect(throws: JSONTextFault.self) { try JSONText(Array(text.utf8)) }
    }

    @Test func encodedUnreservedCharactersAreWhatTheyStandFor() async throws {
        let side = try DeviceSide()
        try await side.run { client in
            let bundleID = BundleID.random()
            let sent = try await client.execute(
                uri: "/v1/bundles", method: .post, headers: try DeviceSide.uploadFields(bundleID),
                body: ByteBuffer(bytes: try DeviceSide.part()))
            #expect(sent.status == .accepted)
            let encoded = "\(bundleID)".replacing("-", with: "%2D")
            for (uri, status) in [
                ("/v1/bundles/\(encoded)", 200), ("/v1/%62undles/\(bundleID)", 200),
                ("/v1/bundles?state=receivin%67", 200), ("/v1/bundles?st%61te=receiving", 200),
                ("/v1/receipts?after=%30", 200), ("/v1/receipts?after=%C3", 400),
                ("/v1%2Fbundles/\(bundleID)", 404), ("/v1/bundles%2f\(bundleID)", 404),
                ("/v1/bundles/%2e%2e", 404), ("/v1/bundles/%zz", 400), ("/v1/device%2", 400),
                ("/v1/device?x=%", 400),
            ] {
                let answer = try await client.execute(
                    uri: uri, method: .get, headers: DeviceSide.authorization)
                #expect(answer.status.code == status, "\(uri)")
            }
        }
    }

    /// A length that no arithmetic survives unasked.
    @Test func theLargestLengthThereIsIsAnswered() async throws {
        try await DeviceSide().run { client in
            let connection = try RawConnection(port: try #require(client.port))
            try connection.send(
                "PUT /v1/bundles/\(Self.id)/parts/1 HTTP/1.1\r\nHost: a\r\n"
                    + "Authorization: Bearer \(DeviceSide.token)\r\n"
                    + "Content-Length: 9223372036854775807\r\n\r\n")
            #expect(await connection.read(until: "\r\n\r\n").hasPrefix("HTTP/1.1 "))
        }
    }
}

import Testing

@testable import WaybillOpening
@testable import WaybillSealing

/// BAD-INPUTS.md, "Content", item by item, as far as one part can tell.
@Suite struct ContentItemTests {
    private static let id = Sample.id(7)

    /// Line 2 of three, its code, and whether its id can still be read.
    static let rejected: [LineCase] = [
        LineCase("a line that is not JSON", "invalid_json", "hello"),
        LineCase("not an object", "invalid_json", "[{}]"),
        item("duplicate keys", "duplicate_key", "{\"a\":1,\"a\":1}"),
        item("duplicate keys at depth", "duplicate_key", "[[{\"b\":{\"a\":1,\"\\u0061\":2}}]]"),
        item("NaN", "invalid_json", "NaN"),
        item("1e999", "unstorable", "1e999"),
        item("a lone surrogate", "unstorable", "\"\\ud83d\""),
        item("\\u0000", "unstorable", "\"a\\u0000b\""),
        LineCase(
            "invalid UTF-8", "invalid_utf8",
            Array(line(payload: "\"").utf8).dropLast() + [0xc3, 0x28] + Array("\"}".utf8)),
        item("over the limit", "too_long", "\"" + String(repeating: "x", count: 2000) + "\""),
        item(
            "depth over 128", "too_deep",
            String(repeating: "[", count: 128) + String(repeating: "]", count: 128)),
        LineCase("an empty line", "invalid_json", ""),
        replacing("id missing", "invalid_id", "\"id\":\"\(id)\",", ""),
        replacing("id not a UUID", "invalid_id", id, "7"),
        replacing("type empty", "invalid_type", "\"t\"", "\"\""),
        replacing(
            "type over 128 characters", "invalid_type", "\"t\"",
            "\"" + String(repeating: "t", count: 129) + "\""),
        replacing("type with control characters", "invalid_type", "\"t\"", "\"a\\nb\""),
        replacing("time without offset", "invalid_time", "03:00:00Z", "03:00:00"),
        replacing("time missing", "invalid_time", "occurred_at", "occurred"),
        replacing("year 0", "invalid_time", "2026-", "0000-"),
        replacing("year 10,000", "invalid_time", "2026-", "10000-"),
        replacing(
            "both payload and body", "invalid_body", "{}}",
            "{},\"content_type\":\"a\",\"body\":\"AAAA\"}"),
        replacing("neither payload nor body", "invalid_body", ",\"payload\":{}", ""),
        replacing(
            "body not base64", "invalid_body", "\"payload\":{}",
            "\"content_type\":\"a\",\"body\":\"AAA\""),
        replacing("body without content_type", "invalid_body", "\"payload\":{}", "\"body\":\"\""),
    ]

    private static func line(payload: String = "{}") -> String {
        Sample.line(7, payload: payload)
    }

    private static func item(_ name: String, _ code: String, _ payload: String) -> LineCase {
        LineCase(name, code, line(payload: payload))
    }

    private static func replacing(
        _ name: String, _ code: String, _ part: String, _ replacement: String
    ) -> LineCase {
        LineCase(name, code, line().replacing(part, with: replacement))
    }

    @Test(arguments: rejected)
    func thatTransactionIsRejectedTheRestAccepted(example: LineCase) throws {
        let entry =
            Sample.header(transactions: 3) + Array(Sample.line(1).utf8) + [10] + example.line
            + [10] + Array(Sample.line(2).utf8)
        let lines = try Sample.lines(of: entry, limits: OpeningLimits(recordBytesMax: 1000))
        #expect(lines.map(\.result.code) == [nil, example.code, nil])
        #expect(lines.map(\.index) == [0, 1, 2])
        #expect(lines[1].raw.elementsEqual(example.line.prefix(1000)), "kept for operators")
    }

    /// What reading a whole entry said: the quarantine code, nil if there was none.
    private func code(
        _ entry: [UInt8], binding: ExpectedBinding = Sample.binding,
        limits: OpeningLimits = OpeningLimits()
    ) throws -> String? {
        do {
            _ = try Sample.lines(of: entry, binding: binding, limits: limits)
            return nil
        } catch let error as OpeningError {
            return error.shortDescription
        }
    }

    private func binding(part: Int, parts: Int) -> ExpectedBinding {
        ExpectedBinding(
            bundleID: Sample.bundleID, deviceID: Sample.deviceID, part: part, parts: parts)
    }

    private func header(part: Int, parts: Int) -> [UInt8] {
        EntryHeader(
            bundleID: Sample.bundleText, deviceID: Sample.deviceText, part: part, parts: parts,
            transactions: 0, sealedAt: "2026-11-21T03:00:00Z"
        ).line()
    }

    @Test func headerMissing() throws {
        #expect(try code([]) == "header_invalid")
        #expect(try code(Array((Sample.line() + "\n").utf8)) == "header_invalid")
    }

    @Test func headerSecond() throws {
        let header = Sample.header(transactions: 1)
        #expect(try code(Array((Sample.line() + "\n").utf8) + header) == "header_invalid")
        #expect(try code([10] + header) == "header_invalid")
        // After a first one it is a line like others, and no transaction.
        let lines = try Sample.lines(of: header + header)
        #expect(lines.map(\.result.code) == ["invalid_id"])
    }

    @Test(arguments: [(-1, String?("header_invalid")), (0, nil), (1, nil)])
    func headerTooLong(distance: Int, expected: String?) throws {
        let header = Sample.header(transactions: 0)
        let limits = OpeningLimits(recordBytesMax: header.count - 1 + distance)
        #expect(try code(header, limits: limits) == expected)
        #expect(try code(header.dropLast(), limits: limits) == expected)
    }

    @Test func headerTenThousandLevelsDeep() throws {
        let text = String(decoding: Sample.header(transactions: 0), as: UTF8.self)
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep =
                String(repeating: open, count: 10_000) + "1"
                + String(repeating: close, count: 10_000)
            let entry = text.replacing("}", with: ",\"x\":\(deep)}")
            #expect(try code(Array(entry.utf8)) == "header_invalid")
        }
        #expect(try code([UInt8](repeating: 0x5b, count: 10_000)) == "header_invalid")
    }

    @Test func wrongVersion() throws {
        let text = String(decoding: Sample.header(transactions: 0), as: UTF8.self)
        for version in ["0", "2", "1.5", "\"1\"", "null", "true"] {
            let entry = text.replacing("\"waybill\":1", with: "\"waybill\":\(version)")
            #expect(try code(Array(entry.utf8)) == "header_invalid", "\(version)")
        }
    }

    @Test func otherBundleOrDevice() throws {
        let header = Sample.header(transactions: 0)
        var other = Sample.binding
        other.bundleID[15] ^= 1
        #expect(try code(header, binding: other) == "binding_mismatch")
        other = Sample.binding
        other.deviceID[0] ^= 1
        #expect(try code(header, binding: other) == "binding_mismatch")
    }

    @Test(arguments: [0, 2, 1_000_000]) func wrongCount(announced: Int) throws {
        let entry = Sample.header(transactions: announced) + Array(Sample.line().utf8)
        #expect(try code(entry) == "binding_mismatch")
    }

    /// Each part says its place; sent in another's place it does not fit.
    @Test func partsInTheWrongOrder() throws {
        #expect(try code(header(part: 1, parts: 2), binding: binding(part: 1, parts: 2)) == nil)
        #expect(
            try code(header(part: 2, parts: 2), binding: binding(part: 1, parts: 2))
                == "binding_mismatch")
        #expect(
            try code(header(part: 1, parts: 2), binding: binding(part: 2, parts: 2))
                == "binding_mismatch")
        #expect(
            try code(header(part: 1, parts: 3), binding: binding(part: 1, parts: 2))
                == "binding_mismatch")
    }

    /// The second copy is not the part that it stands for, also under the right password.
    @Test func onePartTwice() throws {
        let first = header(part: 1, parts: 2)
        #expect(try code(first, binding: binding(part: 1, parts: 2)) == nil)
        #expect(try code(first, binding: binding(part: 2, parts: 2)) == "binding_mismatch")
    }

    @Test func aNullDeviceSequenceOrActorCountsAsAbsent() throws {
        let text = String(decoding: Sample.header(transactions: 1), as: UTF8.self)
            .replacing("\"device_seq\":17", with: "\"device_seq\":null")
        let line = Sample.line().replacing("{}}", with: "{},\"actor\":null}")
        let archive = try PartSealer.seal(Array((text + line).utf8), password: Sample.password)
        let reader = LineReader(
            opener: try Sample.opener(archive), binding: Sample.binding, limits: OpeningLimits(),
            hasher: Sample.hasher)
        let lines = try reader.next(maxLines: 9, maxBytes: 1 << 20)
        #expect(reader.header.deviceSequence == nil)
        let transaction = try #require(lines.first?.result.transaction)
        #expect(transaction.actor == nil)
    }
}

import Testing

@testable import WaybillOpening
@testable import WaybillSealing

@Suite struct LineReaderTests {
    /// What reading said: the error's code, nil if there was none.
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

    private func header(_ change: (String) -> String) -> [UInt8] {
        Array(change(String(decoding: Sample.header(transactions: 0), as: UTF8.self)).utf8)
    }

    @Test func readsTheHeaderAndEachLine() throws {
        let entry = Sample.entry((0..<10).map { Sample.line($0, payload: "[\($0)]") })
        let archive = try PartSealer.seal(entry, password: Sample.password)
        let reader = LineReader(
            opener: try Sample.opener(archive), binding: Sample.binding, limits: OpeningLimits(),
            hasher: Sample.hasher)
        let lines = try reader.next(maxLines: 100, maxBytes: 1 << 20)
        #expect(
            reader.header
                == ParsedHeader(
                    transactions: 10, deviceSequence: 17,
                    sealedAtMicroseconds: 1_795_230_000_000_000))
        #expect(lines.map(\.index) == Array(0..<10))
        let third = try #require(lines[3].result.transaction)
        #expect(third.idHigh == 0x0190_163d_8694_739b)
        #expect(third.idLow == 0xaea5_0000_0000_0003)
        #expect(third.type == "t")
        #expect(third.occurredAtMicroseconds == 1_795_230_000_000_000)
        #expect(third.contentHash.count == 32)
        guard case .json(let payload) = third.content else {
            Issue.record("not JSON")
            return
        }
        #expect(Array(payload) == Array("[3]".utf8))
        #expect(try reader.next(maxLines: 1, maxBytes: 1).isEmpty)
    }

    @Test(arguments: [(1, 1 << 20), (3, 1 << 20), (100, 1), (100, 500)])
    func givesLinesInSmallBatches(maxLines: Int, maxBytes: Int) throws {
        let entry = Sample.entry((0..<10).map { Sample.line($0) })
        let lines = try Sample.lines(of: entry, maxLines: maxLines, maxBytes: maxBytes)
        #expect(lines.map(\.index) == Array(0..<10))
        #expect(lines.allSatisfy { $0.result.transaction != nil })
    }

    @Test func readsLinesThatCrossItsChunks() throws {
        let texts = (0..<40).map {
            Sample.line($0, payload: "\"" + String(repeating: "x", count: 30_000 + $0) + "\"")
        }
        let lines = try Sample.lines(of: Sample.entry(texts))
        #expect(lines.map { String(decoding: $0.raw, as: UTF8.self) } == texts)
        #expect(lines.allSatisfy { $0.result.transaction != nil })
    }

    @Test func takesTheLastLineWithoutALineFeed() throws {
        #expect(try Sample.lines(of: Sample.entry([Sample.line()]).dropLast()).count == 1)
        #expect(try code(Sample.header(transactions: 0).dropLast()) == nil)
    }

    @Test func rejectsAnEmptyLineAndReadsOn() throws {
        let entry = Sample.entry([Sample.line(1), "", " \r", Sample.line(2)])
        let codes = try Sample.lines(of: entry).map(\.result.code)
        #expect(codes == [nil, "invalid_json", "invalid_json", nil])
    }

    @Test func takesACarriageReturnAsWhiteSpace() throws {
        let lines = try Sample.lines(of: Sample.entry([Sample.line() + "\r"]))
        #expect(lines[0].result.transaction != nil)
    }

    @Test(arguments: [(2, String?("header_invalid")), (3, nil), (4, nil)])
    func keepsTheLimitOfTransactions(most: Int, expected: String?) throws {
        var binding = Sample.binding
        binding.transactionsMax = most
        let entry = Sample.entry((0..<3).map { Sample.line($0) })
        #expect(try code(entry, binding: binding) == expected)
    }

    @Test(arguments: [
        ("\"waybill\":1", "\"waybill\":2"), ("\"waybill\":1", "\"waybill\":\"1\""),
        ("\"waybill\":1,", ""), ("\"waybill\":1", "\"waybill\":1,\"waybill\":1"),
        ("\"part\":1", "\"part\":\"1\""), ("\"part\":1,", ""), ("\"parts\":1,", ""),
        ("\"transactions\":0,", ""), ("\"transactions\":0", "\"transactions\":-1"),
        ("\"transactions\":0", "\"transactions\":0.5"),
        ("\"transactions\":0", "\"transactions\":1e400"),
        ("\"device_seq\":17", "\"device_seq\":0"), ("\"device_seq\":17", "\"device_seq\":\"17\""),
        ("\"device_seq\":17", "\"device_seq\":9223372036854775808"),
        (",\"sealed_at\":\"2026-11-21T03:00:00Z\"", ""), ("\"2026-11-21T03:00:00Z\"", "null"),
        ("2026-11-21T", "2026-11-31T"), (Sample.bundleText, "x"), (Sample.deviceText, ""),
        ("{", "\u{feff}{"), ("{", "[{"), ("}", ""), ("}", "}}"),
        ("\"t", "\"\\u0000t"), ("waybill", "wa\\udc00bill"), ("17", "1e999"),
    ])
    func refusesABadHeader(part: String, replacement: String) throws {
        let entry = header { $0.replacing(part, with: replacement) }
        #expect(try code(entry) == "header_invalid")
    }

    @Test func takesAHeaderWithOtherMembersNumbersAndSpaces() throws {
        let entry = header {
            $0.replacing("\"part\":1", with: "\"new\": [{}],\"part\" : 1.0")
                .replacing("\"device_seq\":17,", with: "")
                .replacing(Sample.bundleText, with: Sample.bundleText.uppercased())
        }
        #expect(try code(entry) == nil)
    }

    @Test(arguments: [(-1, String?("too_long")), (0, nil), (1, nil)])
    func keepsTheLimitOfALine(distance: Int, expected: String?) throws {
        let text = Sample.line(7, payload: "\"" + String(repeating: "x", count: 500) + "\"")
        let limits = OpeningLimits(recordBytesMax: text.utf8.count + distance)
        for entry in [
            Sample.entry([text, Sample.line(8)]), Sample.entry([Sample.line(8), text]).dropLast(),
        ] {
            let results = try Sample.lines(of: entry, limits: limits).map(\.result)
            #expect(
                results.contains { $0.code == expected && expected != nil } == (expected != nil))
            #expect(results.count { $0.transaction != nil } == (expected == nil ? 2 : 1))
            #expect(results.compactMap(\.rejectedID).allSatisfy { $0[15] == 7 })
        }
    }

    @Test func skipsALineOfMegabytesAndKeepsItsBeginning() throws {
        let long = Sample.line(1, payload: "\"" + String(repeating: "x", count: 3 << 20) + "\"")
        let limits = OpeningLimits(recordBytesMax: 1000)
        let lines = try Sample.lines(
            of: Sample.entry([Sample.line(0), long, Sample.line(2)]), limits: limits)
        #expect(lines.map(\.result.code) == [nil, "too_long", nil])
        #expect(lines[1].raw.elementsEqual(long.utf8.prefix(1000)))
        #expect(lines[1].result.rejectedID?[15] == 1)
    }

    @Test(arguments: [
        (#"visit.completed"#, #"nurse"#), (#"visit\u002ecompleted"#, #"nurse"#),
        (#"visit.completed"#, #"n\u0075rse"#), (#"visit\u002ecompleted"#, #"n\u0075r\u0073e"#),
    ])
    func takesTextsOutOfTheLineHoweverTheyAreWritten(type: String, actor: String) throws {
        for content in [#""payload":{"a" : "\u0041"}"#, #""content_type":"a\/b","body":"AAEC""#] {
            let line =
                #"{"actor":"\#(actor)","id":"\#(Sample.id(1))","type":"\#(type)","#
                + #""occurred_at":"2026-11-21T03:00:00Z",\#(content)}"#
            let read = try Sample.lines(of: Sample.entry([Sample.line(), line, Sample.line(2)]))[1]
            let transaction = try #require(read.result.transaction)
            #expect(transaction.type == "visit.completed")
            #expect(transaction.actor == "nurse")
            #expect(read.raw.elementsEqual(line.utf8))
            #expect(transaction.texts[transaction.texts.raw].elementsEqual(line.utf8))
            switch transaction.content {
            case .json(let text):
                #expect(String(decoding: text, as: UTF8.self) == #"{"a" : "\u0041"}"#)
            case .body(let contentType, let bytes):
                #expect(contentType == "a/b")
                #expect(bytes == [0, 1, 2])
            }
        }
    }
}

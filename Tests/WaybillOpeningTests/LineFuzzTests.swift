import ArchiveTesting
import Foundation
import Testing

@testable import WaybillOpening
@testable import WaybillSealing

/// Random entries and header lines: no crash, every line accounted for, nothing taken that another
/// JSON reader refuses.
@Suite struct LineFuzzTests {
    private static let pieces: [[UInt8]] =
        [
            "\"", "\\", "{", "}", "[", "]", ",", ":", "\n", "\n\n", "\r\n", "\\u0000", "\\ud800",
            "\\udfff", "\\ud83d\\ude00", "1e999", "-0", "1E-400", "NaN", "0", "-", ".", "e", " ",
            "\t", "\"id\":", "\"payload\":", "\"body\":", "\"actor\":null,", "null", "true",
            "AAA=", String(repeating: "[", count: 130), String(repeating: "9", count: 400),
        ].map { Array($0.utf8) } + [
            [0xff], [0], [0xc3], [0xc2, 0x85], [0xed, 0xa0, 0x80], [0xef, 0xbb, 0xbf],
            [0xf4, 0x90, 0x80, 0x80],
        ]

    private static let lines: [[UInt8]] = [
        Sample.line(payload: #"{"a":[1,-2.5e3,true,false,null],"b":{"ü":"\u00e9\n","c":"x"}}"#),
        Sample.line(payload: #"{"long":"0123456789 0123456789 \\ \" é 😀","n":0.001}"#),
        Sample.line().replacing(
            "\"payload\":{}",
            with: #""body":"AAEC/w==","content_type":"a","actor":"b""#),
        Sample.line(payload: "\"" + String(repeating: "x", count: 3000) + "\""),
        "",
    ].map { Array($0.utf8) }

    private static let codes: Set<String> = [
        "invalid_json", "invalid_utf8", "duplicate_key", "invalid_id", "invalid_type",
        "invalid_time", "invalid_body", "unstorable", "too_deep", "too_long",
    ]

    private static func damage(_ bytes: inout [UInt8], _ random: inout SeededGenerator) {
        for _ in 0..<random.below(5) {
            guard !bytes.isEmpty else { return }
            let position = random.below(bytes.count)
            let end = min(bytes.count, position + 1 + random.below(12))
            switch random.below(5) {
            case 0: bytes[position] = UInt8(random.below(256))
            case 1: bytes.insert(contentsOf: random.pick(pieces), at: position)
            case 2: bytes.removeSubrange(position..<end)
            case 3: bytes.replaceSubrange(position..<end, with: random.pick(pieces))
            default: bytes.insert(contentsOf: bytes[position..<end], at: random.below(bytes.count))
            }
        }
    }

    private static func report(_ problem: String?, _ seed: UInt64) -> Bool {
        if let problem { Issue.record("WAYBILL_TEST_SEED=\(seed): \(problem)") }
        return problem == nil
    }

    @Test func accountsForEveryLine() throws {
        let run = FuzzRun("lines", inputCount: 3000)
        var transactions = 0
        try run.run { seed in
            var random = SeededGenerator(seed: seed)
            var body: [UInt8] = []
            for _ in 0..<random.below(6) {
                var line = random.pick(Self.lines)
                Self.damage(&line, &random)
                body += line + [10]
            }
            if random.once(in: 4) { Self.damage(&body, &random) }
            if random.once(in: 4), body.last == 10 { body.removeLast() }
            let limits = OpeningLimits(recordBytesMax: random.pick([250, 400, 3000, 1 << 20]))
            var expected = body.split(separator: 10, omittingEmptySubsequences: false)
            if expected.last?.isEmpty == true { expected.removeLast() }
            let entry = Sample.header(transactions: expected.count) + body
            let problem = try Self.problem(
                of: entry, expected: expected, limits: limits, &random, &transactions)
            return Self.report(problem, seed)
        }
        if run.inputCount >= 1000 { #expect(transactions > run.inputCount / 10) }
    }

    private static func problem(
        of entry: [UInt8], expected: [ArraySlice<UInt8>], limits: OpeningLimits,
        _ random: inout SeededGenerator, _ transactions: inout Int
    ) throws -> String? {
        let part = try QuickSeal.part(entry, method: .stored, declared: entry.count)
        let reader = LineReader(
            opener: try QuickSeal.opener(MemorySource(part[...]), limits: limits),
            binding: Sample.binding, limits: limits, hasher: Sample.hasher)
        var seen = 0
        while true {
            let lines = try reader.next(maxLines: 1 + random.below(4), maxBytes: random.below(4000))
            guard !lines.isEmpty else { break }
            for line in lines {
                guard seen < expected.count, line.index == seen,
                    line.raw.elementsEqual(expected[seen].prefix(limits.recordBytesMax))
                else { return "line \(seen) is another" }
                let isLong = expected[seen].count > limits.recordBytesMax
                if let problem = judge(line, isLong: isLong, &random) { return problem }
                if line.result.transaction != nil { transactions += 1 }
                seen += 1
            }
        }
        return seen == expected.count ? nil : "\(seen) of \(expected.count) lines"
    }

    private static func judge(
        _ line: EntryLine, isLong: Bool, _ random: inout SeededGenerator
    ) -> String? {
        switch line.result {
        case .rejected(let code, let detail, let id):
            guard codes.contains(code), !detail.isEmpty, id == nil || id?.count == 16,
                (code == "too_long") == isLong
            else { return "rejected as \(code)" }
            return nil
        case .transaction(let transaction):
            guard !isLong, transaction.contentHash.count == 32 else { return "not a transaction" }
            // Foundation costs more than all the rest: one line in eight.
            guard random.once(in: 8) else { return nil }
            guard (try? JSONSerialization.jsonObject(with: Data(line.raw))) is [String: Any] else {
                return "Foundation does not take \(String(decoding: line.raw, as: UTF8.self))"
            }
            return nil
        }
    }

    @Test func takesNoHeaderThatSaysSomethingElse() throws {
        let run = FuzzRun("header lines", inputCount: 5000)
        let words: [[UInt8]] = [
            "1", "2", "0", "-1", "1.0", "1e0", "10e-1", "\"1\"", "null", "9223372036854775808",
            "1e18", "\"part\":", "\"waybill\":", "\"parts\":1,", "\"device_seq\":null,",
            "\"2026-11-21T03:00:60Z\"", "\"\(Sample.bundleText.uppercased())\"",
        ].map { Array($0.utf8) }
        var taken = 0
        run.run { seed in
            var random = SeededGenerator(seed: seed)
            var line = Array(Sample.header(transactions: 0).dropLast())
            if random.once(in: 2) {
                let position = random.below(line.count)
                let end = min(line.count, position + random.below(12))
                line.replaceSubrange(position..<end, with: random.pick(words))
            }
            Self.damage(&line, &random)
            do throws(OpeningError) {
                let header = try HeaderReader.read(
                    line[...], binding: Sample.binding, depthMax: 128)
                taken += 1
                return Self.report(Self.contradiction(header, line), seed)
            } catch {
                let isExpected = ["header_invalid", "binding_mismatch"]
                    .contains(error.shortDescription)
                return Self.report(isExpected ? nil : "\(error)", seed)
            }
        }
        if run.inputCount >= 1000 { #expect(taken > run.inputCount / 50) }
    }

    /// What Foundation reads in a header that was taken, if it is something else.
    private static func contradiction(_ header: ParsedHeader, _ line: [UInt8]) -> String? {
        let text = String(decoding: line, as: UTF8.self)
        guard let object = try? JSONSerialization.jsonObject(with: Data(line)),
            let members = object as? [String: Any]
        else { return "no JSON object: \(text)" }
        guard members["waybill"] as? Double == 1, members["part"] as? Double == 1,
            members["parts"] as? Double == 1,
            members["transactions"] as? Double == Double(header.transactions),
            (members["bundle_id"] as? String)?.lowercased() == Sample.bundleText,
            (members["device_id"] as? String)?.lowercased() == Sample.deviceText
        else { return "another header: \(text)" }
        return nil
    }
}

import ArchiveTesting
import Foundation
import Testing

@testable import WaybillOpening

/// Random damage to lines: the reader never crashes, and agrees with Foundation on what is JSON.
@Suite struct MutationTests {
    private static let originals = [
        Sample.line(payload: #"{"a":[1,-2.5e3,true,false,null],"b":{"ü":"\u00e9\n","c":"x"}}"#),
        Sample.line(payload: #"{"long":"0123456789 0123456789 \\ \" é 😀","n":0.001}"#),
        Sample.line().replacing(
            "\"payload\":{}", with: #""body":"AAEC/w==","content_type":"a","actor":"b""#),
    ].map { Array($0.utf8) }

    private static let pieces: [[UInt8]] =
        [
            "\"", "\\", "{", "}", "[", "]", ",", ":", "\\u0000", "\\ud800", "1e999", "NaN", "0",
            "-",
            ".", "e", " ", "\"id\":", "null",
        ].map { Array($0.utf8) } + [[0xff], [0], [0xc3], [0xed, 0xa0, 0x80], [0x0d]]

    private func mutated(_ random: inout SeededGenerator) -> [UInt8] {
        var bytes = Self.originals[Int.random(in: 0..<Self.originals.count, using: &random)]
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            let position = Int.random(in: 0..<bytes.count, using: &random)
            let piece = Self.pieces[Int.random(in: 0..<Self.pieces.count, using: &random)]
            switch Int.random(in: 0..<4, using: &random) {
            case 0: bytes[position] = UInt8.random(in: 0...255, using: &random)
            case 1: bytes.insert(contentsOf: piece, at: position)
            case 2: bytes.remove(at: position)
            default:
                bytes.removeSubrange(
                    position..<min(bytes.count, position + Int.random(in: 1...9, using: &random)))
            }
            if bytes.isEmpty { bytes = [32] }
        }
        return bytes.map { $0 == 10 ? 32 : $0 }
    }

    @Test func agreesWithFoundationOnDamagedLines() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SeededGenerator(seed: seed)
        let lines = (0..<4000).map { _ in mutated(&random) }
        let entry = Sample.header(transactions: lines.count) + lines.flatMap { $0 + [10] }
        let results = try Sample.lines(of: entry)
        #expect(results.count == lines.count)
        for (line, read) in zip(lines, results) {
            let text = String(decoding: line, as: UTF8.self)
            #expect(read.raw.elementsEqual(line))
            if read.result.transaction != nil {
                #expect(throws: Never.self, "seed \(seed): \(text)") {
                    _ = try JSONSerialization.jsonObject(with: Data(line))
                }
            } else if read.result.code == "invalid_utf8" {
                #expect(String(validating: line, as: UTF8.self) == nil, "seed \(seed): \(text)")
            }
        }
    }

    @Test func isCanonicalAgainAfterFoundationWroteIt() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SeededGenerator(seed: seed)
        for index in 0..<300 {
            let value = Self.value(depth: 3, &random)
            let data = try JSONSerialization.data(
                withJSONObject: value, options: [.fragmentsAllowed])
            let sorted = try JSONSerialization.data(
                withJSONObject: value, options: [.fragmentsAllowed, .sortedKeys])
            let hashes = try [data, sorted].map { data in
                let line = Sample.line(index, payload: String(decoding: data, as: UTF8.self))
                return try #require(try Sample.result(Array(line.utf8)).transaction).contentHash
            }
            #expect(hashes[0] == hashes[1], "seed \(seed)")
        }
    }

    private static func value(depth: Int, _ random: inout SeededGenerator) -> Any {
        switch Int.random(in: 0..<(depth > 0 ? 6 : 4), using: &random) {
        case 0: return Int.random(in: -1000...1000, using: &random)
        case 1: return Bool.random(using: &random)
        case 2: return NSNull()
        case 3: return String(repeating: "é\n\"x", count: Int.random(in: 0...3, using: &random))
        case 4:
            return (0..<Int.random(in: 0...4, using: &random)).map { _ in
                value(depth: depth - 1, &random)
            }
        default:
            var object: [String: Any] = [:]
            for _ in 0..<Int.random(in: 0...20, using: &random) {
                object["k\(Int.random(in: 0...99, using: &random))"] = value(
                    depth: depth - 1, &random)
            }
            return object
        }
    }
}

internal import Testing
internal import WaybillSealing

@testable internal import WaybillCommands

@Suite("NDJSON to be sealed")
struct SealedEntryTests {
    @Test func theLastLineFeedIsOptional() {
        #expect(SealedEntry.lines(Array("a\nb\n".utf8)).count == 2)
        #expect(SealedEntry.lines(Array("a\nb".utf8)).count == 2)
        #expect(SealedEntry.lines([]).isEmpty)
    }

    @Test func anEmptyLineInTheMiddleIsKept() {
        #expect(SealedEntry.lines(Array("a\n\nb\n".utf8)).count == 3)
    }

    @Test func theHeaderComesFirstAndEachLineIsEnded() {
        let header = EntryHeader(
            bundleID: "b", deviceID: "d", transactions: 1, sealedAt: "2026-11-21T03:00:00Z")
        let entry = SealedEntry.make(header, [Array("{}".utf8)])
        let lines = String(decoding: entry, as: UTF8.self).split(separator: "\n")
        #expect(lines.count == 2)
        #expect(lines.first?.hasPrefix(#"{"waybill":1,"#) == true)
        #expect(entry.last == UInt8(ascii: "\n"))
    }
}

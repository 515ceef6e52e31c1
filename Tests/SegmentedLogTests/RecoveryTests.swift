import Foundation
import Testing

@testable import SegmentedLog

@Suite struct RecoveryTests {
    let fixture: LogFixture
    let payloads: [[UInt8]] = [[1, 2, 3], [], [UInt8](repeating: 9, count: 100)]

    init() throws {
        fixture = try LogFixture()
    }

    @Test func readsBackWhatWasAppendedAfterACleanClose() async throws {
        let first = try fixture.open(fixture.options())
        let appended = try await fixture.append(payloads, to: first.log)
        first.log.close()
        let second = try fixture.open(fixture.options())
        defer { second.log.close() }
        #expect(second.payloads == payloads)
        #expect(second.records.map(\.sequence) == appended.map(\.sequence))
        #expect(second.report.faults.isEmpty && second.report.tornBytes == 0)
        for record in second.records { #expect(try second.log.read(record.position) == record) }
    }

    @Test func readsBackWhatWasAppendedAfterAKill() async throws {
        let first = try fixture.open(fixture.options())
        defer { first.log.close() }
        _ = try await fixture.append(payloads, to: first.log)
        try fixture.crash("log", as: "copy")
        let second = try fixture.open(fixture.options("copy"))
        defer { second.log.close() }
        #expect(second.payloads == payloads)
        #expect(second.report.faults.isEmpty && second.report.tornBytes == 0)
        #expect(second.log.closedSegments == [1] && first.log.closedSegments.isEmpty)
    }

    @Test func cutsATornTailOfEveryLength() async throws {
        let first = try fixture.open(fixture.options())
        let appended = try await fixture.append([[1], [2], [3, 3, 3]], to: first.log)
        let path = fixture.path("log", segment: 1)
        let start = Int(appended[2].position.offset)
        let length = FrameHeader.byteCount + 3 + FrameHeader.tagByteCount
        let content = try fixture.bytes(path).prefix(start + length)
        try fixture.crash("log", as: "whole")
        first.log.close()
        let tails: [[UInt8]] = [
            [], [UInt8](repeating: 0, count: 5000), [0, 0, 87, 82, 69, 67, 255],
        ]
        for kept in 0..<length {
            for (index, tail) in tails.enumerated() where index == 1 || kept % 3 == index {
                let name = "cut-\(kept)-\(index)"
                try fixture.crash("whole", as: name)
                try fixture.write(
                    content.prefix(start + kept) + tail, to: fixture.path(name, segment: 1))
                let opened = try fixture.open(fixture.options(name))
                opened.log.close()
                #expect(opened.payloads == [[1], [2]])
                #expect(opened.report.faults.isEmpty)
                // Zeros at the end look like room that was never used.
                var torn = Array(content.suffix(length).prefix(kept)) + tail
                while torn.last == 0 { torn.removeLast() }
                #expect(opened.report.tornBytes == torn.count, "\(name)")
                try fixture.remove(name)
            }
        }
    }

    @Test func findsEveryFlippedByteOfASyncedRecord() async throws {
        let first = try fixture.open(fixture.options())
        let appended = try await fixture.append([[1], [2, 2], [3]], to: first.log)
        first.log.close()
        let content = try fixture.bytes(fixture.path("log", segment: 1))
        let hit = Int(appended[1].position.offset)..<Int(appended[2].position.offset)
        for offset in hit {
            try fixture.crash("log", as: "copy")
            var flipped = content
            flipped[offset] ^= 1
            try fixture.write(flipped, to: fixture.path("copy", segment: 1))
            let opened = try fixture.open(fixture.options("copy"))
            opened.log.close()
            #expect(opened.payloads == [[1], [3]])
            #expect(
                opened.report.faults == [
                    RecoveryFault(
                        segment: 1, bytes: UInt64(hit.lowerBound)..<UInt64(hit.upperBound),
                        sequences: appended[1].sequence..<appended[2].sequence, reason: .damaged)
                ], "offset \(offset)")
            try fixture.remove("copy")
        }
    }

    @Test func reportsDamageInTheLastSegmentOnlyWhereASyncHadCoveredIt() async throws {
        let first = try fixture.open(fixture.options())
        let appended = try await fixture.append([[1], [2], [3]], to: first.log)
        try fixture.crash("log", as: "copy")
        first.log.close()
        let path = fixture.path("copy", segment: 1)
        var content = try fixture.bytes(path)
        content[Int(appended[1].position.offset) + 40] ^= 1
        try fixture.write(content, to: path)
        let opened = try fixture.open(fixture.options("copy"))
        defer { opened.log.close() }
        #expect(opened.payloads == [[1], [3]])
        #expect(opened.report.faults.map(\.reason) == [.damaged])
        #expect(opened.report.tornBytes == 0)
    }

    @Test func eitherCopyOfTheHeaderIsEnough() async throws {
        let first = try fixture.open(fixture.options())
        _ = try await fixture.append(payloads, to: first.log)
        first.log.close()
        let content = try fixture.bytes(fixture.path("log", segment: 1))
        for offset in stride(from: 0, to: SegmentHeader.byteCount, by: 13) {
            for base in [0, SegmentHeader.copyOffset] {
                try fixture.crash("log", as: "copy")
                var flipped = content
                flipped[base + offset] ^= 0x80
                try fixture.write(flipped, to: fixture.path("copy", segment: 1))
                let opened = try fixture.open(fixture.options("copy"))
                opened.log.close()
                #expect(opened.payloads == payloads)
                try fixture.remove("copy")
            }
        }
    }

    @Test func startsAndReportsWhenBothHeadersAreDamaged() async throws {
        let first = try fixture.open(fixture.options())
        _ = try await fixture.append(payloads, to: first.log)
        first.log.close()
        let path = fixture.path("log", segment: 1)
        var content = try fixture.bytes(path)
        content[70] ^= 1
        content[SegmentHeader.copyOffset + 70] ^= 1
        try fixture.write(content, to: path)
        let second = try fixture.open(fixture.options())
        _ = try await fixture.append([[5]], to: second.log)
        second.log.close()
        #expect(second.payloads.isEmpty)
        #expect(second.report.faults.map(\.reason) == [.headerDamaged])
        let third = try fixture.open(fixture.options())
        third.log.close()
        #expect(third.payloads == [[5]])
    }

    @Test func makesALostIdentityAgainAndReportsIt() async throws {
        let first = try fixture.open(fixture.options())
        _ = try await fixture.append(payloads, to: first.log)
        first.log.close()
        try FileManager.default.removeItem(atPath: fixture.options().directory + "/identity")
        let second = try fixture.open(fixture.options())
        second.log.close()
        #expect(second.payloads == payloads)
        #expect(second.report.faults.map(\.reason) == [.identity])
        let third = try fixture.open(fixture.options())
        third.log.close()
        #expect(third.payloads == payloads && third.report.faults.isEmpty)
    }

    @Test func refusesAnIdentityOfALaterVersion() throws {
        try fixture.open(fixture.options()).log.close()
        let path = fixture.options().directory + "/identity"
        var writer = FieldWriter()
        writer.raw(Array(try fixture.bytes(path).prefix(8)))
        writer.integer(UInt32(2))
        writer.zeros(48)
        writer.integer(Checksum.of(writer.bytes[...]))
        try fixture.write(writer.bytes, to: path)
        #expect(throws: LogError.unreadable("an identity of format version 2")) {
            try fixture.open(fixture.options())
        }
    }

    @Test func leavesUnknownFilesAloneAndNamesThem() throws {
        try fixture.open(fixture.options()).log.close()
        let directory = fixture.options().directory
        try fixture.write([1], to: directory + "/notes.txt")
        try fixture.write([], to: directory + "/0000000000000009.seg.new")
        let opened = try fixture.open(fixture.options())
        opened.log.close()
        #expect(opened.report.unknownFiles == ["notes.txt"])
        #expect(!FileManager.default.fileExists(atPath: directory + "/0000000000000009.seg.new"))
    }
}

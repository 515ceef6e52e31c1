import Foundation
import Testing

@testable import SegmentedLog

@Suite struct SegmentTests {
    let fixture: LogFixture

    init() throws {
        fixture = try LogFixture()
    }

    /// Three closed segments and a current one, closed in order.
    private func makeSegments() async throws -> [AppendedRecord] {
        let opened = try fixture.open(fixture.options())
        defer { opened.log.close() }
        let payloads = (0..<30).map { [UInt8](repeating: UInt8($0), count: 1000) }
        let records = try await fixture.append(payloads, to: opened.log)
        #expect(opened.log.closedSegments == [1, 2, 3])
        return records
    }

    @Test func continuesInANewSegmentWhenOneIsFull() async throws {
        let records = try await makeSegments()
        let opened = try fixture.open(fixture.options())
        defer { opened.log.close() }
        #expect(opened.records.map(\.sequence) == records.map(\.sequence))
        #expect(opened.records.map(\.position) == records.map(\.position))
        #expect(opened.report.faults.isEmpty)
        for record in opened.records { #expect(try opened.log.read(record.position) == record) }
    }

    @Test func noticesAMissingSegment() async throws {
        _ = try await makeSegments()
        try FileManager.default.removeItem(atPath: fixture.path("log", segment: 3))
        let opened = try fixture.open(fixture.options())
        opened.log.close()
        #expect(opened.report.faults.map(\.reason) == [.missing])
        #expect(opened.report.faults.map(\.segment) == [3])
    }

    @Test func noticesASegmentCutAtARecordsBorder() async throws {
        let records = try await makeSegments()
        let last = try #require(records.last { $0.position.segment == 2 })
        let path = fixture.path("log", segment: 2)
        try fixture.write(try fixture.bytes(path).prefix(Int(last.position.offset)), to: path)
        let opened = try fixture.open(fixture.options())
        opened.log.close()
        #expect(opened.report.faults.map(\.reason) == [.cutShort])
        #expect(opened.records.count == 29)
    }

    @Test func refusesASegmentUnderAnothersName() async throws {
        let records = try await makeSegments()
        let content = try fixture.bytes(fixture.path("log", segment: 1))
        try fixture.write(content, to: fixture.path("log", segment: 2))
        let opened = try fixture.open(fixture.options())
        opened.log.close()
        #expect(opened.report.faults.first?.reason == .foreign)
        let lost = records.filter { $0.position.segment == 2 }.count
        #expect(opened.records.count == 30 - lost)
    }

    @Test func deletesSegmentsAndRefusesOneThatIsPutBack() async throws {
        _ = try await makeSegments()
        let old = try fixture.bytes(fixture.path("log", segment: 1))
        let second = try fixture.open(fixture.options())
        second.log.delete([1])
        _ = try await second.log.append(type: 1, payload: [1])
        second.log.close()
        #expect(!FileManager.default.fileExists(atPath: fixture.path("log", segment: 1)))
        let third = try fixture.open(fixture.options())
        third.log.close()
        #expect(third.report.faults.isEmpty)
        try fixture.write(old, to: fixture.path("log", segment: 1))
        let fourth = try fixture.open(fixture.options())
        fourth.log.close()
        #expect(fourth.report.faults.map(\.reason) == [.unexpected])
        #expect(fourth.records.allSatisfy { $0.position.segment > 1 })
    }

    @Test func finishesADeletionThatACrashInterrupted() async throws {
        _ = try await makeSegments()
        let old = try fixture.bytes(fixture.path("log", segment: 2))
        let second = try fixture.open(fixture.options())
        second.log.delete([2])
        _ = try await second.log.append(type: 1, payload: [1])
        // The file goes after the append is told, and must not go while it is copied.
        while FileManager.default.fileExists(atPath: fixture.path("log", segment: 2)) {
            try await Task.sleep(for: .milliseconds(1))
        }
        try fixture.crash("log", as: "copy")
        second.log.close()
        try fixture.write(old, to: fixture.path("copy", segment: 2))
        let third = try fixture.open(fixture.options("copy"))
        third.log.close()
        #expect(third.report.faults.isEmpty)
        #expect(third.records.allSatisfy { $0.position.segment != 2 })
        #expect(!FileManager.default.fileExists(atPath: fixture.path("copy", segment: 2)))
    }

    @Test func noticesRecordsThatChangedPlaces() async throws {
        let first = try fixture.open(fixture.options())
        let records = try await fixture.append([[1], [2], [3]], to: first.log)
        first.log.close()
        let path = fixture.path("log", segment: 1)
        var content = try fixture.bytes(path)
        let (a, b) = (Int(records[0].position.offset), Int(records[1].position.offset))
        let length = b - a
        let swapped = content[b..<b + length] + content[a..<a + length]
        content.replaceSubrange(a..<b + length, with: swapped)
        try fixture.write(content, to: path)
        let opened = try fixture.open(fixture.options())
        opened.log.close()
        // The record that came forward says that more was synced than lies before it.
        #expect(opened.payloads == [[1], [3]])
        #expect(opened.report.faults.map(\.reason) == [.damaged])
    }

    @Test func namesTheMasterKeyThatIsWanted() async throws {
        _ = try await makeSegments()
        var options = fixture.options()
        options.masterKey = try #require(MasterKey([UInt8](repeating: 8, count: 32)))
        #expect(throws: LogError.wrongKey(keyID: fixture.masterKey.keyID)) {
            try fixture.open(options)
        }
        options.previousMasterKeys = [fixture.masterKey]
        let opened = try fixture.open(options)
        opened.log.close()
        #expect(opened.records.count == 30)
    }

    @Test func refusesASecondOpener() throws {
        let first = try fixture.open(fixture.options())
        #expect(throws: LogError.locked) { try fixture.open(fixture.options()) }
        first.log.close()
        try fixture.open(fixture.options()).log.close()
    }

    @Test func aCopyOfTheLocksDescriptorDoesNotKeepTheLock() throws {
        let path = fixture.options().directory + "/lock"
        let first = try fixture.open(fixture.options())
        let lock = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").first {
            let link = "/proc/self/fd/\($0)"
            return (try? FileManager.default.destinationOfSymbolicLink(atPath: link)) == path
        }
        // As a child has one between fork and exec.
        let copy = dup(try #require(lock.flatMap { Int32($0) }))
        defer { close(copy) }
        first.log.close()
        try fixture.open(fixture.options()).log.close()
    }
}

import Foundation
import Testing
import WaybillThreads

@testable import SegmentedLog

/// What becomes of a write of several records that was not finished.
@Suite struct UnfinishedWriteTests {
    let fixture: LogFixture
    let fileSystem = FaultyFileSystem()

    init() throws {
        fixture = try LogFixture()
    }

    /// Writes `payloads` together, in one write and with one sync, after a record of one byte.
    ///
    /// - Parameter before: called once all of them wait behind that record.
    private func appendTogether(
        _ payloads: [[UInt8]], to log: SegmentedLog, before: () -> Void = {}
    ) async throws -> [Result<AppendedRecord, LogError>] {
        let gate = Monitor(false)
        fileSystem.setRule { operation, _ in
            if operation == .sync { _ = gate.wait { $0 ? true : nil } }
            return nil
        }
        let syncs = fileSystem.count(.sync)
        let results = Monitor<[Result<AppendedRecord, LogError>]>([])
        let append = { (payload: [UInt8]) in
            log.append(type: 1, payload: payload) { result in results.update { $0.append(result) } }
        }
        append([1])
        let deadline = Deadline.after(.seconds(20))
        while fileSystem.count(.sync) == syncs, !deadline.hasPassed {
            try await Task.sleep(for: .milliseconds(1))
        }
        for payload in payloads { append(payload) }
        fileSystem.setRule { _, _ in nil }
        before()
        gate.update { $0 = true }
        let count = payloads.count + 1
        let all = results.wait(timeout: .seconds(20)) { $0.count == count ? $0 : nil }
        return Array(try #require(all).dropFirst())
    }

    /// A power cut may keep the end of a write and lose its beginning.
    @Test(arguments: [false, true])
    func aTornTailIsNoDamageAtAnyLaterOpeningEither(isKilled: Bool) async throws {
        let first = try fixture.open(fixture.options(), fileSystem: fileSystem)
        let written = try await appendTogether([[2, 2], [3], [4]], to: first.log).map {
            try $0.get()
        }
        try fixture.crash("log", as: "0")
        first.log.close()
        let path = fixture.path("0", segment: 1)
        var content = try fixture.bytes(path)
        let start = Int(written[0].position.offset)
        for index in start..<Int(written[1].position.offset) { content[index] = 0 }
        try fixture.write(content, to: path)
        var segments = [1]
        for number in 0..<4 {
            let opened = try fixture.open(fixture.options("\(number)"))
            #expect(opened.payloads == [[1], [3], [4]])
            #expect(opened.report.faults.isEmpty, "opening \(number + 1)")
            #expect((opened.report.tornBytes > 0) == (number == 0))
            for record in opened.records { #expect(try opened.log.read(record.position) == record) }
            #expect(Set(opened.records.map(\.sequence)).count == 3)
            segments.append(opened.log.usage.segments)
            if isKilled { try fixture.crash("\(number)", as: "\(number + 1)") }
            opened.log.close()
            if !isKilled { try fixture.crash("\(number)", as: "\(number + 1)") }
        }
        #expect(segments == [1, 2, 3, 4, 5])
    }

    @Test func damageBesideATornTailIsToldAtEveryOpening() async throws {
        let first = try fixture.open(fixture.options(), fileSystem: fileSystem)
        let early = try await fixture.append([[9], [8]], to: first.log)
        let written = try await appendTogether([[2, 2], [3]], to: first.log).map { try $0.get() }
        try fixture.crash("log", as: "copy")
        first.log.close()
        let path = fixture.path("copy", segment: 1)
        var content = try fixture.bytes(path)
        content[Int(early[0].position.offset) + FrameHeader.byteCount] ^= 1
        content[Int(written[0].position.offset)] ^= 1
        try fixture.write(content, to: path)
        for _ in 0..<3 {
            let opened = try fixture.open(fixture.options("copy"))
            opened.log.close()
            #expect(opened.payloads == [[8], [1], [3]])
            #expect(opened.report.faults.map(\.reason) == [.damaged])
            #expect(
                opened.report.faults.first?.bytes.lowerBound == UInt64(early[0].position.offset))
        }
    }

    /// The small record is whole in what was written before the disk was full.
    @Test(arguments: [5000, 9000], [1, 2])
    func recordsRefusedForWantOfSpaceDoNotComeBack(byteCount: Int, failures: Int) async throws {
        let opened = try fixture.open(fixture.options(), fileSystem: fileSystem)
        let large = [UInt8](repeating: 5, count: byteCount)
        let left = Monitor(failures)
        let results = try await appendTogether([[2], large], to: opened.log) {
            fileSystem.setRule { operation, _ in
                guard operation == .write else { return nil }
                return left.update {
                    $0 -= 1; return $0 >= 0 ? ENOSPC : nil
                }
            }
        }
        #expect(results == [.failure(.diskFull), .failure(.diskFull)])
        #expect(opened.log.isHealthy)
        try fixture.crash("log", as: "copy")
        let again = Monitor<Result<AppendedRecord, LogError>?>(nil)
        opened.log.append(type: 1, payload: [6]) { result in again.update { $0 = result } }
        _ = try #require(again.wait(timeout: .seconds(20)) { $0 }).get()
        opened.log.close()
        for (name, payloads) in [("copy", [[1]]), ("log", [[1], [6]])] as [(String, [[UInt8]])] {
            let reopened = try fixture.open(fixture.options(name))
            reopened.log.close()
            #expect(reopened.payloads == payloads)
            #expect(reopened.report.faults.isEmpty && reopened.report.tornBytes == 0)
        }
    }

    @Test func aRefusedWriteThatCannotBeTakenBackIsFatal() async throws {
        let fatal = Monitor<[LogError]>([])
        let opened = try fixture.open(fixture.options(), fileSystem: fileSystem) { error in
            fatal.update { $0.append(error) }
        }
        let results = try await appendTogether(
            [[2], [UInt8](repeating: 5, count: 9000)], to: opened.log
        ) {
            fileSystem.setRule { operation, _ in
                operation == .write || operation == .truncate ? ENOSPC : nil
            }
        }
        let failure = LogError.failed(errno: ENOSPC, operation: "truncate")
        #expect(results == [.failure(failure), .failure(failure)])
        #expect(fatal.wait(timeout: .seconds(20)) { $0.isEmpty ? nil : $0 } == [failure])
        #expect(!opened.log.isHealthy)
        opened.log.close()
    }

    @Test func aLowerLimitForRecordsLosesNoneThatIsThere() async throws {
        let first = try fixture.open(fixture.options())
        let large = [UInt8](repeating: 5, count: 5000)
        _ = try await fixture.append([large, [2]], to: first.log)
        try fixture.crash("log", as: "copy")
        first.log.close()
        for name in ["log", "copy"] {
            var options = fixture.options(name)
            options.recordBytesMax = 4999
            let opened = try fixture.open(options)
            opened.log.close()
            #expect(opened.payloads == [large, [2]])
            #expect(opened.report.faults.isEmpty && opened.report.tornBytes == 0)
        }
    }
}

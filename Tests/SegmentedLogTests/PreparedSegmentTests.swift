import DiskSimulation
import Foundation
import Logging
import Synchronization
import Testing

@testable import SegmentedLog

/// Segments whose blocks are written before records are: nothing but a record's own bytes must reach
/// the disk for it to be durable.
@Suite struct PreparedSegmentTests {
    private let disk = SimulatedDisk(capacity: 64 << 20)

    private func options() throws -> LogOptions {
        let key = try #require(MasterKey([UInt8](repeating: 7, count: 32)))
        var options = LogOptions(directory: "/log", masterKey: key)
        options.segmentBytes = 32 << 10
        options.reserveBytes = 8 << 10
        options.gatheringInterval = .zero
        return options
    }

    private func open() throws -> (log: SegmentedLog, payloads: [[UInt8]]) {
        var payloads: [[UInt8]] = []
        let opened = try SegmentedLog.open(
            options: try options(), fileSystem: disk,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, hasThread: false,
            onFatal: { _ in }, replay: { payloads.append($0.payload) })
        return (opened.log, payloads)
    }

    private func append(_ payload: [UInt8], to log: SegmentedLog) -> AppendedRecord? {
        let answer = Answer()
        log.append(type: 1, payload: payload) { answer.set($0) }
        log.work()
        return answer.record
    }

    /// What real file systems do: found with ext4 under `errors=remount-ro`.
    @Test func case18TheDiskForgetsReservedBlocksWhoseSyncAnAbortedJournalMissed() throws {
        let file = try disk.open("/file", .create)
        try disk.syncDirectory("/")
        try file.allocate(2048)
        try file.writeAll([UInt8](repeating: 1, count: 1024)[...], at: 0)
        try file.synchronize()
        var plan = SimulatedDisk.Plan()
        plan.journalAbortsAt = disk.counts.syncs + 1
        disk.setPlan(plan)
        try file.writeAll([UInt8](repeating: 2, count: 2048)[...], at: 0)
        try file.synchronize(overwriting: true)
        #expect(throws: LogError.io(errno: 30, operation: "pwrite")) {
            try file.writeAll([3], at: 0)
        }
        var chance = SeededChance(seed: 1)
        disk.cutPower(&chance)
        let content = try #require(disk.content("/file"))
        #expect(content.prefix(1024).allSatisfy { $0 == 2 })
        #expect(content.dropFirst(1024).allSatisfy { $0 == 0 })
    }

    @Test(arguments: 1...40)
    func case18WhatIsAnsweredBeforeAJournalAbortsIsThereAfterwards(ordinal: Int) throws {
        let (log, _) = try open()
        var plan = SimulatedDisk.Plan()
        plan.journalAbortsAt = disk.counts.syncs + ordinal
        disk.setPlan(plan)
        var answered: [[UInt8]] = []
        for number in 0..<60 {
            let payload = [UInt8](repeating: UInt8(number), count: 3000)
            if append(payload, to: log) != nil { answered.append(payload) }
        }
        #expect(disk.counts[.abortedJournal] == 1)
        #expect(answered.count < 60)
        var chance = SeededChance(seed: UInt64(ordinal))
        disk.cutPower(&chance)
        let (again, found) = try open()
        #expect(Array(found.prefix(answered.count)) == answered)
        again.close()
    }

    @Test func aRecordLargerThanASegmentLiesInPreparedBlocks() throws {
        let (log, _) = try open()
        let record = try #require(append([UInt8](repeating: 5, count: 200 << 10), to: log))
        let path = SegmentName.path(in: "/log", record.position.segment)
        let size = try #require(disk.content(path)?.count)
        #expect(record.position.frameEnd <= UInt64(size) - 8 << 10)
        log.close()
    }

    @Test func theReserveIsNotForBulk() throws {
        let (log, _) = try open()
        var last: AppendedRecord?
        for _ in 0..<200 {
            let record = try #require(append([UInt8](repeating: 6, count: 900), to: log))
            if let last, last.position.segment == record.position.segment {
                #expect(record.position.frameEnd <= 32 << 10)
            }
            last = record
        }
        #expect(log.usage.segments > 4)
        log.close()
    }

    @Test func theNextSegmentIsPreparedWhileOneIsWrittenAndGivenBackAtTheEnd() throws {
        let (log, _) = try open()
        func drafts() -> [String] { disk.names.filter { $0.hasSuffix(".new") } }
        #expect(drafts().isEmpty)
        for _ in 0..<22 { _ = append([UInt8](repeating: 7, count: 900), to: log) }
        #expect(drafts() == [SegmentName.path(in: "/log", 2) + ".new"])
        while log.currentSegment == 1 { _ = append([UInt8](repeating: 8, count: 900), to: log) }
        #expect(drafts().isEmpty)
        for _ in 0..<22 { _ = append([UInt8](repeating: 9, count: 900), to: log) }
        #expect(drafts() == [SegmentName.path(in: "/log", 3) + ".new"])
        log.close()
        #expect(drafts().isEmpty)
    }

    @Test func aSegmentThatCannotBePreparedIsMadeWhenThereIsRoomAgain() throws {
        let (log, _) = try open()
        disk.fill()
        var refused = 0
        for _ in 0..<60 where append([UInt8](repeating: 7, count: 900), to: log) == nil {
            refused += 1
        }
        #expect(refused > 0)
        disk.empty()
        #expect(append([UInt8](repeating: 8, count: 900), to: log) != nil)
        #expect(log.currentSegment == 2)
        log.close()
    }
}

/// What an append was answered.
private final class Answer: Sendable {
    private let result = Mutex<Result<AppendedRecord, LogError>?>(nil)

    func set(_ value: Result<AppendedRecord, LogError>) { result.withLock { $0 = value } }

    var record: AppendedRecord? { result.withLock { try? $0?.get() } }
}

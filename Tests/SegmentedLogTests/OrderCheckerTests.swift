import DiskSimulation
import Testing
import WaybillThreads

@testable import SegmentedLog

/// Each rule, broken on purpose: who breaks it is named, with what happened before.
@Suite struct OrderCheckerTests {
    private let disk = SimulatedDisk()
    private let checker: OrderChecker
    private let path = "/log/0000000000000001.seg"

    init() {
        checker = OrderChecker(disk)
    }

    /// A segment as the log makes it; leaves out what a test wants.
    private func makeSegment(
        syncsParent: Bool = true, syncsContent: Bool = true, syncsName: Bool = true
    ) throws -> any OpenFile {
        try checker.makeDirectory("/log")
        if syncsParent { try checker.syncDirectory("/") }
        let file = try checker.open(path + ".new", .create)
        try file.writeAll([UInt8](repeating: 1, count: 8192)[...], at: 0)
        if syncsContent { try file.synchronize() }
        try checker.rename(path + ".new", to: path)
        if syncsName { try checker.syncDirectory("/log") }
        return file
    }

    /// A frame of which only the clear part matters.
    private func frame(type: UInt16 = 1, byteCount: Int = 4) -> [UInt8] {
        var clear = Array("WREC".utf8) + [UInt8](repeating: 0, count: 28)
        clear[4] = UInt8(byteCount)
        clear[24] = UInt8(type & 0xff)
        clear[25] = UInt8(type >> 8)
        return clear + [UInt8](repeating: 9, count: byteCount + 16)
    }

    private func answer(at offset: UInt32 = 8192, type: UInt16 = 1) {
        checker.willAnswer(
            AppendedRecord(
                sequence: 1,
                position: RecordPosition(segment: 1, offset: offset, byteCount: 4)),
            type: type, in: "/log")
    }

    private func expect(_ what: String, after: String) throws {
        #expect(checker.violations.count == 1)
        let violation = try #require(checker.violations.first)
        #expect(violation.hasPrefix(what))
        #expect(violation.contains(after))
    }

    @Test func findsNothingWrongWithTheRightOrder() throws {
        let file = try makeSegment()
        try file.writeAll((frame() + frame(type: 0xff02))[...], at: 8192)
        try file.synchronize()
        answer()
        checker.willTell(type: 1)
        try checker.unlink(path)
        #expect(checker.violations.isEmpty)
    }

    @Test func reportsAnAnswerBeforeItsSync() throws {
        let file = try makeSegment()
        try file.writeAll(frame()[...], at: 8192)
        answer()
        try expect("a record is answered and 8192..<8244", after: "write 8192..<8244")
    }

    @Test func reportsAnAnswerToWhatWasWrittenDuringTheSync() throws {
        let file = try makeSegment()
        try file.writeAll(frame()[...], at: 8192)
        try file.synchronize()
        try file.writeAll(frame()[...], at: 8244)
        answer()
        #expect(checker.violations.isEmpty)
        answer(at: 8244)
        try expect("a record is answered and 8244..<8296", after: "sync 0000000000000001.seg")
    }

    @Test func reportsAnAnswerAfterASyncThatFailedAndOneThatDidNot() throws {
        let file = try makeSegment()
        try file.writeAll(frame()[...], at: 8192)
        var plan = SimulatedDisk.Plan()
        plan.failingSyncs[disk.counts.syncs + 1] = .pagesStayReadable
        disk.setPlan(plan)
        #expect(throws: LogError.self) { try file.synchronize() }
        try file.synchronize()
        answer()
        try expect("a record is answered and the sync of 8192..<8244", after: "fail to sync")
    }

    @Test func reportsAnAnswerToWhatWasNeverWritten() throws {
        _ = try makeSegment()
        answer()
        try expect("a record is answered and was never written", after: "answer for 8192..<8244")
    }

    @Test func reportsASegmentInUseBeforeItsName() throws {
        let file = try makeSegment(syncsName: false)
        try file.writeAll(frame()[...], at: 8192)
        try file.synchronize()
        answer()
        try expect("a record of 0000000000000001.seg is answered and the name", after: "rename")
    }

    @Test func reportsALogInUseBeforeTheNameOfItsDirectory() throws {
        let file = try makeSegment(syncsParent: false)
        try file.writeAll(frame()[...], at: 8192)
        try file.synchronize()
        answer()
        try expect(
            "a record of 0000000000000001.seg is answered and the name /log",
            after: "make directory /log")
    }

    @Test func reportsANameBeforeItsContent() throws {
        _ = try makeSegment(syncsContent: false)
        try expect("0000000000000001.seg gets its name", after: "write 0..<8192")
    }

    @Test func reportsAnUnlinkBeforeTheDeletionIsSynced() throws {
        let file = try makeSegment()
        try file.writeAll(frame(type: 0xff02)[...], at: 8192)
        try checker.unlink(path)
        try expect("0000000000000001.seg is unlinked and a deletion record", after: "write 8192")
    }

    @Test func reportsAnUnlinkWithoutADeletion() throws {
        let file = try makeSegment()
        try file.writeAll(frame()[...], at: 8192)
        try file.synchronize()
        try checker.unlink(path)
        try expect("0000000000000001.seg is unlinked and no deletion", after: "sync directory /log")
    }

    /// A deletion whose write or sync fails, a look at what is there, and another one that is synced.
    private func deleteAgain(
        at offset: Int = 8244, _ plan: (inout SimulatedDisk.Plan) -> Void
    ) throws {
        let file = try makeSegment()
        var plans = SimulatedDisk.Plan()
        plans.failingSyncs[disk.counts.syncs + 1] = .pagesStayReadable
        plan(&plans)
        disk.setPlan(plans)
        // One of the tests has it refused.
        try? file.writeAll(frame(type: 0xff02)[...], at: offset)
        #expect(throws: LogError.self) { try file.synchronize() }
        let end = try file.byteCount()
        _ = try file.read(at: 8192, count: end - 8192)
        try file.writeAll(frame(type: 0xff02)[...], at: 8192)
        try file.synchronize()
        try checker.unlink(path)
    }

    @Test func passesOverADeletionThatIsNotThere() throws {
        try deleteAgain { $0.failingWrites[disk.counts.writes + 1] = 5 }
        #expect(checker.violations.isEmpty)
    }

    @Test func passesOverADeletionThatIsCutOff() throws {
        try deleteAgain(at: 9000) { plan in
            plan.shortWrites[disk.counts.writes + 1] = 8
            plan.failingWrites[disk.counts.writes + 2] = 5
        }
        #expect(checker.violations.isEmpty)
    }

    @Test func reportsADeletionThatIsThereAndNoSyncCovers() throws {
        try deleteAgain { _ in }
        try expect("0000000000000001.seg is unlinked and a deletion record", after: "fail to sync")
    }

    @Test func reportsWhoIsToldTooEarly() throws {
        let file = try makeSegment()
        try file.writeAll(frame(type: 2)[...], at: 8192)
        try file.synchronize()
        checker.willTell(type: 2)
        try expect("1 records of type 2 are told of and 0 are durable", after: "sync")
        answer(type: 2)
        checker.willTell(type: 2)
        #expect(checker.violations.count == 2)
    }

    @Test func takesWhatAPowerCutLeavesForDurable() throws {
        let file = try makeSegment()
        try file.writeAll(frame(type: 0xff02)[...], at: 8192)
        var chance = SeededChance(seed: 1)
        disk.cutPower(&chance)
        try checker.unlink(path)
        #expect(checker.violations.isEmpty)
    }

    @Test func tellsAtOnceWhoeverAsked() throws {
        let heard = Monitor<[String]>([])
        let checker = OrderChecker(
            disk, onViolation: { what in heard.withLock { $0.append(what) } })
        let file = try checker.open(path + ".new", .create)
        try file.writeAll([1, 2, 3], at: 0)
        try checker.rename(path + ".new", to: path)
        let all = heard.withLock { $0 }
        #expect(all == checker.violations)
        #expect(all.count == 1)
    }
}
